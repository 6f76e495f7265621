"""Shows operators what the service does: logs, metrics and traces."""
