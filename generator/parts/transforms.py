"""What a rewriting does to one trace. Pure but for the grader's own worker.

regrade     today's grader on the answers that a grader judged; golds, texts and costs stay
flags       today's trace screening
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from generator.quality.flags import flags_of
from generator.record import STOPPED
from shared.grading import grade
from shared.records import Trace

TIMEOUT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Rewritten:
    """A trace after it, its pile, and what changed as ("incorrect", "correct"); equal: nothing."""

    trace: Trace
    is_kept: bool
    before: str
    after: str


Transform = Callable[[Trace, bool, bool], Rewritten]


def regrade(trace: Trace, was_kept: bool, keep_unverifiable: bool) -> Rewritten:
    """Grade again. What no grader ever judged stays: a failed or cut answer, and the verdict of a
    judge, which was paid for, where today's grader does not call the answer correct.
    """
    if trace.verdict == "failed" or trace.finish_reason.lower() not in STOPPED:
        return Rewritten(trace, was_kept, trace.verdict, trace.verdict)
    verdict = grade(trace.response, trace.gold, trace.problem, TIMEOUT_SECONDS)
    if trace.checked_by == "judge" and verdict.verdict != "correct":
        return Rewritten(trace, was_kept, trace.verdict, trace.verdict)
    graded_trace = replace(
        trace,
        final_answer=verdict.final_answer,
        verdict=verdict.verdict,
        reason=" ".join(verdict.reason.split()),
        checked_by=verdict.checked_by,
    )
    if graded_trace.verdict != trace.verdict or graded_trace.final_answer != trace.final_answer:
        graded_trace = replace(graded_trace, flags=flags_of(graded_trace))
    was_kept_unverified = was_kept and trace.verdict == "unverifiable"
    is_kept = graded_trace.verdict == "correct" or (
        graded_trace.verdict == "unverifiable" and (keep_unverifiable or was_kept_unverified)
    )
    return Rewritten(graded_trace, is_kept, trace.verdict, graded_trace.verdict)


def flag(trace: Trace, was_kept: bool, keep_unverifiable: bool) -> Rewritten:
    """Look for flags again; a failed sample has none."""
    flagged_trace = trace
    if trace.verdict != "failed":
        flagged_trace = replace(trace, flags=flags_of(trace))
    before = ", ".join(trace.flags) or "none"
    after = ", ".join(flagged_trace.flags) or "none"
    return Rewritten(flagged_trace, was_kept, before, after)


TRANSFORMS: dict[str, Transform] = {"regrade": regrade, "flags": flag}
