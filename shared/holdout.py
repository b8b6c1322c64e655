"""Which problems are held out: one rule for whoever trains and whoever examines."""

import hashlib
from collections.abc import Iterable


def held_out_problems(problems: Iterable[str], share: float, seed: int) -> list[str]:
    """The problem ids to hold out: a share of them in the order of a seeded hash: a corpus that
    grows keeps most.

    At least one where a share is asked for and two problems exist; never all.
    """
    order = sorted(set(problems), key=lambda p: hashlib.sha256(f"{seed} {p}".encode()).digest())
    count = round(share * len(order))
    if share > 0:
        count = max(1, count)
    return order[: max(0, min(count, len(order) - 1))]
