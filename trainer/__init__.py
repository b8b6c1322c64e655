"""The trainer: sealed shards in, a better small model out. `python -m trainer --help`."""
