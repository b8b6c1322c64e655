"""Recorded answers, found again by the problem that stands in a prompt.

    {"question": "James decides to run 3 sprints…", "reasoning": "Okay, let's see…", "response": "…\\\\boxed{540}"}

A row may say `finish_reason`, and `status` for a call that is to be refused with `response` as its
message.
"""

from dataclasses import dataclass
from pathlib import Path

from shared.errors import InputError
from shared.shards import read_rows

START_CHARACTERS = 24  # of a problem, by which rows are looked up


@dataclass(frozen=True, slots=True)
class Row:
    """A recorded answer and the problem that it belongs to."""

    problem: str
    reasoning: str
    response: str
    finish_reason: str = "stop"
    status: int = 200


class Replay:
    """The rows of a JSON Lines file. `problem` or `question` holds the problem's text."""

    def __init__(self, path: Path) -> None:
        try:
            rows = [self._row(path, number, row) for number, row in read_rows(path)]
        except OSError as error:
            raise InputError(
                f"{path}: {error.strerror}: --replay wants a JSON Lines file"
            ) from None
        # The longest problem first: one text may be the beginning of another.
        self._rows = sorted(rows, key=lambda row: -len(row.problem))
        self._by_start: dict[str, list[Row]] = {}
        for row in self._rows:
            self._by_start.setdefault(row.problem[:START_CHARACTERS], []).append(row)

    def find(self, prompt: str) -> Row | None:
        """The row whose problem stands in the prompt: at its start (fast), or anywhere."""
        text = " ".join(prompt.split())
        for row in self._by_start.get(text[:START_CHARACTERS], []):
            if text.startswith(row.problem):
                return row
        return next((row for row in self._rows if row.problem in text), None)

    @staticmethod
    def _row(path: Path, number: int, row: dict[str, object]) -> Row:
        problem = row.get("problem") or row.get("question")
        if not isinstance(problem, str):
            raise InputError(f"{path}:{number}: no `problem` or `question`")
        return Row(
            " ".join(problem.split()),
            str(row.get("reasoning") or ""),
            str(row.get("response") or ""),
            str(row.get("finish_reason") or "stop"),
            int(str(row.get("status", 200))),
        )
