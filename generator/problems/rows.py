"""One row of a data set -> one `Problem`, or the reason why it is none. Pure functions of the row.

    {"question": "Natalia sold clips…", "answer": "…she sold 48+24 = 72 clips.\\n#### 72"}            GSM8K
    {"problem": "Convert the point…", "solution": "…\\boxed{(3, \\frac{\\pi}{2})}", "answer": "…"}     MATH
    {"source": "cn_k12", "problem": "…", "solution": "…\\boxed{B}", "messages": […]}                  NuminaMath-CoT

Where the gold is looked for when `answer_field` is empty: a short `answer` column that is an answer
by itself (AIME solutions box `\\textbf{(073)}`, while the answer column says 73), else the last
`\\boxed{…}` of the solution, else the line after `####` in the solution or the answer. A row whose
gold is no answer is skipped (`golds`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from generator.problems import numina
from generator.problems.columns import has, prompt_text, value_at
from generator.problems.golds import (
    MISSING,
    NO_ANSWER,
    NoGold,
    checked_solution,
    gold_of_column,
    gold_of_solution,
    is_solution,
)
from shared.records import Problem

__all__ = ["BadRow", "RowShape", "Skipped", "gold_of_solution"]

# The field names that the three shapes use; a configured name comes first.
PROBLEM_FIELDS = ("problem", "question")


class BadRow(Exception):
    """The row cannot be read as a problem at all (no text where the text belongs). The message
    is one line.
    """


@dataclass(frozen=True, slots=True)
class Skipped:
    """A readable row that is no problem with one checkable answer."""

    reason: str
    source: str


@dataclass(frozen=True, slots=True)
class RowShape:
    """Which fields hold what. `data_set` names the rows' origin in `Problem.source`.

    `needs_gold`: rows without an answer to compare with are skipped; else they are problems whose
    gold is None.
    """

    data_set: str
    problem_field: str = "problem"
    answer_field: str = ""
    solution_field: str = "solution"
    only_sources: frozenset[str] = frozenset()
    needs_gold: bool = False

    def columns(self) -> frozenset[str]:
        """Every column that may be read: a Parquet reader can leave the others on the disk."""
        names = (self.problem_field, self.answer_field, self.solution_field)
        fields = {*names, *(name.partition(".")[0] for name in names)}
        return frozenset({*PROBLEM_FIELDS, "answer", "source"} | fields | numina.COLUMNS)

    def read(self, row: Mapping[str, Any], data_set: str = "") -> Problem | Skipped:
        """The problem of `row`; `data_set` where it is not this shape's. Errors: `BadRow`."""
        text = self.text(row)
        subset = row.get("source")
        subset = subset if isinstance(subset, str) else ""
        data_set = data_set or self.data_set
        source = f"{data_set}/{subset}" if subset else data_set
        if self.only_sources and subset not in self.only_sources:
            return Skipped("not in only_sources", source)
        result = self.gold(row)
        gold = result if isinstance(result, str) else None
        if numina.is_numina_row(row):
            reason = numina.why_marked(row) or numina.why_skipped(
                text, str(row.get(self.solution_field) or ""), gold
            )
            if reason == numina.NO_GOLD and isinstance(result, NoGold) and result.reason != MISSING:
                reason = result.reason
            if reason:
                return Skipped(reason, source)
        if isinstance(result, NoGold) and self.needs_gold:
            return Skipped(result.reason, source)
        return Problem.of(text, gold, source)

    def text(self, row: Mapping[str, Any]) -> str:
        """The problem's text. Errors: `BadRow`."""
        names = (
            (self.problem_field,) if self.problem_field not in PROBLEM_FIELDS else PROBLEM_FIELDS
        )
        name = next((name for name in names if has(row, name)), None)
        if name is None:
            fields = ", ".join(list(row)[:8]) or "no field"
            expected_names = " or ".join(map(repr, names))
            raise BadRow(
                f"no field {expected_names}: it has {fields} (problems.problem_field names the"
                " problem's)"
            )
        value = value_at(row, name)
        text = prompt_text(value)
        if text is None or not text.strip():
            content = "empty" if text is not None else type(value).__name__
            raise BadRow(f"field {name!r} is {content}, not a text or a chat with one user turn")
        return text

    def gold(self, row: Mapping[str, Any]) -> str | NoGold:
        """The gold final answer, or why the row gives none."""
        if self.answer_field:
            return gold_of_column(value_at(row, self.answer_field))
        column_gold = gold_of_column(row.get("answer"))
        if isinstance(column_gold, str) and not is_solution(str(row["answer"])):
            return column_gold
        if column_gold == NoGold(NO_ANSWER):  # "proof": a box in the solution is no answer either
            return column_gold
        solution_gold = checked_solution(value_at(row, self.solution_field))
        return column_gold if solution_gold == NoGold(MISSING) else solution_gold
