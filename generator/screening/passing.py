"""The screen of a stream without an end in sight: each problem is judged as it comes."""

from collections.abc import Callable
from pathlib import Path

from generator.screening.duplicates import text_key
from generator.screening.findings import evidence_line
from generator.screening.left_out import Screen
from generator.screening.summary import DUPLICATE, ScreeningSummary
from shared.contamination import EvaluationIndex, Hit
from shared.contamination.text import tokens
from shared.file_writing import open_within
from shared.records import Problem


def passing_screen(
    folder: Path,
    evaluation: EvaluationIndex,
    summary: ScreeningSummary,
    reason_of: Callable[[Hit], str],
) -> Screen:
    """A screen for one pass that counts in `summary` and writes its evidence into `folder`.

    `reason_of`: why what is near an evaluation problem is left out; "": it is not.
    """
    passed_keys: set[int] = set()
    (folder / "excluded.jsonl").unlink(missing_ok=True)

    def screen(problem: Problem) -> str:
        """The reason to leave it out, "" to take it."""
        summary.rows += 1
        text_tokens = tokens(problem.text)
        gold_key = text_key(tokens(problem.gold)) if problem.gold else 0
        key = text_key(text_tokens) ^ gold_key
        if key in passed_keys:
            summary.left_out[DUPLICATE] += 1
            return DUPLICATE
        passed_keys.add(key)
        finding = evaluation.find(problem.text, text_tokens)
        summary.count(finding)
        if finding.hit is None:
            return ""
        with open(folder / "excluded.jsonl", "ab", opener=open_within) as file:
            file.write(evidence_line(problem, finding.hit))
        reason = reason_of(finding.hit)
        if reason:
            summary.left_out[reason] += 1
        return reason

    return screen
