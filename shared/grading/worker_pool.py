"""Worker processes for whoever calls `grade`: one each for as many threads as call at once, kept
for the next call.

A worker that exceeds its time is killed and a new one takes its place. All end with the process
that owns them.

    CannotStart           the machine has no room for a worker: says nothing about any answer
    WorkerLost            the request took too long
    └── WorkerDied        the worker ended under it; an answer under which several end is to blame
"""

import atexit
import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from shared.errors import InputError

START_SECONDS = 120.0  # a worker imports sympy first; this does not count against a request's time
START_PAUSES = (
    0.2,
    1.0,
    3.0,
)  # seconds between attempts to start one: what a machine lacks may be back in a moment
# of workers under one request: the first may have been the system's choice, when memory was short
MOST_DEATHS = 2
MAX_IDLE = 2

COMMAND = [sys.executable, "-m", "shared.grading.worker"]

# What a worker needs of its owner's environment. Keys and tokens are not for a process that reads
# strangers' texts.
_VARIABLES = frozenset(
    {"HOME", "LANG", "LANGUAGE", "PATH", "SYSTEMROOT", "TEMP", "TMP", "TMPDIR", "TZ", "VIRTUAL_ENV"}
)
_PREFIXES = ("DYLD_", "LC_", "LD_", "MALLOC_", "OMP_", "PYTHON", "SYMPY_")


def environment() -> dict[str, str]:
    """The environment of a worker: it finds this very package, nothing of the current folder,
    and no secret.
    """
    root = str(Path(__file__).resolve().parents[2])
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    plain = {
        name: value
        for name, value in os.environ.items()
        if name in _VARIABLES or name.startswith(_PREFIXES)
    }
    return {
        **plain,
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONSAFEPATH": "1",
        "PYTHONWARNINGS": "ignore",
    }


class WorkerLost(Exception):
    """The worker did not answer in time. It is dead when this is raised."""


class WorkerDied(WorkerLost):
    """The worker ended under a request. The next one may answer it."""

    def __init__(self, returncode: int | None) -> None:
        super().__init__(
            f"{MOST_DEATHS} grading processes ended over this answer, the last by"
            f" {in_words(returncode)}"
        )


class CannotStart(InputError):
    """No worker can be started: a fault of the machine. `final`: another attempt would end the
    same way.
    """

    def __init__(self, why: str, final: bool = False) -> None:
        super().__init__(
            f"a grading process cannot start: {why}: make room (memory, `ulimit -v`, `-u`, `-n`),"
            " then run again: it goes on from here"
        )
        self.final = final


def in_words(returncode: int | None) -> str:
    """How a process ended."""
    if returncode is None:
        return "closing its output"
    if returncode >= 0:
        return f"exit code {returncode}"
    with contextlib.suppress(ValueError):
        return signal.Signals(-returncode).name
    return f"signal {-returncode}"


def check_ready(line: bytes) -> None:
    """Read a worker's first line. Errors: `CannotStart` with the worker's own words."""
    first = json.loads(line)
    if not first["ready"]:
        raise CannotStart(first["why"], final=True)


class Worker:
    """One worker process and its pipes. Not for two threads at once."""

    def __init__(self) -> None:
        """Start it and wait until it is ready. Errors: `CannotStart`."""
        self._buffer = b""
        try:
            self._process = subprocess.Popen(
                COMMAND,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment(),
                start_new_session=True,  # Ctrl-C on a terminal is for the owner
            )
        except OSError as error:
            raise CannotStart(error.strerror or str(error)) from None
        try:
            check_ready(self._read(START_SECONDS))
        except WorkerDied:
            self.kill()
            raise CannotStart(
                f"it ended by {in_words(self._process.returncode)} before it was ready"
            ) from None
        except WorkerLost:
            self.kill()
            raise CannotStart(f"it was not ready within {START_SECONDS:g} s") from None
        except BaseException:
            self.kill()
            raise

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def ask(self, request: dict[str, Any], seconds: float) -> dict[str, Any]:
        """The reply to `request` within `seconds`. Errors: `WorkerLost`."""
        try:
            self._write(json.dumps({**request, "seconds": seconds}).encode() + b"\n")
            reply: dict[str, Any] = json.loads(self._read(seconds))
        except WorkerLost:
            self.kill()
            raise
        return reply

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        self.disown()

    def disown(self) -> None:
        """Close our ends of the pipes; an idle worker ends by itself then."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):  # unwritten bytes for a process that is gone
                    pipe.close()

    def _write(self, line: bytes) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line)
            self._process.stdin.flush()
        except OSError:
            raise WorkerDied(self._ended()) from None

    def _read(self, seconds: float) -> bytes:
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        deadline = time.monotonic() + seconds
        while b"\n" not in self._buffer:
            remaining = deadline - time.monotonic()
            if remaining <= 0 or not select.select([descriptor], [], [], remaining)[0]:
                raise WorkerLost(f"no decision within {seconds:g} s")
            block = os.read(descriptor, 65536)
            if not block:
                raise WorkerDied(self._ended())
            self._buffer += block
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line

    def _ended(self) -> int | None:
        """The return code of a process that closed its pipes; None where it lives on without
        them.
        """
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(1.0)
        return None


_idle: list[Worker] = []
_lock = threading.Lock()


def ask(request: dict[str, Any], seconds: float) -> dict[str, Any]:
    """The reply of a worker of this process's own.

    Errors: `WorkerLost` where the request takes too long or ends every worker; `CannotStart`.
    """
    for _ in range(MOST_DEATHS - 1):
        with contextlib.suppress(WorkerDied):
            return _ask_one(request, seconds)
    return _ask_one(request, seconds)


def _ask_one(request: dict[str, Any], seconds: float) -> dict[str, Any]:
    worker = _idle_worker() or start(START_PAUSES)
    reply = worker.ask(request, seconds)
    with _lock:
        if len(_idle) < MAX_IDLE:
            _idle.append(worker)
            return reply
    worker.kill()
    return reply


def _idle_worker() -> Worker | None:
    """One that waits; those that the system ended meanwhile are cleared away."""
    while True:
        with _lock:
            if not _idle:
                return None
            worker = _idle.pop()
        if worker.alive:
            return worker
        worker.kill()


def start(pauses: Sequence[float]) -> Worker:
    """A new worker, tried again after each of `pauses` (seconds). Errors: `CannotStart`."""
    for pause in pauses:
        try:
            return Worker()
        except CannotStart as error:
            if error.final:
                raise
        time.sleep(pause)
    return Worker()


def stop() -> None:
    """End all idle workers; the next call starts a new one."""
    with _lock:
        workers, _idle[:] = list(_idle), []
    for worker in workers:
        worker.kill()


def _forget() -> None:
    """In a forked child: the workers belong to the parent."""
    global _lock
    _lock = threading.Lock()
    workers, _idle[:] = list(_idle), []
    for worker in workers:
        worker.disown()


atexit.register(stop)
os.register_at_fork(after_in_child=_forget)
