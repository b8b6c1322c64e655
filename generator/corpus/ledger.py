"""The ledger: a SQLite index of a corpus. Which samples are finished and where they stand, which
calls were made.

The shards are the truth; what is lost here is read again from them. One connection, in one thread,
writes. A finished sample is committed with its group (`commit`, at most a second later), a call at
once: budgets must survive a kill. WAL with synchronous=NORMAL makes a commit a write into the page
cache; the flushing is left to `checkpoint`, which may run in another thread.
"""

from generator.corpus.batch_table import BatchTable
from generator.corpus.call_table import CallTable
from generator.corpus.sample_table import SampleTable, shard_key
from shared.shards import PILES, shard_name


class Ledger(SampleTable, CallTable, BatchTable):
    """The index of one corpus: its samples, calls, batches, sealed shards and small notes."""

    def shards(self) -> set[str]:
        """The shards that are noted as sealed."""
        with self._errors():
            return {
                shard_name(PILES[pile], shard)
                for pile, shard in self._db.execute("SELECT * FROM shards")
            }

    def note_sealed(self, shard: str) -> None:
        """A shard is sealed (committed with its group)."""
        self._write("INSERT OR IGNORE INTO shards VALUES (?, ?)", shard_key(shard))

    def forget_shard(self, shard: str) -> int:
        """Take back what was noted about a shard, because it will be read again. Returns the
        samples forgotten.
        """
        numbers = shard_key(shard)
        self._write("DELETE FROM shards WHERE pile = ? AND shard = ?", numbers)
        return self._write("DELETE FROM samples WHERE pile = ? AND shard = ?", numbers).rowcount

    def forget_all_samples(self) -> None:
        """Take back everything but the calls, because all shards will be read again."""
        for table in ("samples", "totals", "shards"):
            self._write(f"DELETE FROM {table}", ())
        self.note("place", "")

    def note(self, name: str, value: str) -> None:
        """Keep a small text under a name (committed with its group)."""
        self._write("INSERT OR REPLACE INTO notes VALUES (?, ?)", (name, value))

    def noted(self, name: str) -> str:
        """The text kept under a name; "" where there is none."""
        with self._errors():
            row = self._db.execute("SELECT value FROM notes WHERE name = ?", (name,)).fetchone()
        return row[0] if row else ""
