"""A data set in pieces, each read by itself: byte ranges of JSON lines, row groups of Parquet.

Piece k of n has what begins between k/n and (k+1)/n of all bytes; put together, the pieces are every
row once, in the order of the files. What has to be converted before it can be addressed (CSV,
`.gz`, one JSON array) is a piece's as a whole file. A row is parsed once, where one process scans
the files and then reads them; what the scan would have refused is refused when the facts of all
pieces are put together.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from generator.config import ProblemsConfig
from generator.problems.files import data_files
from generator.problems.gold_search import GoldSearch
from generator.problems.lines import parse_line
from generator.problems.parquet import ParquetTables, open_parquet
from generator.problems.rows import BadRow, RowShape
from generator.problems.scan import LISTED_BAD_ROWS, Row, Scan
from generator.problems.sources import check_scan, data_set_names, shape_of
from shared.records import Problem
from shared.row_files import is_addressable, open_lines


@dataclass(frozen=True, slots=True)
class _Span:
    """What a piece has of one file: bytes of lines or row groups from `start` to `stop`; None: all
    of it.
    """

    file: Path
    start: int = 0
    stop: int | None = None


class Piece(Iterator[Problem]):
    """The problems of piece `number` of `pieces` of the local data at `path`.

    Errors: `InputError` naming `file:line`, from the iteration.
    """

    def __init__(
        self, config: ProblemsConfig, path: Path, needs_gold: bool, number: int, pieces: int
    ) -> None:
        files, _ = data_files(path, config.split)
        self._shape = shape_of(config, path, files, needs_gold)
        self._names = data_set_names(path, files)
        self._on_bad_line = config.on_bad_line
        self._scan = Scan()
        self._golds = GoldSearch(self._shape)
        self._problems = self._read(_spans(_in_order(files), number, pieces))

    def __next__(self) -> Problem:
        return next(self._problems)

    def facts(self) -> dict[str, Any]:
        """What the piece saw, for `check_pieces`. At its end."""
        return {"scan": self._scan.facts(), "golds": self._golds.facts()}

    def _read(self, spans: Sequence[_Span]) -> Iterator[Problem]:
        for span in spans:
            rows = _table_rows if span.file.suffix == ".parquet" else _line_rows
            for place, row, why in rows(span, self._shape):
                if row is None:
                    self._refuse(span, place, why)
                    continue
                try:
                    item = self._shape.read(row, self._names[span.file])
                except BadRow as error:
                    self._refuse(span, place, str(error))
                    continue
                self._golds.count(item)
                self._scan.count(row)
                if isinstance(item, Problem):
                    yield item

    def _refuse(self, span: _Span, place: int, why: str) -> None:
        line = place + _lines_before(span)
        self._scan.refuse(f"{span.file}:{line}", why, self._on_bad_line)


def check_pieces(
    config: ProblemsConfig, path: Path, needs_gold: bool, facts: Sequence[Mapping[str, Any]]
) -> None:
    """What the scan of the whole data would have refused. Errors: `InputError`."""
    files, _ = data_files(path, config.split)
    scan = Scan()
    golds = GoldSearch(shape_of(config, path, files, needs_gold))
    for piece in facts:
        scan.add_facts(piece["scan"])
        golds.add_facts(piece["golds"])
    del scan.bad[LISTED_BAD_ROWS:]
    check_scan(config, path, files, scan, golds)


def _in_order(files: Sequence[Path]) -> list[Path]:
    """As one process reads them: lines before tables."""
    return sorted(files, key=lambda file: file.suffix == ".parquet")


def _spans(files: Sequence[Path], number: int, pieces: int) -> list[_Span]:
    sizes = [file.stat().st_size for file in files]
    total = sum(sizes)
    first_byte = total * number // pieces
    end_byte = total * (number + 1) // pieces
    spans = []
    offset = 0
    for file, size in zip(files, sizes, strict=True):
        start = max(0, first_byte - offset)
        stop = min(size, end_byte - offset)
        offset += size
        if start >= stop:
            continue
        span = _span(file, size, start, stop)
        if span is not None:
            spans.append(span)
    return spans


def _span(file: Path, size: int, start: int, stop: int) -> _Span | None:
    """What begins between two bytes of a file."""
    if file.suffix == ".parquet":
        groups = open_parquet(file).num_row_groups
        first_group = -(-start * groups // size)  # group g begins at g/groups of the file
        end_group = -(-stop * groups // size)
        return _Span(file, first_group, end_group) if first_group < end_group else None
    if is_addressable(file):
        return _Span(file, start, stop)
    return _Span(file) if start == 0 else None


def _line_rows(span: _Span, shape: RowShape) -> Iterator[tuple[int, Row | None, str]]:
    """(number of the line in the span, row, "") or (number, None, why it is none)."""
    with open_lines(span.file) as lines:
        position = span.start
        if span.start:
            lines.seek(span.start - 1)
            # the end of a line that begins before: the piece before this one has it
            position += len(lines.readline()) - 1
        number = 0
        while span.stop is None or position < span.stop:
            line = lines.readline()
            if not line:
                return
            position += len(line)
            number += 1
            if not line.strip():
                continue
            try:
                row = parse_line(line)
            except BadRow as error:
                yield number, None, str(error)
                continue
            yield number, row, ""


def _table_rows(span: _Span, shape: RowShape) -> Iterator[tuple[int, Row | None, str]]:
    assert span.stop is not None
    table = ParquetTables([span.file], lambda row: None, shape.columns())
    for number, row in enumerate(table.rows_of_groups(range(span.start, span.stop)), 1):
        yield number, row, ""


def _lines_before(span: _Span) -> int:
    """Lines, or rows, of the file before the span: read where a bad one has to be named."""
    if span.start == 0:
        return 0
    if span.file.suffix == ".parquet":
        metadata = open_parquet(span.file).metadata
        return sum(metadata.row_group(group).num_rows for group in range(span.start))
    with span.file.open("rb") as file:
        lines = file.read(span.start - 1).count(b"\n")
        return lines + file.readline().count(b"\n")
