"""One row of a data set -> one `Problem`, or the reason why it is none. Pure functions of the row.

    {"question": "Natalia sold clips…", "answer": "…she sold 48+24 = 72 clips.\\n#### 72"}            GSM8K
    {"problem": "Convert the point…", "solution": "…\\boxed{(3, \\frac{\\pi}{2})}", "answer": "…"}     MATH
    {"source": "cn_k12", "problem": "…", "solution": "…\\boxed{B}", "messages": […]}                  NuminaMath-CoT

Where the gold is looked for when `answer_field` is empty: a short `answer` column that is an answer by itself (AIME
solutions box `\\textbf{(073)}`, while the answer column says 73), else the last `\\boxed{…}` of the solution, else what
follows `####` in the solution or the answer.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from generator.problems import numina
from shared.grading.extract import last_box
from shared.records import Problem

# The field names that the three shapes use; a configured name comes first.
PROBLEM_FIELDS = ("problem", "question")
MAX_ANSWER_CHARACTERS = 200  # a longer `answer` is a solution, not an answer


class BadRow(Exception):
    """The row cannot be read as a problem at all (no text where the text belongs). The message is one line."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """A readable row that is no problem with one checkable answer."""

    reason: str
    source: str


@dataclass(frozen=True, slots=True)
class RowShape:
    """Which fields hold what. `data_set` names the rows' origin in `Problem.source`."""

    data_set: str
    problem_field: str = "problem"
    answer_field: str = ""
    solution_field: str = "solution"
    only_sources: frozenset[str] = frozenset()

    def columns(self) -> frozenset[str]:
        """Every column that may be read: a Parquet reader can leave the others on the disk."""
        return frozenset(
            {*PROBLEM_FIELDS, self.problem_field, self.answer_field, self.solution_field, "answer", "source"}
        )

    def read(self, row: Mapping[str, Any], data_set: str = "") -> Problem | Skipped:
        """The problem of `row`; `data_set` where it is not this shape's. Errors: `BadRow`."""
        text = self.text(row)
        subset = row.get("source")
        subset = subset if isinstance(subset, str) else ""
        data_set = data_set or self.data_set
        source = f"{data_set}/{subset}" if subset else data_set
        if self.only_sources and subset not in self.only_sources:
            return Skipped("not in only_sources", source)
        gold = self.gold(row)
        if numina.is_numina_row(row):
            reason = numina.why_skipped(text, str(row.get(self.solution_field) or ""), gold)
            if reason:
                return Skipped(reason, source)
        return Problem.of(text, gold, source)

    def text(self, row: Mapping[str, Any]) -> str:
        """The problem's text. Errors: `BadRow`."""
        names = (self.problem_field,) if self.problem_field not in PROBLEM_FIELDS else PROBLEM_FIELDS
        name = next((name for name in names if name in row), None)
        if name is None:
            fields = ", ".join(list(row)[:8]) or "no field"
            wanted = " or ".join(map(repr, names))
            raise BadRow(f"no field {wanted}, which problems.problem_field names: it has {fields}")
        text = row[name]
        if not isinstance(text, str) or not text.strip():
            raise BadRow(f"field {name!r} is {'empty' if isinstance(text, str) else type(text).__name__}, not a text")
        return text

    def gold(self, row: Mapping[str, Any]) -> str | None:
        """The gold final answer, or None where the row gives none."""
        if self.answer_field:
            return _answer(row.get(self.answer_field))
        solution, answer = row.get(self.solution_field), row.get("answer")
        if answer is not None and _is_answer(str(answer)):
            return str(answer).strip()
        for text in (solution, answer):
            if isinstance(text, str) and (gold := gold_of_solution(text)) is not None:
                return gold
        return None


def gold_of_solution(solution: str) -> str | None:
    """The last `\\boxed{…}` of a worked solution, else what follows its last `####`; None without either."""
    boxed = last_box(solution)
    if boxed is not None:
        return boxed.strip() or None
    _, mark, after = solution.rpartition("####")
    return (after.strip() or None) if mark else None


def _is_answer(text: str) -> bool:
    text = text.strip()
    return bool(text) and len(text) <= MAX_ANSWER_CHARACTERS and "####" not in text and "\\boxed" not in text


def _answer(value: Any) -> str | None:
    if value is None:
        return None
    text = str(value).strip()
    return text if _is_answer(text) else gold_of_solution(text) or text or None
