"""From an answer to the trace that is stored: the verdict where no grading is needed, and the
record itself. Pure.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from generator.answer import Answer
from generator.quality.flags import flags_of
from shared.records import Completion, Message, Problem, Trace, Verdict, is_cut, trace_id

# How servers spell an orderly end: OpenAI's word, and those of Together, TGI and Anthropic-like
# gateways.
STOPPED = frozenset({"stop", "eos", "eos_token", "end_turn", "stop_sequence"})
OURS = frozenset({"error", "stalled", "cut", "empty"})


def verdict_without_grading(completion: Completion) -> Verdict | None:
    """The verdict on a completion that has no whole response to grade; None: grade it."""
    reason = completion.finish_reason
    if completion.error or reason in OURS:
        return Verdict("failed", None, completion.error or f"no whole answer: {reason}")
    if is_cut(reason):
        count = completion.usage.completion_tokens
        return Verdict("truncated", None, f"cut by max_tokens after {count} tokens")
    if reason.lower() not in STOPPED:
        return Verdict("failed", None, f"the teacher ended with finish_reason {reason!r}")
    return None


def utc_now() -> str:
    """Now in UTC, ISO 8601 with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def trace_of(
    problem: Problem,
    sample: int,
    messages: list[Message],
    asked: Mapping[str, Any],
    answer: Answer,
    verdict: Verdict,
    started_at: str,
    finished_at: str,
) -> Trace:
    """The record of one finished sample. `asked`: the parameters wanted, for a sample that no
    lane ever sent.
    """
    completion = answer.completion
    return Trace(
        id=trace_id(problem.id, sample),
        problem_id=problem.id,
        sample=sample,
        source=problem.source,
        problem=problem.text,
        gold=problem.gold,
        messages=messages,
        reasoning=completion.reasoning,
        response=completion.response,
        final_answer=verdict.final_answer,
        verdict=verdict.verdict,
        reason=" ".join(verdict.reason.split()),
        checked_by=verdict.checked_by,
        finish_reason=completion.finish_reason,
        lane=answer.lane,
        model=answer.model,
        model_returned=completion.model_returned,
        params=answer.params or dict(asked),
        usage=completion.usage,
        # By the lane's prices, which are 0 where none are given. Not null: readers that infer types
        # from a first shard of nulls refuse the numbers of a lane with prices that joins later.
        cost_usd=answer.cost_usd or 0.0,
        timing={
            "first_token_seconds": _rounded(completion.first_token_seconds),
            "total_seconds": _rounded(completion.total_seconds),
        },
        attempts=answer.attempts,
        started_at=started_at,
        finished_at=finished_at,
    )


def with_flags(trace: Trace) -> Trace:
    """The trace with what screening notices in it. Up to 60 ms for a long one: not for the
    event loop.
    """
    return trace if trace.verdict == "failed" else replace(trace, flags=flags_of(trace))


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
