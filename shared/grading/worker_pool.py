"""Worker processes for whoever calls `grade`: one each for as many threads as call at once, kept
for the next call.
"""

import atexit
import os
import sys
import threading
from typing import Any

from shared import json_child
from shared.json_child import JsonChild

MAX_IDLE = 2
COMMAND = [sys.executable, "-m", "shared.grading.worker"]
START_PAUSES = json_child.START_PAUSES

_idle: list[JsonChild] = []
_lock = threading.Lock()


def new_worker(start_pauses: tuple[float, ...]) -> JsonChild:
    """A grading process that starts with its first request, tried again after each of
    `start_pauses` (seconds).
    """
    return JsonChild(COMMAND, "grading", start_pauses)


def ask(request: dict[str, Any], seconds: float) -> dict[str, Any]:
    """The reply of a worker of this process's own.

    Errors: `ChildLost` where the request takes too long or ends every worker; `CannotStart`.
    """
    with _lock:
        worker = _idle.pop() if _idle else new_worker(START_PAUSES)
    try:
        reply = worker.ask(request, seconds)
    except BaseException:
        worker.kill()
        raise
    with _lock:
        if len(_idle) < MAX_IDLE:
            _idle.append(worker)
            return reply
    worker.kill()
    return reply


def stop() -> None:
    """End all idle workers; the next call starts a new one."""
    with _lock:
        workers = list(_idle)
        _idle.clear()
    for worker in workers:
        worker.kill()


def _forget() -> None:
    """In a forked child: the workers belong to the parent."""
    global _lock
    _lock = threading.Lock()
    for worker in _idle:
        worker.disown()
    _idle.clear()


atexit.register(stop)
os.register_at_fork(after_in_child=_forget)
