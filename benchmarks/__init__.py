"""Measurements, each with the command that repeats it; `make bench-ours` runs the short ones."""
