"""Traces for tests that need some, not any in particular."""

from shared.records import Trace, Usage, VerdictName, problem_id, trace_id


def trace(
    text: str, sample: int = 0, verdict: VerdictName = "correct", reasoning: str = "Okay."
) -> Trace:
    id_ = problem_id(text)
    return Trace(
        id=trace_id(id_, sample),
        problem_id=id_,
        sample=sample,
        source="test",
        problem=text,
        gold="1",
        messages=[{"role": "user", "content": text}],
        reasoning=reasoning,
        response="\\boxed{1}",
        final_answer="1",
        verdict=verdict,
        reason="for a test",
        checked_by="exact",
        finish_reason="stop",
        lane="lane",
        model="model",
        model_returned="model",
        params={"temperature": 0.6, "top_p": 0.95, "max_tokens": 100},
        usage=Usage(10, 20, 15),
        cost_usd=None,
        timing={"first_token_seconds": 0.1, "total_seconds": 1.0},
        attempts=1,
        started_at="2026-01-01T00:00:00.000+00:00",
        finished_at="2026-01-01T00:00:01.000+00:00",
    )
