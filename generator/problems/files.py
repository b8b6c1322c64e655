"""Local files, scanned once before the first call, then read row by row in a seeded order: JSON
lines, Parquet, and what `formats` makes JSON lines of.

The scan of a JSONL file keeps where each line starts in a temporary file (8 bytes a row), so that
memory does not grow with the data: 860,000 rows of NuminaMath-CoT and ten rows cost the same.
"""

import os
import tempfile
import weakref
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from struct import Struct
from typing import Any, BinaryIO, cast

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from generator.errors import HalfWritten
from generator.problems.formats import SUFFIXES, check_format, choose_files, first_row, open_lines
from generator.problems.order import order_of, shuffled
from generator.problems.rows import BadRow
from generator.problems.splits import files_of_split
from shared.errors import InputError

Row = dict[str, Any]
RowCheck = Callable[[Row], object]  # raises BadRow

_OFFSET = Struct("<Q")
_PARQUET_BATCH_ROWS = 1_000
LISTED_BAD_ROWS = 100


@dataclass
class Scan:
    """What the scan of local files found. `bad` lists the first bad rows as `file:line: why`."""

    rows: int = 0
    bad_rows: int = 0
    bad: list[str] = field(default_factory=list)
    subsets: Counter[str] = field(default_factory=Counter)  # rows by their `source` column
    fields: set[str] = field(default_factory=set)  # that some row has, the first thousand

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


def data_files(path: Path, split: str = "") -> tuple[list[Path], str]:
    """The data files at `path`, and a line on what was taken: itself, or every data file below a
    folder.

    `split`: of a folder, only the files of this split; "": all. Errors: `InputError`.
    """
    if path.is_file():
        check_format(path)
        return [path], ""
    if not path.is_dir():
        raise InputError(f"{path}: no such file or folder: correct problems.source")
    everything = list(path.rglob("*"))
    files = choose_files(everything)
    if not files:
        for other_file in sorted(everything):
            check_format(other_file)
        raise InputError(
            f"{path}: no data file in this folder ({', '.join(SUFFIXES[:6])}, .gz): correct"
            " problems.source"
        )
    return files_of_split(path, files, split)


def open_files(
    paths: list[Path],
    check: RowCheck,
    columns: frozenset[str],
    on_bad_line: str,
    seed: int | None,
    first_row: int = 0,
) -> tuple[Scan, Iterator[tuple[Path, Row]]]:
    """Scan every file, then give (file, row) in the order of `seed` (None: as they stand), from
    `first_row` on.

    Errors: `InputError` naming `file:line`, from the scan.

    JSONL rows are permuted exactly; Parquet rows by row group and a shuffle buffer. Of a mixture,
    JSONL comes first.
    """
    scan = Scan()
    lines = _Lines([p for p in paths if p.suffix != ".parquet"], check, on_bad_line, scan)
    tables = [_open_parquet(p) for p in paths if p.suffix == ".parquet"]
    for path, table in tables:
        _scan_parquet(path, table, check, columns, on_bad_line, scan)
    if not tables:
        return scan, lines.read(seed, first_row)
    return scan, islice(_both(lines, tables, check, columns, seed), first_row, None)


def _both(
    lines: "_Lines",
    tables: list[tuple[Path, pq.ParquetFile]],
    check: RowCheck,
    columns: frozenset[str],
    seed: int | None,
) -> Iterator[tuple[Path, Row]]:
    yield from lines.read(seed)
    rows = _parquet_rows(tables, check, columns, seed)
    yield from rows if seed is None or not tables else shuffled(rows, seed)


class _Lines:
    """The good lines of several JSONL files, addressable by number. Owns the temporary index of
    where they start.
    """

    def __init__(self, paths: list[Path], check: RowCheck, on_bad_line: str, scan: Scan) -> None:
        self._paths = paths
        self._starts: list[int] = []  # the number of each file's first good line
        self._rows = 0
        self._index = _temporary_file()
        weakref.finalize(self, self._index.close)
        self._converted: dict[Path, BinaryIO] = {}  # what is no JSON lines, as JSON lines
        for path in paths:
            self._starts.append(self._rows)
            file = open_lines(path)
            try:
                self._scan(path, file, check, on_bad_line, scan)
            finally:
                self._keep_or_close(path, file)
        try:
            self._index.flush()
        except OSError as error:
            raise _no_room(error) from None

    def _scan(
        self, path: Path, file: BinaryIO, check: RowCheck, on_bad_line: str, scan: Scan
    ) -> None:
        offset = 0
        for number, line in enumerate(file, 1):
            start = offset
            offset += len(line)
            if not line.strip():
                continue
            try:
                row = _parse(line)
                check(row)
            except BadRow as error:
                torn = not line.endswith((b"\n", b"}"))
                scan.refuse(f"{path}:{number}", str(error), on_bad_line, torn)
                continue
            _count(row, scan)
            try:
                self._index.write(_OFFSET.pack(start))
            except OSError as error:
                raise _no_room(error) from None
            self._rows += 1

    def _keep_or_close(self, path: Path, file: BinaryIO) -> None:
        """A converted file is temporary: it lives as long as it is open."""
        if file.name == str(path):
            file.close()
        else:
            self._converted[path] = file
            weakref.finalize(self, file.close)

    def _reopened(self, path: Path) -> BinaryIO:
        """A file once more, with a place of its own in it."""
        converted = self._converted.get(path)
        if converted is None:
            return _open(path)
        return Path(f"/proc/self/fd/{converted.fileno()}").open("rb")

    def read(self, seed: int | None, first_row: int = 0) -> Iterator[tuple[Path, Row]]:
        """(file, row) in the order of `seed`, from `first_row` on."""
        index = self._index.fileno()
        order = order_of(self._rows, seed)
        with ExitStack() as stack:
            files = [stack.enter_context(self._reopened(path)) for path in self._paths]
            for step in range(first_row, self._rows):
                number = order[step]
                (offset,) = _OFFSET.unpack(os.pread(index, 8, 8 * number))
                file_number = bisect_right(self._starts, number) - 1
                file = files[file_number]
                file.seek(offset)
                yield self._paths[file_number], _parse(file.readline())


def _temporary_file() -> BinaryIO:
    try:
        return cast(BinaryIO, tempfile.TemporaryFile(prefix="stillhouse-lines-"))
    except OSError as error:
        raise _no_room(error) from None


def _no_room(error: OSError) -> InputError:
    return InputError(
        f"no room for a temporary file: {error.strerror}: set TMPDIR to a folder that has some"
    )


def _open(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise InputError(
            f"{path}: {error.strerror}: correct problems.source or the file's permissions"
        ) from None


def _parse(line: bytes) -> Row:
    try:
        row = orjson.loads(line.removeprefix(b"\xef\xbb\xbf"))
    except orjson.JSONDecodeError as error:
        raise BadRow(f"not JSON ({error})") from None
    if not isinstance(row, dict):
        raise BadRow(f"a JSON {type(row).__name__} where an object belongs")
    return row


def _count(row: Row, scan: Scan) -> None:
    scan.rows += 1
    if not scan.fields.issuperset(row) and len(scan.fields) < 1000:
        scan.fields.update(row)
    subset = row.get("source")
    if isinstance(subset, str) and (subset in scan.subsets or len(scan.subsets) < 1000):
        scan.subsets[subset] += 1


def first_columns(paths: list[Path]) -> set[str]:
    """The columns of the first row that can be read: by them a data set is recognised."""
    for path in paths:
        if path.suffix == ".parquet":
            columns = set(_open_parquet(path)[1].schema_arrow.names)
        else:
            columns = set(first_row(path))
        if columns:
            return columns
    return set()


def column_names(paths: list[Path]) -> set[str]:
    """The columns of the Parquet files among `paths`, those that are not read as well."""
    return {
        name for path in paths if path.suffix == ".parquet" for name in pq.read_schema(path).names
    }


def _open_parquet(path: Path) -> tuple[Path, pq.ParquetFile]:
    try:
        return path, pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(
            f"{path}: not a readable Parquet file ({str(error).splitlines()[0]})"
        ) from None


def _scan_parquet(
    path: Path,
    table: pq.ParquetFile,
    check: RowCheck,
    columns: frozenset[str],
    on_bad_line: str,
    scan: Scan,
) -> None:
    for number, row in enumerate(_rows_of(path, table, columns, range(table.num_row_groups)), 1):
        try:
            check(row)
            _count(row, scan)
        except BadRow as error:
            scan.refuse(f"{path}:{number}", str(error), on_bad_line)


def _parquet_rows(
    tables: list[tuple[Path, pq.ParquetFile]],
    check: RowCheck,
    columns: frozenset[str],
    seed: int | None,
) -> Iterator[tuple[Path, Row]]:
    groups = [
        (path, table, group) for path, table in tables for group in range(table.num_row_groups)
    ]
    order = order_of(len(groups), seed)
    for step in range(len(groups)):
        path, table, group = groups[order[step]]
        for row in _rows_of(path, table, columns, [group]):
            try:
                check(row)
            except BadRow:
                continue  # the scan has counted it
            yield path, row


def _rows_of(
    path: Path, table: pq.ParquetFile, columns: frozenset[str], groups: range | list[int]
) -> Iterator[Row]:
    names = [name for name in table.schema_arrow.names if name in columns]
    try:
        for batch in table.iter_batches(_PARQUET_BATCH_ROWS, row_groups=groups, columns=names):
            yield from batch.to_pylist()
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(f"{path}: damaged Parquet file ({str(error).splitlines()[0]})") from None
