"""Worker processes for whoever calls `grade`: one each for as many threads as call at once, kept for the next call.

A worker that exceeds its time is killed and a new one takes its place. All end with the process that owns them.
"""

import atexit
import contextlib
import json
import os
import select
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

START_SECONDS = 120.0  # a worker imports sympy first; this does not count against a request's time
MAX_IDLE = 2

COMMAND = [sys.executable, "-m", "shared.grading.worker"]


def environment() -> dict[str, str]:
    """The environment of a worker: it finds this very package, and nothing of the current folder."""
    root = str(Path(__file__).resolve().parents[2])
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONSAFEPATH": "1", "PYTHONWARNINGS": "ignore"}


class WorkerLost(Exception):
    """The worker ended or did not answer in time. It is dead when this is raised."""


class Worker:
    """One worker process and its pipes. Not for two threads at once."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            COMMAND,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment(),
            start_new_session=True,  # Ctrl-C on a terminal is for the owner
        )
        self._ready = False
        self._buffer = b""

    def ask(self, request: dict[str, Any], seconds: float) -> dict[str, Any]:
        """The reply to `request` within `seconds`. Errors: `WorkerLost`."""
        try:
            if not self._ready:
                self._read(START_SECONDS)
                self._ready = True
            self._write(json.dumps({**request, "seconds": seconds}).encode() + b"\n", seconds)
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

    def _write(self, line: bytes, seconds: float) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line)
            self._process.stdin.flush()
        except OSError:
            raise WorkerLost("the grading process ended") from None

    def _read(self, seconds: float) -> bytes:
        assert self._process.stdout is not None
        descriptor, deadline = self._process.stdout.fileno(), time.monotonic() + seconds
        while b"\n" not in self._buffer:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([descriptor], [], [], left)[0]:
                raise WorkerLost(f"no decision within {seconds:g} s")
            block = os.read(descriptor, 65536)
            if not block:
                raise WorkerLost("the grading process ended (out of memory or killed)")
            self._buffer += block
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line


_idle: list[Worker] = []
_lock = threading.Lock()


def ask(request: dict[str, Any], seconds: float) -> dict[str, Any]:
    """The reply of a worker of this process's own. Errors: `WorkerLost`."""
    with _lock:
        worker = _idle.pop() if _idle else None
    worker = worker or Worker()
    reply = worker.ask(request, seconds)
    with _lock:
        if len(_idle) < MAX_IDLE:
            _idle.append(worker)
            return reply
    worker.kill()
    return reply


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
