"""Rules and formats that every room may use: input, times, cursors, JSON and the response envelope."""
