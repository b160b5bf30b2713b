"""Local development: embedded PostgreSQL and Redis, `make run`, and demo data."""
