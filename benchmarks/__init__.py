"""Measurements, each with the command that repeats it; `make bench` runs the short ones."""
