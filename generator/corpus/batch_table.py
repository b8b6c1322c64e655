"""The batches in the ledger: files of requests that were, or may have been, sent to a provider."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

from generator.corpus.ledger_file import LedgerFile
from generator.monitor.status import BatchStatus

# prepared   its file stands on this disk, and may have been uploaded
# uploaded   the provider has the file, and may have been asked to make a batch of it
# created    the batch is under way
# ended      nothing more comes of it; its lines are being taken over
# held       it may be under way, and the provider lists nothing: never sent again
# done       every line is a row, or a sample that is asked again
BatchState = Literal["prepared", "uploaded", "created", "ended", "held", "done"]


@dataclass(frozen=True, slots=True)
class BatchRow:
    """One batch. Field order is that of the table's columns."""

    name: str  # of its file, here and at the provider
    lane: str
    state: BatchState
    lines: int
    first_call: int  # the call of line 0; the others follow
    sent_at: float  # seconds since 1970; the day on which its lines count
    tokens: int  # reserved for a line
    usd: float
    file_id: str = ""
    batch_id: str = ""
    status: str = ""  # the provider's word
    completed: int = 0
    failed: int = 0
    output_file_id: str = ""
    error_file_id: str = ""
    expires_at: float = 0.0
    note: str = ""


_NAMES = tuple(field.name for field in fields(BatchRow))


class BatchTable(LedgerFile):
    """One row a batch; every change is committed at once."""

    def add_batch(
        self, row: BatchRow, account: str, sample_ids: Sequence[str], first_call: int
    ) -> None:
        """Note a batch and one call for each of its lines, before anything is sent."""
        for number, sample_id in enumerate(sample_ids):
            self._write(
                "INSERT INTO calls (id, lane, account, sample_id, at, tokens, usd)"
                " VALUES (?,?,?,?,?,?,?)",
                (
                    first_call + number,
                    row.lane,
                    account,
                    sample_id,
                    row.sent_at,
                    row.tokens,
                    row.usd,
                ),
            )
        self._put(row)

    def change_batch(self, row: BatchRow) -> None:
        """Put a batch as it is now in place of what was noted of it."""
        self._put(row)

    def batches(self) -> list[BatchRow]:
        """Those that are not done, oldest first."""
        with self._errors():
            if not self._has_table():  # an older ledger, opened to be read
                return []
            names = ", ".join(_NAMES)
            rows = self._db.execute(
                f"SELECT {names} FROM batches WHERE state <> 'done' ORDER BY first_call"
            ).fetchall()
        return [BatchRow(*row) for row in rows]

    def batch_names(self) -> set[str]:
        """Of every batch that was ever noted."""
        with self._errors():
            return {row[0] for row in self._db.execute("SELECT name FROM batches")}

    def settled_lines(self, row: BatchRow) -> dict[int, str]:
        """What became of a batch's lines, by their number, as far as it is known."""
        with self._errors():
            rows = self._db.execute(
                "SELECT id - ?, outcome FROM calls WHERE id >= ? AND id < ?"
                " AND outcome IS NOT NULL",
                (row.first_call, row.first_call, row.first_call + row.lines),
            ).fetchall()
        return dict(rows)

    def _has_table(self) -> bool:
        table = self._db.execute("SELECT 1 FROM sqlite_master WHERE name = 'batches'").fetchone()
        return table is not None

    def _put(self, row: BatchRow) -> None:
        marks = ", ".join("?" * len(_NAMES))
        values: list[Any] = [getattr(row, name) for name in _NAMES]
        self._write(
            f"INSERT OR REPLACE INTO batches ({', '.join(_NAMES)}) VALUES ({marks})", values
        )
        self.commit()


def batch_status(row: BatchRow) -> BatchStatus:
    """A batch as `status`, the panel and the dashboard show it."""
    return BatchStatus(
        name=row.name,
        lane=row.lane,
        state=row.state,
        lines=row.lines,
        completed=row.completed,
        failed=row.failed,
        status=row.status,
        expires_at=row.expires_at,
        note=row.note,
    )
