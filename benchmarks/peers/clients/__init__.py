"""A script for each peer, run by the peer's own Python: `SCRIPT JOB.json`.

The job has `url`, `problems` (JSON Lines of id, problem, answer), `out` (JSON Lines of id,
reasoning, response to write) and `streams`. A script imports nothing of this repository.
"""
