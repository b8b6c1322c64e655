"""Grading workers: what the machine lacks is no verdict, and what the owner knows is not for
them.
"""

import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from shared.child_environment import child_environment
from shared.grading import grade, worker_pool
from shared.json_child import CannotStart

pytestmark = pytest.mark.process  # the product's own workers

ROOT = Path(__file__).parents[3]
HARD = ("So \\boxed{\\sum_{k=1}^{3} k}.", "6")  # needs a worker
ENDLESS = ("So \\boxed{\\sum_{k=1}^{10^{12}} k^{k}}.", "6")
MIB = 1 << 20
GRADED = f"from shared.grading import grade; print(grade(*{HARD!r}, timeout_seconds=60).verdict)"


@pytest.fixture(autouse=True)
def no_worker_from_before() -> None:
    worker_pool.stop()


def in_a_process(code: str, **limits: int) -> subprocess.CompletedProcess[str]:
    """Run `code` with hard limits, given by their names in `resource`."""

    def limit() -> None:
        for name, value in limits.items():
            resource.setrlimit(getattr(resource, name), (value, value))

    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        preexec_fn=limit,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("mebibytes", [700, 1000, 2000, 2900])
def test_a_small_address_space_changes_no_verdict(mebibytes: int) -> None:
    done = in_a_process(GRADED, RLIMIT_AS=mebibytes * MIB)
    assert (done.stdout, done.returncode) == ("correct\n", 0), done.stderr


def test_an_address_space_that_is_too_small_is_a_fault_of_the_machine() -> None:
    started = time.monotonic()
    done = in_a_process(GRADED, RLIMIT_AS=250 * MIB)
    assert done.stdout == ""
    assert (
        "CannotStart: a grading process cannot start: MemoryError: 250 MiB are allowed and "
        in done.stderr
    )
    assert time.monotonic() - started < 60


def test_no_file_descriptor_is_a_fault_of_the_machine() -> None:
    everything = (
        "import os\nfrom shared.grading import worker_pool\nworker_pool.START_PAUSES = (0.01,)\n"
    )
    everything += "import shared.grading\ntry:\n  while True: os.dup(0)\nexcept OSError: pass\n"
    done = in_a_process(everything + GRADED, RLIMIT_NOFILE=64)
    assert done.stdout == ""
    assert "CannotStart: a grading process cannot start: Too many open files" in done.stderr


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (["/nowhere/python"], "No such file or directory"),
        (
            [sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"],
            "it ended by SIGKILL before it was ready",
        ),
        (
            [sys.executable, "-c", "raise SystemExit(3)"],
            "it ended by exit code 3 before it was ready",
        ),
    ],
)
def test_a_worker_that_ends_as_it_starts_is_no_verdict(
    monkeypatch: pytest.MonkeyPatch, command: list[str], why: str
) -> None:
    monkeypatch.setattr(worker_pool, "COMMAND", command)
    monkeypatch.setattr(worker_pool, "START_PAUSES", (0.01,))
    with pytest.raises(CannotStart, match=why):
        grade(*HARD)


def workers() -> list[int]:
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    return [int(pid) for pid in children if b"shared.grading.worker" in command_of(pid)]


def command_of(pid: str) -> bytes:
    """b"" where the process has just ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def test_a_worker_that_was_killed_while_it_waited_costs_nothing() -> None:
    assert grade(*HARD, timeout_seconds=60).verdict == "correct"
    (pid,) = workers()
    os.kill(pid, signal.SIGKILL)
    assert grade(*HARD, timeout_seconds=60).verdict == "correct"


def test_an_answer_under_which_two_workers_end_is_unverifiable_and_says_so() -> None:
    def kill_two() -> None:
        for _ in range(2):
            while not (pids := [pid for pid in workers() if processor_seconds(pid) > 1.0]):
                time.sleep(0.01)
            os.kill(pids[0], signal.SIGKILL)
            while pids[0] in workers():
                time.sleep(0.01)

    killer = threading.Thread(target=kill_two)
    killer.start()
    verdict = grade(*ENDLESS, timeout_seconds=60)
    killer.join()
    assert verdict.verdict == "unverifiable"
    assert verdict.reason.endswith(
        "2 grading processes ended over this answer, the last by SIGKILL"
    )


def processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_a_worker_gets_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = (
        "OPENAI_API_KEY",
        "GENERATOR_TOKEN",
        "HF_TOKEN",
        "MY_OWN_NAME_FOR_A_KEY",
        "http_proxy",
    )
    for name in secrets:
        monkeypatch.setenv(name, "sk-secret-1234567890")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    assert grade(*HARD, timeout_seconds=60).verdict == "correct"
    (pid,) = workers()
    seen = Path(f"/proc/{pid}/environ").read_bytes()
    assert b"sk-secret" not in seen
    assert b"LC_ALL=C.UTF-8" in seen
    assert "sk-secret" not in json.dumps(child_environment())
