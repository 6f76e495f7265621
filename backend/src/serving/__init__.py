"""Runs the application: the port, the HTTP server, its connections and its worker processes."""
