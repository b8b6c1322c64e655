"""The program of this environment, interrupted while it starts."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONFIGS = {
    "generator": "configs/demo-generate.toml",
    "trainer": "configs/demo-train.toml",
    "evaluation": "configs/demo-evaluate.toml",
}
NAME = Path(sys.prefix).name


@pytest.mark.skipif(NAME not in CONFIGS, reason="not in .venv/NAME")
def test_ctrl_c_while_a_program_loads_its_first_library_is_one_line(tmp_path: Path) -> None:
    starting = subprocess.Popen(
        [sys.executable, "-m", NAME, "run", ROOT / CONFIGS[NAME]],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=lambda: signal.signal(
            signal.SIGINT, signal.SIG_DFL
        ),  # a background job starts with it ignored
    )
    with starting:
        maps, ends = Path(f"/proc/{starting.pid}/maps"), time.monotonic() + 60
        while "pydantic_core" not in maps.read_text() and time.monotonic() < ends:
            time.sleep(0.001)
        starting.send_signal(signal.SIGINT)
        said, _ = starting.communicate(timeout=60)
    assert said.splitlines()[-1].startswith("stopped: SIGINT")
    assert "Traceback" not in said
