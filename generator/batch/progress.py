"""The batches of a lane that are under way: noted in the ledger, told to the log and the status."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from generator.corpus.batch_table import BatchRow, batch_status
from generator.corpus.ledger import Ledger
from generator.monitor.status import BatchStatus


class BatchBook:
    """Owns the rows. Every change is in the ledger when `change` returns."""

    def __init__(self, ledger: Ledger, tell: Callable[..., None]) -> None:
        self._ledger = ledger
        self._tell = tell
        self.open_rows: dict[str, BatchRow] = {}
        self.fruitless = 0  # batches in a row that brought no answer at all
        self.fruitless_lines = 0  # in them

    def change(self, row: BatchRow, **fields: Any) -> BatchRow:
        """Note a batch as it is now. Errors: `CannotWrite`."""
        new_row = replace(row, **fields)
        if self.open_rows.get(row.name) != new_row:
            self._ledger.change_batch(new_row)
        if new_row.state == "done":
            self.open_rows.pop(row.name, None)
        else:
            self.open_rows[row.name] = new_row
        return new_row

    def say(self, event: str, row: BatchRow, **details: Any) -> None:
        """A line of the log."""
        self._tell(event, lane=row.lane, batch=row.name, **details)

    @property
    def active_count(self) -> int:
        """Batches that are on their way; what is held is not."""
        return sum(1 for row in self.open_rows.values() if row.state != "held")

    def status(self) -> list[BatchStatus]:
        """Of each, for the eye."""
        return [batch_status(row) for row in self.open_rows.values()]
