"""Small corpora on disk, written through the project's own shard writer."""

import random
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from shared.prompts import BOXED_REQUEST
from shared.records import Trace, Usage, problem_id
from shared.shard_writer import ShardWriter

NAMES = ("Ada", "Ben", "Cleo", "Dan", "Eva", "Finn")
THINGS = ("apples", "books", "coins", "pens")


def trace(number: int = 0, sample: int = 0, **changes: Any) -> Trace:
    """A correct trace of a word problem made from `number`."""
    rng = random.Random(number)
    name = rng.choice(NAMES)
    thing = rng.choice(THINGS)
    have = number % 90 + 2
    more = rng.randrange(2, 90)
    problem = (
        f"{name} has {have} {thing} and gets {more} more, in week {number}. How many {thing} does"
        f" {name} have now?"
    )
    new_trace = Trace(
        id=f"{problem_id(problem)}:{sample}",
        problem_id=problem_id(problem),
        sample=sample,
        source="test",
        problem=problem,
        gold=str(have + more),
        messages=[{"role": "user", "content": f"{problem}\n{BOXED_REQUEST}"}],
        reasoning=f"We add {have} and {more}."
        + " So we count on." * sample
        + f" That is {have + more}.",
        response=f"{name} has \\boxed{{{have + more}}} {thing}.",
        final_answer=str(have + more),
        verdict="correct",
        reason="equal",
        checked_by="exact",
        finish_reason="stop",
        lane="test",
        model="teacher",
        model_returned="teacher",
        params={"temperature": 0.6},
        usage=Usage(),
        cost_usd=0.01,
        timing={"first_token_seconds": 0.1, "total_seconds": 1.0},
        attempts=1,
        started_at="2026-01-01T00:00:00Z",
        finished_at="2026-01-01T00:00:01Z",
    )
    return replace(new_trace, **changes)


def write_corpus(
    folder: Path, traces: Iterable[Trace], *, seal: bool = True, rows: int = 1000
) -> Path:
    """A corpus with these traces; `seal=False` leaves its last shard open, as a killed
    generator does.
    """
    writer = ShardWriter(folder, "traces", rows, 64)
    for item in traces:
        writer.append(item.to_line())
        if writer.full:
            writer.seal()
    if seal:
        writer.seal()
    writer.close()
    return folder
