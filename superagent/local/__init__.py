"""One machine: embedded PostgreSQL and Redis, the programs of `make run`, and the data of the demo."""
