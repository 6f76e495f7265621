"""The PostgreSQL that the service brings along and runs itself when no DATABASE_URL is set."""
