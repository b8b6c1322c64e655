"""A grading worker: `python -m shared.grading.worker`, a child as `shared.json_child` serves it.

A request has `gold`, `items` (the parts of the answer) and `problem`; a reply has `equal`, `how` and
`checked_by`, or `undecided` with the reason.
"""

import resource
from collections.abc import Callable
from typing import Any

from shared import json_child
from shared.grading.compare import compare
from shared.grading.outcome import Undecidable

MEMORY_BYTES = 3 * 1024**3  # less where the machine allows less
ROOM_BYTES = 256 * 1024**2  # above what is loaded: with less, right answers would not be decided


def prepare() -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Bound the memory and import what a request needs. Errors: whatever the machine lacks."""
    allowed_bytes = _limit_memory()
    _warm_up()
    _check_room(allowed_bytes)
    return answer


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """The reply to one request, whatever its texts contain."""
    from shared.grading.symbolic import symbolically_equal

    try:
        finding = compare(
            request["gold"],
            tuple(request["items"]),
            request["problem"],
            symbolically_equal,
        )
    except Undecidable as error:
        return {"undecided": str(error)}
    except (MemoryError, RecursionError) as error:
        return {"undecided": f"{type(error).__name__} while comparing"}
    except Exception as error:  # sympy and antlr raise anything at all on what they cannot read
        return {"undecided": f"{type(error).__name__} while comparing: {error}"[:300]}
    return {"equal": finding.equal, "how": finding.how, "checked_by": finding.checked_by}


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
    from shared.grading.symbolic import math_verify_equal

    math_verify_equal("x", "y")


if __name__ == "__main__":
    json_child.serve(prepare)
