"""What an export does with one shard, and who does it: this process, or workers that are handed in.

A shard is read twice: notes on every trace, then the chosen ones as they are written.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

import pyarrow as pa

from generator.export.card import Facts
from generator.export.selection import (
    ExportChoice,
    ShardNotes,
    failures_in,
    notes_of,
    traces_at,
)
from generator.export.writing import chat_lines, table_of

Kind = Literal["chat", "table"]
Block: TypeAlias = bytes | pa.Table


@dataclass(frozen=True, slots=True)
class RowsRequest:
    """The chosen traces of one shard: where they start, and their problems' pass rates."""

    file: Path
    offsets: Sequence[int]
    pass_rates: Sequence[float | None]
    kind: Kind


class ShardWork(Protocol):
    """Everything comes in the order in which it was asked for."""

    def notes(self, files: Sequence[Path], choice: ExportChoice) -> Iterable[ShardNotes]:
        """Of each shard of the kept pile. Errors: `InputError` with file and line."""
        ...

    def failures(self, files: Sequence[Path]) -> Iterable["Counter[str]"]:
        """Of each shard of what was rejected: see `failures_in`."""
        ...

    def blocks(self, requests: Sequence[RowsRequest]) -> Iterable[tuple[Block, Facts]]:
        """Of each request what is written, and what was counted."""
        ...


class InThisProcess:
    """One shard after the other."""

    def notes(self, files: Sequence[Path], choice: ExportChoice) -> Iterator[ShardNotes]:
        """See `ShardWork`."""
        return (notes_of(file, choice) for file in files)

    def failures(self, files: Sequence[Path]) -> Iterator["Counter[str]"]:
        """See `ShardWork`."""
        return map(failures_in, files)

    def blocks(self, requests: Sequence[RowsRequest]) -> Iterator[tuple[Block, Facts]]:
        """See `ShardWork`."""
        return map(block_of, requests)


def block_of(request: RowsRequest) -> tuple[Block, Facts]:
    """The chosen traces of one shard as they are written: chat lines, or a table."""
    facts = Facts()
    traces = facts.counting(traces_at(request.file, request.offsets))
    if request.kind == "chat":
        return chat_lines(traces), facts
    return table_of(traces, request.pass_rates), facts


def requests_for(notes: Iterable[tuple[Path, int, float | None]], kind: Kind) -> list[RowsRequest]:
    """A request for each shard of `Chosen.notes`, in order."""
    requests = []
    for file, lines in groupby(notes, key=itemgetter(0)):
        places = list(lines)
        offsets = [offset for _, offset, _ in places]
        pass_rates = [pass_rate for _, _, pass_rate in places]
        requests.append(RowsRequest(file, offsets, pass_rates, kind))
    return requests
