"""Whether a source has gold answers at all, found out before anything is spent on it."""

from collections.abc import Iterable, Mapping
from typing import Any

from generator.problems import numina
from generator.problems.golds import MISSING, NO_ANSWER, SENTENCE, SEVERAL
from generator.problems.rows import RowShape, Skipped
from generator.problems.scan import Row
from shared.errors import InputError
from shared.records import Problem

# reasons to skip a row
WITHOUT_GOLD = frozenset({MISSING, NO_ANSWER, SENTENCE, SEVERAL, numina.NO_GOLD})
# As data sets call them: {"question": …, "final_answer": …}, {"query": …, "response": …}.
ANSWER_COLUMNS = (
    "answer",
    "final_answer",
    "gold",
    "gold_answer",
    "ground_truth",
    "expected_answer",
    "reference_answer",
    "target",
    "label",
    "result",
    "numerical_answer",
    "correct_answer",
    "reward_model",
)
SOLUTION_COLUMNS = (
    "solution",
    "response",
    "output",
    "completion",
    "generation",
    "rationale",
    "explanation",
    "generated_solution",
    "worked_solution",
    "r1_solution_1",
)


class GoldSearch:
    """Looks for the first row with a gold answer; from then on it costs nothing."""

    def __init__(self, shape: RowShape) -> None:
        self._shape = shape
        self._has_gold = not shape.needs_gold
        self.rows_without = 0
        self._first_reason = ""

    @property
    def in_vain(self) -> bool:
        """Whether rows were looked at for their gold, and none had one."""
        return not self._has_gold and self.rows_without > 0

    def check(self, row: Row) -> None:
        """Look at one row. Errors: `BadRow`."""
        self._shape.text(row)
        if not self._has_gold:
            self.count(self._shape.read(row))

    def count(self, item: Problem | Skipped) -> None:
        """Count what a row came to."""
        if isinstance(item, Problem):
            self._has_gold = True
        elif item.reason in WITHOUT_GOLD:
            self.rows_without += 1
            self._first_reason = self._first_reason or item.reason

    def facts(self) -> dict[str, Any]:
        """As JSON-ready data, for `add_facts`."""
        return {
            "has_gold": self._has_gold,
            "rows_without": self.rows_without,
            "first_reason": self._first_reason,
        }

    def add_facts(self, facts: Mapping[str, Any]) -> None:
        """Count what another piece of the data came to, which comes after this one."""
        self._has_gold = self._has_gold or facts["has_gold"]
        self.rows_without += facts["rows_without"]
        self._first_reason = self._first_reason or facts["first_reason"]

    def refusal(self, place: object, fields: Iterable[str]) -> InputError:
        """The error for a source without gold answers; it names the columns that may hold them."""
        columns = set(fields)
        answer_columns = columns - {self._shape.answer_field}
        solution_columns = columns - {self._shape.solution_field}
        keys = [
            f"problems.answer_field = {name!r}" for name in ANSWER_COLUMNS if name in answer_columns
        ]
        keys += [
            f"problems.solution_field = {name!r}"
            for name in SOLUTION_COLUMNS
            if name in solution_columns
        ]
        advice = f"likely {' or '.join(keys)}" if keys else "set problems.answer_field"
        reason = "" if self._first_reason == MISSING else f" ({self._first_reason})"
        names = ", ".join(sorted(columns)[:20])
        return InputError(
            f"no row of {place} has a gold answer{reason}, and without one every sample is paid for"
            f" and rejected: {advice} (its columns: {names}), or sampling.keep_unverifiable = true"
        )
