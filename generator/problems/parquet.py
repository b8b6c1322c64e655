"""Parquet files, read a row group at a time; columns that nobody reads stay on the disk."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from generator.problems.order import order_of
from generator.problems.rows import BadRow
from generator.problems.scan import Row, RowCheck, Scan
from shared.errors import InputError

BATCH_ROWS = 1_000


def open_parquet(path: Path) -> pq.ParquetFile:
    """Its metadata is read. Errors: `InputError`."""
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(
            f"{path}: not a readable Parquet file ({str(error).splitlines()[0]})"
        ) from None


class ParquetTables:
    """Several files as one table of rows that `check` lets through. `columns`: those to read."""

    def __init__(self, paths: list[Path], check: RowCheck, columns: frozenset[str]) -> None:
        self._tables = [(path, open_parquet(path)) for path in paths]
        self._check = check
        self._columns = columns

    def __len__(self) -> int:
        """How many files."""
        return len(self._tables)

    def scan(self, on_bad_line: str, scan: Scan) -> None:
        """Look at every row. Errors: `InputError` naming `file:row`."""
        for path, table in self._tables:
            groups = range(table.num_row_groups)
            for number, row in enumerate(self._rows_of(path, table, groups), 1):
                try:
                    self._check(row)
                    scan.count(row)
                except BadRow as error:
                    scan.refuse(f"{path}:{number}", str(error), on_bad_line)

    def rows(self, seed: int | None) -> Iterator[tuple[Path, Row]]:
        """(file, row), row groups in the order of `seed` (None: as they stand)."""
        groups = [
            (path, table, group)
            for path, table in self._tables
            for group in range(table.num_row_groups)
        ]
        order = order_of(len(groups), seed)
        for step in range(len(groups)):
            path, table, group = groups[order[step]]
            for row in self._rows_of(path, table, [group]):
                try:
                    self._check(row)
                except BadRow:
                    continue  # the scan has counted it
                yield path, row

    def rows_of_groups(self, groups: range) -> Iterator[Row]:
        """The rows of these row groups of each file, as they stand."""
        for path, table in self._tables:
            yield from self._rows_of(path, table, groups)

    def _rows_of(
        self, path: Path, table: pq.ParquetFile, groups: range | list[int]
    ) -> Iterator[Row]:
        names = [name for name in table.schema_arrow.names if name in self._columns]
        try:
            for batch in table.iter_batches(BATCH_ROWS, row_groups=groups, columns=names):
                yield from batch.to_pylist()
        except (pa.ArrowInvalid, OSError) as error:
            message = str(error).splitlines()[0]
            raise InputError(f"{path}: damaged Parquet file ({message})") from None
