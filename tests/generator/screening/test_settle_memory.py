"""What deciding over a whole data set's duplicates takes in memory."""

import json
import subprocess
import sys
from pathlib import Path

PROBLEMS = 500_000
PROMISED = 80  # bytes a problem, as generator/screening/duplicates.py says
CONSTANT = 5_000_000  # bytes, whatever the size: a block of pairs, a block of rows


def test_settling_takes_the_bytes_a_problem_that_its_docstring_promises(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.growth.settling", str(PROBLEMS), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    measured = json.loads(done.stdout)
    assert measured["left_out"] > PROBLEMS / 100
    assert measured["bytes_a_problem"] < PROMISED + CONSTANT / PROBLEMS
