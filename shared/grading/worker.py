"""A grading worker: `python -m shared.grading.worker`. Reads one JSON request a line, writes one
JSON reply a line.

It ignores SIGINT and SIGTERM (its owner drains and then closes the pipe), ends with its standard
input, and takes its own life if a request uses far more processor time than allowed: it cannot
outlive a killed owner for long.
"""

import json
import os
import resource
import signal
import sys
from typing import Any

from shared.grading.compare import compare
from shared.grading.outcome import Undecidable

MEMORY_BYTES = 3 * 1024**3  # less where the machine allows less
ROOM_BYTES = 256 * 1024**2  # above what is loaded: with less, right answers would not be decided
GRACE_SECONDS = 2.0


def main() -> None:
    """Serve requests until standard input ends."""
    requests, replies = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints must not look like a reply
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        allowed_bytes = _limit_memory()
        _warm_up()
        _check_room(allowed_bytes)
    except (ImportError, MemoryError, OSError, RuntimeError) as error:
        _reply(
            replies,
            {"ready": False, "why": f"{type(error).__name__}: {error}".removesuffix(": ")[:300]},
        )
        sys.exit(1)
    _reply(replies, {"ready": True})
    for line in requests:
        request = json.loads(line)
        # Virtual time: math-verify uses SIGALRM itself, and a suspended laptop must not kill an
        # idle worker.
        signal.setitimer(signal.ITIMER_VIRTUAL, request["seconds"] + GRACE_SECONDS)
        answer = _answer(request)
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        _reply(replies, answer)


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    from shared.grading.symbolic import symbolically_equal

    try:
        found = compare(
            request["gold"], tuple(request["items"]), request["problem"], symbolically_equal
        )
    except Undecidable as error:
        return {"undecided": str(error)}
    except (MemoryError, RecursionError) as error:
        return {"undecided": f"{type(error).__name__} while comparing"}
    except Exception as error:  # sympy and antlr raise anything at all on what they cannot read
        return {"undecided": f"{type(error).__name__} while comparing: {error}"[:300]}
    return {"equal": found.equal, "how": found.how, "checked_by": found.checked_by}


def _limit_memory() -> int:
    """Bound the address space; the bound, in bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    limits = [limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY]
    allowed_bytes = min([MEMORY_BYTES, *limits])
    resource.setrlimit(resource.RLIMIT_AS, (allowed_bytes, hard))
    return allowed_bytes


def _check_room(allowed_bytes: int) -> None:
    """Errors: `MemoryError` where what is allowed would not do for ordinary answers."""
    try:
        with open("/proc/self/statm", encoding="ascii") as facts:
            used_bytes = int(facts.read().split()[0]) * resource.getpagesize()
    except FileNotFoundError:  # elsewhere than Linux
        return
    needed_bytes = used_bytes + ROOM_BYTES
    if needed_bytes > allowed_bytes:
        raise MemoryError(
            f"{allowed_bytes >> 20} MiB are allowed and {needed_bytes >> 20} MiB needed"
        )


def _warm_up() -> None:
    """Import what a request needs before the owner's clock runs."""
    from shared.grading.symbolic import math_verify_equal

    math_verify_equal("x", "y")


def _reply(replies: Any, answer: dict[str, Any]) -> None:
    replies.write(json.dumps(answer).encode() + b"\n")
    replies.flush()


if __name__ == "__main__":
    main()
