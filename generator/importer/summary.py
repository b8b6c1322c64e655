"""What became of the rows of an import, while it goes on and at its end."""

import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

PROGRESS_SECONDS = 5.0
LISTED_BAD_ROWS = 5


@dataclass
class Summary:
    """What became of the rows read so far."""

    rows: int = 0
    bad_rows: int = 0
    bad: list[str] = field(default_factory=list)  # the first ones, "row 7: why"
    samples: int = 0
    samples_before: int = 0  # of these, imported by an earlier run
    verdicts: Counter[str] = field(default_factory=Counter)
    kept: int = 0
    copies: int = 0  # of evaluation problems

    def lines(self, corpus: Path) -> list[str]:
        """The result in words."""
        verdicts = ", ".join(f"{count:,} {name}" for name, count in self.verdicts.most_common())
        lines = [
            f"{self.rows:,} rows read: {self.samples:,} answers, {self.kept:,} kept in this run"
            f" ({verdicts or 'nothing new'})"
        ]
        if self.samples_before:
            lines.append(f"{self.samples_before:,} answers had been imported before")
        if self.copies:
            lines.append(f"copies of evaluation problems, rejected: {self.copies:,}")
        if self.bad_rows:
            lines.append(f"rows that are no answered problem: {self.bad_rows:,}, the first:")
            lines += [f"  {row}" for row in self.bad]
        lines.append(f"traces: {corpus}/traces/*.jsonl")
        return lines


class ProgressLine:
    """A line now and then: on a terminal it is written over, elsewhere it is a line of its own."""

    def __init__(self) -> None:
        self._shown_at = time.monotonic()

    def show(self, summary: Summary) -> None:
        """Write the line, if it is time for one."""
        now = time.monotonic()
        if now - self._shown_at < PROGRESS_SECONDS:
            return
        self._shown_at = now
        print(
            f"{summary.rows:,} rows, {summary.samples:,} answers, {summary.kept:,} kept",
            file=sys.stderr,
            flush=True,
        )


def _first(reasons: list[str]) -> str:
    return reasons[0] if reasons else "it is empty"
