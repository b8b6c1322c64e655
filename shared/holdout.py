"""Which problems are held out: one rule for whoever trains and whoever examines."""

import hashlib
import heapq
from array import array
from collections.abc import Iterable


def held_out_problems(
    problems: Iterable[str],
    share: float,
    seed: int,
) -> list[str]:
    """The problem ids to hold out: a share of them in the order of a seeded hash: a corpus that
    grows keeps most.

    At least one where a share is asked for and two problems exist; never all.
    """
    distinct = list(dict.fromkeys(problems))
    places = held_out_places(distinct, share, seed)
    return [distinct[place] for place in places]


def held_out_places(problems: Iterable[str], share: float, seed: int) -> list[int]:
    """The same of distinct `problems`, as their places: of a million, none is kept but 8 bytes."""
    ranks = array("Q", (_rank(problem, seed) for problem in problems))
    count = round(share * len(ranks))
    if share > 0:
        count = max(1, count)
    count = max(0, min(count, len(ranks) - 1))
    return heapq.nsmallest(count, range(len(ranks)), key=ranks.__getitem__)


def _rank(problem: str, seed: int) -> int:
    """Where a problem stands in the seed's order, as a number of 64 bits."""
    digest = hashlib.sha256(f"{seed} {problem}".encode()).digest()
    return int.from_bytes(digest[:8], "big")
