"""The program of this environment, interrupted while it starts."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONFIGS = {
    "generator": "configs/demo-generate.toml",
    "trainer": "configs/demo-train.toml",
    "evaluation": "configs/demo-evaluate.toml",
}
NAME = Path(sys.prefix).name


pytestmark = pytest.mark.skipif(NAME not in CONFIGS, reason="not in .venv/NAME")


def starting(*arguments: str | Path, cwd: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", NAME, *arguments],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=lambda: signal.signal(
            signal.SIGINT, signal.SIG_DFL
        ),  # a background job starts with it ignored
    )


def loads_its_first_library(process: "subprocess.Popen[str]") -> bool:
    return "pydantic_core" in Path(f"/proc/{process.pid}/maps").read_text()


def listens(process: "subprocess.Popen[str]") -> bool:
    """Whether it catches SIGTERM."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1)


@pytest.mark.parametrize("moment", [listens, loads_its_first_library])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_a_run_loads_its_libraries_is_an_orderly_end_in_one_line(
    tmp_path: Path,
    number: signal.Signals,
    moment: Callable[["subprocess.Popen[str]"], bool],
) -> None:
    with starting("run", ROOT / CONFIGS[NAME], cwd=tmp_path) as process:
        deadline = time.monotonic() + 60
        while not moment(process) and time.monotonic() < deadline:
            time.sleep(0.001)
        process.send_signal(number)
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert output.splitlines()[-1].startswith(f"stopped: {number.name}")
    assert "Traceback" not in output


def test_a_command_that_is_no_run_is_not_done_where_it_was_interrupted(tmp_path: Path) -> None:
    with starting("--help", cwd=tmp_path) as process:
        deadline = time.monotonic() + 60
        while not loads_its_first_library(process) and time.monotonic() < deadline:
            time.sleep(0.001)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=60)
    assert (process.returncode, output) == (130, "stopped: SIGINT\n")


def test_a_path_that_no_file_can_have_is_one_line(tmp_path: Path) -> None:
    commands = {"generator": "check", "trainer": "report", "evaluation": "report"}
    with starting(commands[NAME], "x" * 5000, cwd=tmp_path) as process:
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    assert len(output.splitlines()) == 1


def test_a_configuration_whose_reader_leaves_is_read_to_its_end(tmp_path: Path) -> None:
    """`… --help | true`."""
    with starting("--help", cwd=tmp_path) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(60) == 0
