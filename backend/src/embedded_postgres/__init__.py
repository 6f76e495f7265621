"""Runs the PostgreSQL that comes with the service, for a start without DATABASE_URL."""
