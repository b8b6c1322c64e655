"""`run --gpus N`: one process a card, started, watched and ended together by this one.

Each child is `python -m trainer run …` with the variables that torchrun sets (`planning.launch`
reads them). What torchrun does not do: a signal is handed on once and answered in one line, and a
process that dies ends the others at once, with the line of the one that died first and not with N
tracebacks. This process loads neither torch nor a model.
"""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import FrameType

from shared.errors import SAME_SIGNAL_SECONDS

Say = Callable[[str], None]

POLL_SECONDS = 0.05
# From the first death to the verdict: the others fail in its wake, and which was first is seen by
# how they ended.
SETTLING_SECONDS = 0.3
# After a signal, once one process has ended by itself: the others wait for it in vain.
STOPPING_SECONDS = 20.0
TRACEBACK = "Traceback (most recent call last)"
KEPT_LINES = 200  # of what a process wrote to stderr
PR_SET_PDEATHSIG = 1  # linux/prctl.h


@dataclass(slots=True)
class Worker:
    """One of the processes, with the end of what it wrote to stderr."""

    rank: int
    process: "subprocess.Popen[str]"
    reader: threading.Thread | None = None
    lines: list[str] = field(default_factory=list)  # not shown yet

    @property
    def code(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs."""
        return self.process.poll()

    def read(self) -> None:
        """Follow its stderr to the end. The first process's lines are shown as they come, up to
        a traceback, which is shown only if it turns out to be the cause.
        """
        assert self.process.stderr
        is_shown = self.rank == 0
        for line in self.process.stderr:
            is_shown = is_shown and TRACEBACK not in line and not line.startswith("error: ")
            if is_shown:
                sys.stderr.write(line)
                sys.stderr.flush()
            else:
                self.lines = [*self.lines[1 - KEPT_LINES :], line]


class Launcher:
    """The processes of one run."""

    def __init__(self, command: Sequence[str], count: int, say: Say) -> None:
        self._say = say
        self._signal = ""  # the name of the first one that came
        self._signalled_at = 0.0  # seconds, monotonic
        port = _free_port()
        self._workers = [_start(command, rank, count, port) for rank in range(count)]

    def run(self) -> int:
        """Wait for all of them. Returns the exit code of the run."""
        before = {
            number: signal.signal(number, self._hand_on)
            for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            code = self._watch()
        finally:
            self._end_all()
            for number, handler in before.items():
                signal.signal(number, handler)
        return code

    def _watch(self) -> int:
        first_end = 0.0
        while True:
            codes = [worker.code for worker in self._workers]
            if all(code == 0 for code in codes):
                return 0
            if any(codes):  # a failure, or a death by a signal
                if self._signal:
                    return self._stopped()
                time.sleep(SETTLING_SECONDS)
                return self._failed()
            if self._signal and 0 in codes:
                first_end = first_end or time.monotonic()
                if time.monotonic() - first_end > STOPPING_SECONDS:
                    return self._stopped()
            time.sleep(POLL_SECONDS)

    def _hand_on(self, number: int, _: FrameType | None) -> None:
        """The first signal asks every process for an orderly end, the next one kills them."""
        now = time.monotonic()
        if self._signal and now - self._signalled_at < SAME_SIGNAL_SECONDS:
            return
        for worker in self._workers:
            if worker.code is None:
                worker.process.send_signal(signal.SIGKILL if self._signal else number)
        self._signal = self._signal or signal.Signals(number).name
        self._signalled_at = now

    def _stopped(self) -> int:
        """After a signal, processes that ended otherwise than in order: before the first step one
        may leave while another waits for it.
        """
        first_worker = self._workers[0]
        deadline = time.monotonic() + STOPPING_SECONDS
        while first_worker.code is None and time.monotonic() < deadline:
            if all(worker.code is not None for worker in self._workers[1:]):
                deadline = min(deadline, time.monotonic() + 1.0)
            time.sleep(POLL_SECONDS)
        if first_worker.code != 0:
            self._say(
                f"stopped: {self._signal}: the same command goes on from the last whole checkpoint"
            )
        return 0

    def _failed(self) -> int:
        """Tell why, by the process that failed first; the exit code."""
        failures = [worker for worker in self._workers if worker.code]
        cause = min(failures, key=_rank_of_cause)
        assert cause.code
        self._end_all()
        if cause.code < 0:
            name = signal.Signals(-cause.code).name
            count = len(self._workers)
            self._say(
                f"stopped: process {cause.rank} of {count} was ended by {name}"
                + (" (the kernel does that where memory runs out)" if name == "SIGKILL" else "")
                + ", so the others were ended too; the same command goes on from the last whole"
                " checkpoint"
            )
            return 1
        sys.stderr.write("".join(cause.lines))
        return cause.code

    def _end_all(self) -> None:
        for worker in self._workers:
            if worker.code is None:
                worker.process.kill()
        for worker in self._workers:
            worker.process.wait()
            if worker.reader:
                worker.reader.join(timeout=1.0)


def launch(arguments: Sequence[str], count: int, say: Say) -> int:
    """`python -m trainer ARGUMENTS` in `count` processes, one a card. Returns the exit code."""
    return Launcher([sys.executable, "-m", "trainer", *arguments], count, say).run()


def _rank_of_cause(worker: Worker) -> tuple[int, int]:
    """Smaller is nearer to the cause: who was killed, then who refused in one line, then who
    failed in the wake of others.
    """
    assert worker.code
    if worker.code < 0:
        return 0, worker.rank
    return (1 if worker.code > 1 else 2), worker.rank


def _start(command: Sequence[str], rank: int, count: int, port: int) -> Worker:
    variables = {
        "RANK": rank,
        "LOCAL_RANK": rank,
        "WORLD_SIZE": count,
        "LOCAL_WORLD_SIZE": count,
        "GROUP_RANK": 0,
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port,
    }
    environment = {**os.environ, **{name: str(value) for name, value in variables.items()}}
    # Warnings of the group about a process that is gone; we say it in one line.
    environment.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    if "OMP_NUM_THREADS" not in os.environ:
        # as torchrun does; the processes share the processor
        environment["OMP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // count))
    process = subprocess.Popen(
        command,
        env=environment,
        text=True,
        errors="replace",
        stderr=subprocess.PIPE,
        process_group=0,  # Ctrl-C in a terminal comes to us alone, and we hand it on
        preexec_fn=_end_with_parent,
    )
    worker = Worker(rank, process)
    worker.reader = threading.Thread(target=worker.read, daemon=True)
    worker.reader.start()
    return worker


def _end_with_parent() -> None:
    """In the child: a SIGTERM, which saves, when the launcher is gone (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
