"""JSON lines of several files, addressable by number.

The scan keeps where each line starts in a temporary file (8 bytes a row), so that memory does not
grow with the data: 860,000 rows of NuminaMath-CoT and ten rows cost the same.
"""

import os
import tempfile
import weakref
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from struct import Struct
from typing import BinaryIO, cast

import orjson

from generator.problems.order import order_of
from generator.problems.rows import BadRow
from generator.problems.scan import Row, RowCheck, Scan
from shared.errors import InputError
from shared.row_files import open_lines

_OFFSET = Struct("<Q")


class JsonLines:
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
                row = parse_line(line)
                check(row)
            except BadRow as error:
                torn = not line.endswith((b"\n", b"}"))
                scan.refuse(f"{path}:{number}", str(error), on_bad_line, torn)
                continue
            scan.count(row)
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
        temporary_file = self._converted.get(path)
        if temporary_file is None:
            return _open(path)
        return Path(f"/proc/self/fd/{temporary_file.fileno()}").open("rb")

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
                yield self._paths[file_number], parse_line(file.readline())


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


def parse_line(line: bytes) -> Row:
    """The row of a line. Errors: `BadRow`."""
    try:
        row = orjson.loads(line.removeprefix(b"\xef\xbb\xbf"))
    except orjson.JSONDecodeError as error:
        raise BadRow(f"not JSON ({error})") from None
    if not isinstance(row, dict):
        raise BadRow(f"a JSON {type(row).__name__} where an object belongs")
    return row
