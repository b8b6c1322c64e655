"""The scan of local files: every row is looked at once before the first call."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from generator.errors import HalfWritten
from shared.errors import InputError

Row = dict[str, Any]
RowCheck = Callable[[Row], object]  # raises BadRow

LISTED_BAD_ROWS = 100
MOST_FIELDS = 1_000  # kept by name, as are subsets: a file of other things has no end of them


@dataclass
class Scan:
    """What the scan of local files found. `bad` lists the first bad rows as `file:line: why`."""

    rows: int = 0
    bad_rows: int = 0
    bad: list[str] = field(default_factory=list)
    subsets: Counter[str] = field(default_factory=Counter)  # rows by their `source` column
    fields: set[str] = field(default_factory=set)  # that some row has, the first thousand

    def count(self, row: Row) -> None:
        """Count a good row, its fields and its subset."""
        self.rows += 1
        if not self.fields.issuperset(row) and len(self.fields) < MOST_FIELDS:
            self.fields.update(row)
        subset = row.get("source")
        if not isinstance(subset, str):
            return
        if subset in self.subsets or len(self.subsets) < MOST_FIELDS:
            self.subsets[subset] += 1

    def refuse(self, place: str, why: str, on_bad_line: str, torn: bool = False) -> None:
        """Count a bad row, or stop at it. Errors: `InputError`; `HalfWritten` for one whose end
        is missing.
        """
        if on_bad_line == "stop":
            kind = HalfWritten if torn else InputError
            raise kind(f'{place}: {why}: correct the row, or set problems.on_bad_line = "skip"')
        self.bad_rows += 1
        if len(self.bad) < LISTED_BAD_ROWS:
            self.bad.append(f"{place}: {why}")

    def facts(self) -> dict[str, Any]:
        """As JSON-ready data, for `add_facts`."""
        return {
            "rows": self.rows,
            "bad_rows": self.bad_rows,
            "bad": self.bad,
            "subsets": dict(self.subsets),
            "fields": sorted(self.fields),
        }

    def add_facts(self, facts: Mapping[str, Any]) -> None:
        """Count what the scan of another piece of the data found, which comes after this one."""
        self.rows += facts["rows"]
        self.bad_rows += facts["bad_rows"]
        self.bad += facts["bad"]
        self.subsets.update(facts["subsets"])
        self.fields.update(facts["fields"])
