"""Signals and reloads while the problems of a run are still being opened."""

import contextlib
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.generator.process_runs import (
    LONG,
    configure,
    eventually,
    generator,
    rehearsal,
    rows,
    started,
)


@pytest.fixture
def many_problems(tmp_path: Path) -> Path:
    """Takes seconds to read and screen before the first call."""
    path = tmp_path / "many.jsonl"
    path.write_text(
        "".join(
            f'{{"problem": "What is {n} plus {n % 97}?", "answer": "{n + n % 97}"}}\n'
            for n in range(60_000)
        )
    )
    return path


def is_opening(folder: Path) -> bool:
    return (folder / "corpus" / ".lock").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_the_problems_are_being_opened_ends_the_run_at_once_and_the_next_run_does_the_work(
    tmp_path: Path, many_problems: Path, number: signal.Signals
) -> None:
    with rehearsal() as teacher:
        config = configure(
            tmp_path, teacher.url, problems__source=str(many_problems), problems__limit=0
        )
        with started("run", config) as process:
            eventually(lambda: is_opening(tmp_path), "the corpus to be opened")
            process.send_signal(number)
            out, err = process.communicate(timeout=LONG)
        assert (process.returncode, out) == (0, "")
        assert (
            err
            == f"stopped: {number.name} before the first call; the same command goes on from here\n"
        )
        assert teacher.stats()["calls"] == 0
        assert generator("run", config, "--set", "problems.limit=20").returncode == 0
    assert len(rows(tmp_path / "corpus")) == 20


def reads(pid: int, path: Path) -> bool:
    with contextlib.suppress(OSError):  # a descriptor that is closed while we look
        return any(fd.readlink() == path for fd in Path(f"/proc/{pid}/fd").iterdir())
    return False


def test_a_reload_asked_for_while_the_problems_are_being_opened_is_done_when_the_work_begins(
    tmp_path: Path, many_problems: Path
) -> None:
    keys: dict[str, Any] = {
        "problems__source": str(many_problems),
        "problems__limit": 40,
        "daemon__wait": False,
    }
    with rehearsal() as teacher:
        config = configure(tmp_path, teacher.url, **keys, lane__calls_per_day=1000)
        with started("run", config) as process:
            eventually(lambda: is_opening(tmp_path), "the corpus to be opened")
            configure(tmp_path, teacher.url, **keys, lane__calls_per_day=5)
            process.send_signal(signal.SIGHUP)
            _, err = process.communicate(timeout=LONG)
        assert process.returncode == 3, err
        assert teacher.stats()["calls"] == 5


def test_ctrl_c_at_a_command_that_only_reads_is_one_line_and_exit_130(
    tmp_path: Path, many_problems: Path
) -> None:
    config = configure(
        tmp_path, "http://127.0.0.1:9/v1", problems__source=str(many_problems), problems__limit=0
    )
    with started("plan", config) as process:
        eventually(lambda: reads(process.pid, many_problems), "the problems to be read")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=LONG)
    assert (process.returncode, out, err) == (130, "", "stopped: SIGINT\n")
