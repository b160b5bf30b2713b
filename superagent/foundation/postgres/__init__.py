"""Django's PostgreSQL backend whose cursors send the tenant scope in front of every statement."""
