"""lighteval is imported on machines as they are."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROGRAM = """
import evaluation
import lighteval.logging.info_loggers
"""


def test_lighteval_loads_where_no_git_is_installed(tmp_path: Path) -> None:
    variables = {**os.environ, "PATH": str(tmp_path), "PYTHONPATH": str(ROOT)}
    variables.pop("GIT_PYTHON_REFRESH", None)
    process = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM],
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr[-1500:]
