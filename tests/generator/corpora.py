"""Corpora for tests, written by the real shard writer without a run."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from shared.records import Trace, Usage, problem_id, trace_id
from shared.shard_writer import ShardWriter

REASONING = (
    "Okay, so I add the two numbers. That gives a sum, and I check it once more to be sure about"
    " the result {answer}."
)


def trace(
    problem: str, sample: int = 0, answer: str = "4", gold: str | None = "4", **keys: Any
) -> Trace:
    """One sample as a run would have written it; `keys` replace fields, `tokens` its completion
    tokens.
    """
    tokens = keys.pop("tokens", 100)
    identity = problem_id(problem)
    new_trace = Trace(
        id=trace_id(identity, sample),
        problem_id=identity,
        sample=sample,
        source="made/up",
        problem=problem,
        gold=gold,
        messages=[{"role": "user", "content": f"{problem}\nPlease reason."}],
        reasoning=REASONING.format(answer=answer),
        response=f"The answer is \\boxed{{{answer}}}.",
        final_answer=answer,
        verdict="correct" if answer == gold else "incorrect",
        reason="last box",
        checked_by="exact",
        finish_reason="stop",
        lane="local",
        model="teacher",
        model_returned="teacher",
        params={"max_tokens": 4096},
        usage=Usage(20, tokens, tokens - 20),
        cost_usd=0.001,
        timing={"first_token_seconds": 0.1, "total_seconds": 2.0},
        attempts=1,
        started_at="2026-01-01T00:00:00.000+00:00",
        finished_at="2026-01-01T00:00:02.000+00:00",
    )
    return replace(new_trace, **keys)


def write_corpus(folder: Path, traces: Iterable[Trace]) -> Path:
    """Sealed shards with these traces, kept and rejected by their verdicts."""
    kept_pile, rejected_pile = (
        ShardWriter(folder, pile, 500, 64) for pile in ("traces", "rejected")
    )
    for each in traces:
        (kept_pile if each.kept else rejected_pile).append(each.to_line())
    kept_pile.seal()
    rejected_pile.seal()
    return folder
