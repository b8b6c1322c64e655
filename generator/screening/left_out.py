"""What the screening of a whole data set leaves out: left-out.npy, a table to look ids up in.

id       the problem that is left out, as a number; the rows are sorted by it
reason   its place in `REASONS`
instead  the problem that stays in its place; 0: none does
"""

import io
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from generator.screening.summary import DUPLICATE, REASONS
from shared.file_writing import write_atomically
from shared.records import Problem

_ROW = np.dtype([("id", "<u8"), ("reason", "u1"), ("instead", "<u8")])

Screen = Callable[[Problem], str]


class LeftOut:
    """The table in memory."""

    def __init__(self, rows: NDArray[Any]) -> None:
        self._rows = rows

    @classmethod
    def of(cls, reasons: Mapping[int, tuple[str, int]]) -> "LeftOut":
        """`reasons`: id -> (why it is left out, the id that stays instead)."""
        rows = [
            (number, REASONS.index(reason), instead)
            for number, (reason, instead) in sorted(reasons.items())
        ]
        return cls(np.array(rows, _ROW))

    @classmethod
    def read(cls, path: Path) -> "LeftOut":
        """As `write` left it."""
        return cls(np.load(path))

    def write(self, path: Path) -> None:
        """At once, or not at all."""
        buffer = io.BytesIO()
        np.save(buffer, self._rows)
        write_atomically(path, buffer.getvalue())

    def screen(self, repeated: Collection[int]) -> Screen:
        """For one pass: a lookup. Ids of rows that stand twice, `repeated`, pass once."""
        ids = self._rows["id"]
        reasons = self._rows["reason"]
        passed_ids: set[int] = set()

        def screen(problem: Problem) -> str:
            """The reason to leave it out, "" to take it."""
            number = int(problem.id, 16)
            place = int(np.searchsorted(ids, np.uint64(number)))
            if place < len(ids) and ids[place] == number:
                return REASONS[reasons[place]]
            if number in repeated:
                if number in passed_ids:
                    return DUPLICATE
                passed_ids.add(number)
            return ""

        return screen


def can_load(path: Path) -> bool:
    """Whether what was decided is still there: a power cut, a backup or a tidy-up may take it."""
    try:
        return bool(np.load(path).dtype == _ROW)
    except (OSError, ValueError, EOFError):
        return False
