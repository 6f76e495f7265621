"""The process that serves: sockets, connections, the HTTP server and its workers."""
