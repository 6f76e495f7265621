"""Measures how fast the service is: `make bench` and `make bench-large`."""
