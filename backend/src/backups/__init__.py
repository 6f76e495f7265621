"""Backups: the data as one file, and a database from such a file."""
