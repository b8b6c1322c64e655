r"""Grading: is the final answer of a response the gold answer?

    grade("... so \\boxed{x = 5}.", "5")        Verdict("correct", "x = 5", "last box; equal by value", "exact")

`extract` finds the final answer, `compare` decides what can be decided exactly and at once, and
what is left goes to a worker process (`worker`, with math-verify behind it) that is killed when its
time is up.
"""

from typing import cast

from shared.grading import worker_pool
from shared.grading.compare import compare, several
from shared.grading.extract import Missing, boxes_in_parts, extract, last_box
from shared.grading.outcome import NeedsWorker, Undecidable
from shared.json_child import ChildLost
from shared.records import CheckedBy, Verdict, VerdictName

__all__ = ["grade", "grade_fast", "undecided", "verdict_of_reply"]

FAULT = "a fault of the grader, please report it"
# characters of a gold whose boxes are its parts; longer ones are solutions, of which the last
# counts
MAX_PARTED = 400
MAX_PROBLEM = 20_000  # characters of a problem that are looked at


def grade(
    response: str,
    gold: str | None,
    problem: str | None = None,
    timeout_seconds: float = 5.0,
) -> Verdict:
    """The verdict on `response`, from any thread or process, within `timeout_seconds` whatever the
    text.

    `problem` lets multiple choice be read. Starting a grading worker is not counted. Never raises
    for what a text contains; what cannot be decided in time is `unverifiable`.
    """
    verdict, request = grade_fast(response, gold, problem)
    if request is None:
        return verdict
    try:
        return verdict_of_reply(verdict, worker_pool.ask(request, timeout_seconds))
    except ChildLost as error:
        return undecided(verdict, str(error))


def grade_fast(
    response: str,
    gold: str | None,
    problem: str | None = None,
) -> tuple[Verdict, dict[str, object] | None]:
    """(verdict, None) where it is decided at once, in bounded time; else (the verdict so far,
    what to ask a worker).
    """
    extraction = extract(response)
    if isinstance(extraction, Missing):
        return Verdict(extraction.verdict, None, extraction.reason), None
    gold = _bare_gold(gold)
    if len(extraction.items) == 1 and not gold.isdigit() and response.count("boxed") > 1:
        count = several(gold)
        if count > 1 and several(extraction.items[0]) == 1:
            extraction = boxes_in_parts(response, count) or extraction
    pending = Verdict("unverifiable", extraction.text, extraction.how)
    if not gold:
        return (
            Verdict(
                "unverifiable",
                extraction.text,
                f"{extraction.how}; no gold answer to compare with",
            ),
            None,
        )
    try:
        finding = compare(gold, extraction.items, problem, None)
    except NeedsWorker:
        return pending, {
            "gold": gold,
            "items": extraction.items,
            "problem": (problem or "")[-MAX_PROBLEM:],
        }
    except Undecidable as error:
        return undecided(pending, str(error)), None
    except (ArithmeticError, LookupError, RecursionError, ValueError) as error:
        # A fault of ours, but a run that pays for its traces does not end over one answer.
        return undecided(pending, f"{FAULT}: {type(error).__name__}: {error}"[:300]), None
    reply = {"equal": finding.equal, "how": finding.how, "checked_by": finding.checked_by}
    return verdict_of_reply(pending, reply), None


def verdict_of_reply(pending: Verdict, reply: dict[str, object]) -> Verdict:
    """The verdict that a worker's reply makes of a pending one."""
    if "undecided" in reply:
        return undecided(pending, str(reply["undecided"]))
    name: VerdictName = "correct" if reply["equal"] else "incorrect"
    reason = f"{pending.reason}; {reply['how']}"
    checked_by = cast(CheckedBy, reply["checked_by"])
    return Verdict(name, pending.final_answer, reason, checked_by)


def undecided(pending: Verdict, why: str) -> Verdict:
    """The verdict where nothing could decide, with the reason in one line."""
    return Verdict(
        "unverifiable",
        pending.final_answer,
        f"{pending.reason}; not decided: {' '.join(why.split())}",
    )


def _bare_gold(gold: str | None) -> str:
    """The gold answer itself, should it come inside a box, behind `####` or as a whole solution."""
    if gold is None:
        return ""
    count = gold.count("\\boxed") + gold.count("\\fbox")
    if count:
        parts = boxes_in_parts(gold, count) if count > 1 and len(gold) <= MAX_PARTED else None
        if parts is not None:
            return ", ".join(parts.items)
        return last_box(gold) or ""
    return gold.rpartition("####")[2].strip() if "####" in gold else gold.strip()
