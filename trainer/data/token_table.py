"""All traces of a run's corpora by their place, as columns; tokens and texts are read where asked.

A million traces are 60 MB of columns while the selection is made, and 21 bytes a learnt trace after
it; their tokens stay in the files, which all processes map (`token_shards`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np

from trainer.data.examples import Example
from trainer.data.token_shards import TokenShard

Column = np.ndarray[Any, np.dtype[Any]]


class TokenTable:
    """The rows of several shards, laid end to end."""

    def __init__(self, shards: Sequence[TokenShard], corpora: Sequence[int]) -> None:
        """`corpora`: for each shard the number of the configuration's corpus."""
        self._shards = list(shards)
        self._corpora = np.array(corpora, dtype=np.int32)
        self._starts = np.cumsum([0] + [shard.num_rows for shard in shards], dtype=np.int64)

    def __len__(self) -> int:
        return int(self._starts[-1])

    def column(self, name: str) -> Column:
        """One field of ROW, of every row."""
        parts = [shard.rows[name] for shard in self._shards]
        return np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)

    def corpus_of(self, rows: Column) -> Column:
        """The number of the corpus of each of `rows`."""
        return self._corpora[np.searchsorted(self._starts, rows, side="right") - 1]

    def examples(self, rows: Column) -> "StoredExamples":
        """Some rows as examples."""
        lengths = self.column("length")[rows]
        prompt_lengths = self.column("prompt_length")[rows]
        return StoredExamples(self, rows, lengths, prompt_lengths, self.corpus_of(rows))

    def texts(self, row: int) -> list[Any]:
        """[id, problem_id, source, problem, gold, turn] of a row."""
        shard, place = self._find(row)
        return self._shards[shard].texts(place)

    def example(self, row: int) -> Example:
        """A row as it is learnt."""
        number, place = self._find(row)
        shard = self._shards[number]
        trace_id, problem_id, source, *_ = shard.texts(place)
        ids = shard.token_ids(place)
        row_entry = shard.rows[place]
        return Example(
            trace_id,
            problem_id,
            source,
            int(self._corpora[number]),
            ids,
            int(row_entry["prompt_length"]),
            bool(row_entry["box_added"]),
        )

    def _find(self, row: int) -> tuple[int, int]:
        shard = int(np.searchsorted(self._starts, row, side="right")) - 1
        return shard, int(row - self._starts[shard])


@dataclass(frozen=True, eq=False)
class StoredExamples(Sequence[Example]):
    """Examples that are read when they are asked for."""

    table: TokenTable
    rows: Column  # [n] int64
    lengths: Column  # [n] int32 tokens
    prompt_lengths: Column  # [n] int32
    corpora: Column  # [n] int32

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Example]:
        return (self.table.example(int(row)) for row in self.rows)

    @overload
    def __getitem__(self, place: int) -> Example: ...
    @overload
    def __getitem__(self, place: slice) -> list[Example]: ...

    def __getitem__(self, place: int | slice) -> Example | list[Example]:
        if isinstance(place, slice):
            return [self.table.example(int(row)) for row in self.rows[place]]
        return self.table.example(int(self.rows[place]))


def lengths_of(examples: Sequence[Example]) -> Column:
    """[n] int32 tokens of each example, which are not read for it where they are stored."""
    if isinstance(examples, StoredExamples):
        return examples.lengths
    return np.array([len(example) for example in examples], dtype=np.int32)
