"""What a screening left out, by reason."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from shared.contamination import Contamination

DUPLICATE = "duplicate"
NEAR_DUPLICATE = "near-duplicate"
COPY = "copy of an evaluation problem"
OTHER_NUMBERS = "evaluation problem with other numbers"
REASONS = (DUPLICATE, NEAR_DUPLICATE, COPY, OTHER_NUMBERS)


@dataclass
class ScreeningSummary:
    """Counts of one screening, as `plan`, the report and a data card show them."""

    rows: int = 0
    # by reason, ids for copies and rows for duplicates
    left_out: Counter[str] = field(default_factory=Counter)
    copies: Counter[str] = field(default_factory=Counter)  # "gsm8k:test, near text": problems
    # by evaluation set; left out only if the configuration says so
    other_numbers: Counter[str] = field(default_factory=Counter)
    sharing_8: int = 0  # problems with one 8-gram in common: what open-r1's rule would drop
    sharing_13: int = 0
    evaluation_problems: int = 0
    near_duplicates: float = 0.0  # the threshold in force, 0: not looked for

    def count(self, finding: Contamination) -> None:
        """Count what one problem shares with the evaluation sets."""
        self.sharing_8 += finding.shares_8
        self.sharing_13 += finding.shares_13
        if finding.hit is None:
            return
        if finding.hit.contaminated:
            self.copies[f"{finding.hit.evaluation}, {finding.hit.kind}"] += 1
        else:
            self.other_numbers[finding.hit.evaluation] += 1

    def row(self) -> dict[str, Any]:
        """As JSON-ready data (`dataclasses.asdict` makes a Counter count its own items)."""
        row = {}
        for each in fields(self):
            value = getattr(self, each.name)
            row[each.name] = dict(value) if isinstance(value, Counter) else value
        return row

    @classmethod
    def read(cls, row: Mapping[str, Any]) -> "ScreeningSummary":
        """The summary that `row` made."""
        counters = {name: Counter(row[name]) for name in ("left_out", "copies", "other_numbers")}
        return cls(**{**row, **counters})
