"""Files of rows in the shapes in which people keep them, made JSON lines that can be addressed by number.

    array.json            [{"problem": …}, {"problem": …}]         one JSON array, read as a stream
    rows.jsonl.gz         JSON lines, compressed                   (.json.gz, .csv.gz likewise)
    rows.csv, rows.tsv    a header, then one row a line
    utf-16.jsonl          JSON lines in UTF-16, as Windows writes them

JSON lines in UTF-8 are read where they lie. Everything else is converted once, row by row, into a temporary
file that is gone with the process: memory does not grow with the data. Row numbers are those of the original.
"""

import codecs
import csv
import gzip
import io
import json
import sys
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, TextIO, cast

import orjson

from shared.errors import InputError

SUFFIXES = (
    ".jsonl",
    ".ndjson",
    ".json",
    ".csv",
    ".tsv",
    ".parquet",
    ".jsonl.gz",
    ".ndjson.gz",
    ".json.gz",
    ".csv.gz",
    ".tsv.gz",
)
PREFERRED_SUFFIXES = (".jsonl", ".ndjson", ".parquet", ".jsonl.gz", ".ndjson.gz")
# What people have beside these, and what makes a file that can be read.
REMEDIES = {
    ".zip": "unpack it",
    ".xlsx": "save it as CSV",
    ".xls": "save it as CSV",
    ".zst": "unpack it (`zstd -d`)",
    ".xz": "unpack it (`xz -d`)",
    ".bz2": "unpack it (`bzip2 -d`)",
    ".arrow": "write it as Parquet (`datasets.Dataset.from_file(…).to_parquet(…)`)",
    ".yaml": "write it as JSON lines",
    ".yml": "write it as JSON lines",
    ".txt": "write it as JSON lines, one object a problem",
}
PARQUET = ".parquet"
SNIFFED_BYTES = 4096
BYTE_ORDER_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


class _DamagedArray(ValueError):
    """A JSON array that ends early or is none."""


# What reading a damaged file raises.
DAMAGE = (_DamagedArray, UnicodeError, csv.Error, EOFError, zlib.error, OSError)


def is_data_file(path: Path | str) -> bool:
    """Whether a file is read as rows: by the end of its name."""
    return str(path).lower().endswith(SUFFIXES)


def without_suffix(path: Path) -> Path:
    """`path` without the end that makes it a data file: x for x.jsonl.gz."""
    name = path.name.removesuffix(".gz")
    return path.with_name(name).with_suffix("")


def check_format(path: Path) -> None:
    """Refuse a file that is none of these, naming its format and the remedy. Errors: `InputError`."""
    remedy = REMEDIES.get(path.suffix.lower())
    if remedy and not is_data_file(path):
        raise InputError(f"{path}: {path.suffix} files are not read: {remedy}, then name that file")


def choose_files(paths: Iterable[Path]) -> list[Path]:
    """The data files among a folder's files.

    JSON lines and Parquet where there are any: then a .json or .csv beside them describes the data set.
    """
    files = sorted(path for path in paths if is_data_file(path) and path.is_file())
    plain_files = [path for path in files if path.name.lower().endswith(PREFERRED_SUFFIXES)]
    return plain_files or files


def first_row(path: Path) -> dict[str, Any]:
    """The first row of a file; {} where there is none that can be read (reading it will say why)."""
    try:
        with path.open("rb") as file:
            head = file.read(SNIFFED_BYTES)
        return next(_rows(path, head), {})
    except (*DAMAGE, InputError):
        return {}


def open_lines(path: Path) -> BinaryIO:
    """The rows of a file as JSON lines in UTF-8, seekable: the file itself, or a temporary one.

    Errors: `InputError` for a file that cannot be read, or is damaged, with the row where it ends.
    """
    check_format(path)
    head = _head(path)
    if _is_plain(path, head):
        return path.open("rb")
    lines = cast(BinaryIO, tempfile.TemporaryFile(prefix="stillhouse-rows-"))  # noqa: SIM115
    try:
        _convert(path, head, lines)
    except BaseException:
        lines.close()
        raise
    lines.seek(0)
    return lines


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(SNIFFED_BYTES)
    except OSError as error:
        raise InputError(
            f"{path}: {error.strerror}: correct the path or the file's permissions"
        ) from None


def _convert(path: Path, head: bytes, lines: BinaryIO) -> None:
    row_count = 0
    try:
        for row in _rows(path, head):
            lines.write(_line_of(row))
            row_count += 1
    except DAMAGE as error:
        why = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(
            f"{path}: damaged after row {row_count:,} ({why}): fetch it again"
        ) from None


def _line_of(row: dict[str, Any]) -> bytes:
    """One JSON line; ijson gives fractions as `Decimal` and integers of any length."""
    try:
        return orjson.dumps(row, default=float, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:  # an integer beyond 64 bits
        return json.dumps(row, default=float, ensure_ascii=False).encode() + b"\n"


def is_addressable(path: Path) -> bool:
    """Whether `open_lines` gives the file itself, whose lines may be read from any byte on. Errors:
    as there.
    """
    check_format(path)
    return _is_plain(path, _head(path))


def _is_plain(path: Path, head: bytes) -> bool:
    if path.name.lower().endswith((".csv", ".tsv", ".gz")) or _encoding(head) != "utf-8":
        return False
    return not head.removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"[")


def _encoding(head: bytes) -> str:
    """By the byte order mark; without one, UTF-16 shows by the zero bytes of its ASCII."""
    for mark, encoding in BYTE_ORDER_MARKS.items():
        if head.startswith(mark):
            return encoding
    if head[1:2] == b"\0":
        return "utf-16-le"
    if head[:1] == b"\0":
        return "utf-16-be"
    return "utf-8"


def _rows(path: Path, head: bytes) -> Iterator[dict[str, Any]]:
    name = path.name.lower()
    is_gzip = name.endswith(".gz")
    with cast(BinaryIO, gzip.open(path)) if is_gzip else path.open("rb") as source:
        if is_gzip:
            head = source.read(SNIFFED_BYTES)
            source.seek(0)
            name = name.removesuffix(".gz")
        encoding = _encoding(head)
        text_encoding = "utf-8-sig" if encoding == "utf-8" else encoding
        text = io.TextIOWrapper(source, encoding=text_encoding, newline="")
        if head.decode(encoding, "ignore").lstrip("\ufeff \t\r\n").startswith("["):
            yield from _array_rows(path, _Utf8Reader(text))
        elif name.endswith((".csv", ".tsv")):
            yield from _csv_rows(text, "\t" if name.endswith(".tsv") else ",")
        else:
            yield from _line_rows(path, text)


class _Utf8Reader:
    """The text of a stream in UTF-8, whatever its own encoding: what ijson reads."""

    def __init__(self, text: TextIO) -> None:
        self._text = text

    def read(self, size: int = -1) -> bytes:
        """The next `size` characters, all of them for -1."""
        return self._text.read(size).encode()


def _csv_rows(text: TextIO, delimiter: str) -> Iterator[dict[str, Any]]:
    csv.field_size_limit(min(sys.maxsize, 1 << 27))  # a solution is longer than csv's 128 KiB
    for row in csv.DictReader(text, delimiter=delimiter, strict=True):
        yield {name: value for name, value in row.items() if name is not None}


def _array_rows(path: Path, source: _Utf8Reader) -> Iterator[dict[str, Any]]:
    for number, row in enumerate(_array_items(source), 1):
        if not isinstance(row, dict):
            raise InputError(
                f"{path}: row {number:,} is a JSON {type(row).__name__} where an object belongs"
            )
        yield row


def _array_items(source: _Utf8Reader) -> Iterator[Any]:
    """The items of a JSON array, as a stream. The trainer's environment has no ijson: what it
    reads here are benchmarks, which are small.
    """
    try:
        import ijson
    except ImportError:
        try:
            yield from orjson.loads(source.read())
        except orjson.JSONDecodeError as error:
            raise _DamagedArray(str(error)) from None
        return
    try:
        yield from ijson.items(source, "item")
    except ijson.JSONError as error:
        raise _DamagedArray(str(error)) from None


def _line_rows(path: Path, text: TextIO) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(text, 1):
        if not line.strip():
            continue
        try:
            row = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise InputError(f"{path}:{number}: not JSON ({error}): correct the line") from None
        if not isinstance(row, dict):
            raise InputError(
                f"{path}:{number}: a JSON {type(row).__name__} where an object belongs"
            )
        yield row
