"""Shards: append, seal, read, verify. A shard is JSON lines in `CORPUS/<pile>/shard-000000.jsonl`, `.open` while written.

A line is written by one `write` of the whole line, so a killed process leaves at most one torn tail, which opening the
shard for appending cuts off. A sealed shard never changes again; `manifest.json` lists it with rows, bytes and sha256.
"""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import orjson

from shared.exits import CannotWrite, InputError

Pile = Literal["traces", "rejected"]
PILES: tuple[Pile, ...] = ("traces", "rejected")
OPEN = ".open"


@dataclass(frozen=True, slots=True)
class SealedShard:
    """One entry of the manifest; `name` is relative to the corpus ("traces/shard-000000.jsonl")."""

    name: str
    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Position:
    """Where a line stands: enough to find it again."""

    shard: str  # relative to the corpus, without ".open"
    offset: int  # bytes from the start of the shard
    length: int  # bytes, newline included


def shard_name(pile: Pile, number: int) -> str:
    return f"{pile}/shard-{number:06d}.jsonl"


def sealed_files(corpus: Path, pile: Pile) -> list[Path]:
    """The sealed shards of a pile in order of number."""
    if not corpus.is_dir():
        raise InputError(f"{corpus}: no such corpus folder: run `python -m generator run` first or correct the path")
    return sorted((corpus / pile).glob("shard-*.jsonl"))


def open_files(corpus: Path, pile: Pile) -> list[Path]:
    """The shards of a pile that are still being written (or were, before a crash)."""
    return sorted((corpus / pile).glob("shard-*.jsonl" + OPEN))


def read_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number from 1, row) of a shard. Errors: `InputError` naming file and line of a torn or foreign line."""
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                row = orjson.loads(line)
            except orjson.JSONDecodeError as error:
                raise InputError(
                    f"{path}:{number}: not JSON ({error}); `python -m generator check` looks further"
                ) from None
            if not isinstance(row, dict):
                raise InputError(f"{path}:{number}: a JSON {type(row).__name__} where an object belongs")
            yield number, row


def whole_length(path: Path) -> int:
    """Bytes up to the end of the last whole line: beyond lies a torn tail."""
    size = path.stat().st_size
    with path.open("rb") as file:
        end = size
        while end > 0:
            start = max(0, end - 65536)
            file.seek(start)
            newline = file.read(end - start).rfind(b"\n")
            if newline >= 0:
                return start + newline + 1
            end = start
    return 0


class ShardWriter:
    """Appends lines to one pile of a corpus and seals full shards. Owns the file descriptor of the open shard.

    Opening it cuts a torn tail. All methods block (a page-cache write each); errors: `CannotWrite`, after which the file
    ends in a whole line and the writer may be used again once there is room.
    """

    def __init__(self, corpus: Path, pile: Pile, rows: int, megabytes: int) -> None:
        self._corpus, self._pile = corpus, pile
        self._max_rows, self._max_bytes = rows, megabytes * 1_000_000
        (corpus / pile).mkdir(parents=True, exist_ok=True)
        self._fd: int | None = None
        self._name, self._rows, self._bytes = "", 0, 0
        self._hash = hashlib.sha256()
        left = open_files(corpus, pile)
        if left:
            self._continue(left[-1])

    def append(self, line: bytes) -> Position:
        """Write one whole line (newline included) and say where it stands."""
        if self._fd is None:
            self._start()
        assert self._fd is not None
        offset = self._bytes
        try:
            written = os.write(self._fd, line)
            while written < len(line):  # a full disk takes a part: the next write says so
                written += os.write(self._fd, line[written:])
        except OSError as error:
            os.ftruncate(self._fd, offset)
            raise CannotWrite(
                f"{self._corpus / self._name}{OPEN}: {error.strerror}: free some space, then run again"
            ) from None
        self._rows += 1
        self._bytes += len(line)
        self._hash.update(line)
        return Position(self._name, offset, len(line))

    @property
    def full(self) -> bool:
        return self._rows >= self._max_rows or self._bytes >= self._max_bytes

    def sync(self) -> None:
        """Force what was appended to the disk."""
        if self._fd is not None:
            try:
                os.fsync(self._fd)
            except OSError as error:
                raise CannotWrite(f"{self._corpus / self._name}{OPEN}: {error.strerror}") from None

    def seal(self) -> SealedShard | None:
        """Close the open shard under its final name. None where nothing is open."""
        if self._fd is None:
            return None
        self.sync()
        os.close(self._fd)
        self._fd = None
        sealed = SealedShard(self._name, self._rows, self._bytes, self._hash.hexdigest())
        path = self._corpus / self._name
        os.rename(f"{path}{OPEN}", path)
        _sync_folder(path.parent)
        return sealed

    def close(self) -> None:
        """Let go of the open shard without sealing it."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _start(self) -> None:
        names = [p.name for p in (self._corpus / self._pile).glob("shard-*.jsonl*")]
        number = 1 + max((int(name[6:12]) for name in names), default=-1)
        self._name, self._rows, self._bytes = shard_name(self._pile, number), 0, 0
        self._hash = hashlib.sha256()
        self._open()

    def _continue(self, path: Path) -> None:
        length = whole_length(path)
        os.truncate(path, length)
        self._name = f"{self._pile}/{path.name.removesuffix(OPEN)}"
        self._rows, self._bytes, self._hash = 0, length, hashlib.sha256()
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                self._hash.update(block)
                self._rows += block.count(b"\n")
        self._open()

    def _open(self) -> None:
        try:
            self._fd = os.open(f"{self._corpus / self._name}{OPEN}", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:
            raise CannotWrite(f"{self._corpus / self._name}{OPEN}: {error.strerror}") from None


def describe(corpus: Path, path: Path) -> SealedShard:
    """The manifest entry of a sealed shard, read from the file itself."""
    digest, rows, size = hashlib.sha256(), 0, 0
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
            rows += block.count(b"\n")
            size += len(block)
    return SealedShard(str(path.relative_to(corpus)), rows, size, digest.hexdigest())


def write_atomically(path: Path, data: bytes) -> None:
    """Replace a small file so that a reader sees the old one or the new one, also after a crash. Errors: `CannotWrite`."""
    temporary = path.with_name(path.name + ".new")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        raise CannotWrite(
            f"{path}: {error.strerror}: free some space or correct the permissions, then run again"
        ) from None


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
