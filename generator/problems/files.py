"""Local files, scanned once before the first call, then read row by row in a seeded order: JSON
lines, Parquet, and what `shared.row_files` makes JSON lines of.
"""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pyarrow.parquet as pq

from generator.problems.lines import JsonLines
from generator.problems.order import shuffled
from generator.problems.parquet import ParquetTables, open_parquet
from generator.problems.scan import Row, RowCheck, Scan
from shared.errors import InputError
from shared.file_search import everything_below
from shared.row_files import SUFFIXES, check_format, choose_files, first_row
from shared.splits import files_of_split


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
    everything = everything_below(path)
    files = choose_files(everything)
    if not files:
        for other_file in everything:
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
    line_paths = [path for path in paths if path.suffix != ".parquet"]
    parquet_paths = [path for path in paths if path.suffix == ".parquet"]
    lines = JsonLines(line_paths, check, on_bad_line, scan)
    tables = ParquetTables(parquet_paths, check, columns)
    tables.scan(on_bad_line, scan)
    if not len(tables):
        return scan, lines.read(seed, first_row)
    return scan, islice(_both(lines, tables, seed), first_row, None)


def _both(lines: JsonLines, tables: ParquetTables, seed: int | None) -> Iterator[tuple[Path, Row]]:
    yield from lines.read(seed)
    rows = tables.rows(seed)
    yield from rows if seed is None else shuffled(rows, seed)


def first_columns(paths: list[Path]) -> set[str]:
    """The columns of the first row that can be read: by them a data set is recognised."""
    for path in paths:
        if path.suffix == ".parquet":
            columns = set(open_parquet(path).schema_arrow.names)
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
