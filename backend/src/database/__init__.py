"""Access to PostgreSQL: connections, their pool, statements, retries, and the state of the schema."""
