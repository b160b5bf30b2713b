"""A request from its unit to its row: charged, written to the local spool, shipped to PostgreSQL exactly once."""
