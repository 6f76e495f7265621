"""Measures how fast the service is: `make bench`, `make bench-large` and `make bench-listeners`."""
