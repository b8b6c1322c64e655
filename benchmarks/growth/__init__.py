"""How costs grow with problems, finished samples and streams: `python -m benchmarks.growth`."""
