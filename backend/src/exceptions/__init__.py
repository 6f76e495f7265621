"""The errors that callers are told about, and the handlers that turn them into responses."""
