"""Shards: append, seal, read, verify. JSON lines in `CORPUS/<pile>/shard-000000.jsonl`, `.open`
while written.

A line is written by one `write` of the whole line, so a killed process leaves at most one torn
tail, which opening the shard for appending cuts off. A sealed shard never changes again;
`manifest.json` lists it with rows, bytes and sha256.

A new corpus is its owner's alone, and what is made in it has the rights of its folder: `chmod`
opens it to others.
"""

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import orjson

from shared.errors import CannotWrite, InputError

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
        raise InputError(
            f"{corpus}: no such corpus folder: run `python -m generator run` first or correct the"
            " path"
        )
    return sorted((corpus / pile).glob("shard-*.jsonl"))


def open_files(corpus: Path, pile: Pile) -> list[Path]:
    """The shards of a pile that are still being written (or were, before a crash)."""
    return sorted((corpus / pile).glob("shard-*.jsonl" + OPEN))


def read_lines(path: Path) -> Iterator[tuple[int, int, bytes]]:
    """(line number from 1, offset in bytes, line with its newline) of a shard."""
    offset = 0
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            yield number, offset, line
            offset += len(line)


def read_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number from 1, row) of a shard. Errors: `InputError` naming file and line of a torn
    or foreign line.
    """
    with _reading(path):
        for number, _, line in read_lines(path):
            try:
                row = orjson.loads(line)
            except orjson.JSONDecodeError as error:
                raise InputError(
                    f"{path}:{number}: not JSON ({error}); `python -m generator check` looks"
                    " further"
                ) from None
            if not isinstance(row, dict):
                raise InputError(
                    f"{path}:{number}: a JSON {type(row).__name__} where an object belongs"
                )
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
    """Appends lines to one pile of a corpus and seals full shards. Owns the file descriptor of the
    open shard.

    Opening it cuts a torn tail. All methods block (a page-cache write each); errors: `CannotWrite`,
    after which the file ends in a whole line and the writer may be used again once there is room.
    """

    def __init__(self, corpus: Path, pile: Pile, rows: int, megabytes: int) -> None:
        self._corpus, self._pile = corpus, pile
        self._max_rows, self._max_bytes = rows, megabytes * 1_000_000
        self._fd: int | None = None
        self._name, self._rows, self._bytes = "", 0, 0
        self._hash = hashlib.sha256()
        with writing(corpus / pile):
            make_corpus_folder(corpus)
            make_folder_within(corpus / pile)
            if left := open_files(corpus, pile):
                self._continue(left[-1])

    def append(self, line: bytes) -> Position:
        """Write one whole line (newline included) and say where it stands."""
        fd = self._start() if self._fd is None else self._fd
        offset = self._bytes
        with writing(self._open_path):
            try:
                written = os.write(fd, line)
                while written < len(line):  # a full disk takes a part: the next write says so
                    written += os.write(fd, line[written:])
            except OSError:
                os.ftruncate(fd, offset)
                raise
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
            with writing(self._open_path):
                os.fsync(self._fd)

    def seal(self) -> SealedShard | None:
        """Close the open shard under its final name. None where nothing was written."""
        if self._fd is None:
            return None
        self.sync()
        self.close()
        path = self._corpus / self._name
        with writing(path):
            if self._rows == 0:  # a shard of no rows would be no JSON lines to some readers
                self._open_path.unlink()
                return None
            os.rename(self._open_path, path)
            _sync_folder(path.parent)
        return SealedShard(self._name, self._rows, self._bytes, self._hash.hexdigest())

    def close(self) -> None:
        """Let go of the open shard without sealing it."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    @property
    def _open_path(self) -> Path:
        return self._corpus / (self._name + OPEN)

    def _start(self) -> int:
        names = [p.name for p in (self._corpus / self._pile).glob("shard-*.jsonl*")]
        number = 1 + max((int(name[6:12]) for name in names), default=-1)
        self._name, self._rows, self._bytes = shard_name(self._pile, number), 0, 0
        self._hash = hashlib.sha256()
        return self._open()

    def _continue(self, path: Path) -> None:
        os.truncate(path, whole_length(path))
        self._name = f"{self._pile}/{path.name.removesuffix(OPEN)}"
        self._rows, self._bytes, self._hash = _measure(path)
        self._open()

    def _open(self) -> int:
        with writing(self._open_path):
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            self._fd = open_within(str(self._open_path), flags)
        return self._fd


def make_corpus_folder(corpus: Path) -> None:
    """Make the folder of a corpus where there is none: for its owner alone.

    An umask that shuts everybody else out (027, 007) was set on purpose: its group rights hold.
    """
    umask = os.umask(0o077)
    os.umask(umask)
    corpus.parent.mkdir(parents=True, exist_ok=True)
    corpus.mkdir(mode=0o777 if umask & 0o007 == 0o007 else 0o700, exist_ok=True)


def make_folder_within(path: Path) -> None:
    """Make a folder with the rights of the one that it is in."""
    path.mkdir(mode=_rights(path.parent), exist_ok=True)


def open_within(path: str, flags: int) -> int:
    """An `opener` for `open`: a new file gets the rights of the folder that it is in."""
    return os.open(path, flags, _rights(Path(path).parent) & 0o666)


def _rights(folder: Path) -> int:
    return stat.S_IMODE(folder.stat().st_mode) & 0o777


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """An `OSError` inside becomes the `CannotWrite` that names the path and the remedy."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        remedy = "free some space" if full else "correct the path or its permissions"
        raise CannotWrite(
            f"{path}: {error.strerror}: {remedy}, then run again: it goes on from here"
        ) from None


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """An `OSError` inside becomes the `InputError` that names the path and the remedy."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{path}: {error.strerror}: a shard that cannot be read; correct its permissions or"
            " take it away"
        ) from None


def listed_sha256(corpus: Path) -> dict[str, str]:
    """What the corpus's manifest says of its sealed shards, by name; nothing where it says nothing
    that can be read.

    The shards are the truth: a corpus without a whole manifest is still one.
    """
    try:
        listed = orjson.loads((corpus / "manifest.json").read_bytes())["shards"]
        return {shard["name"]: shard["sha256"] for shard in listed}
    except (OSError, orjson.JSONDecodeError, LookupError, TypeError):
        return {}


def describe(corpus: Path, path: Path) -> SealedShard:
    """The manifest entry of a shard, read from the file itself. Errors: `InputError` where it
    cannot be read.
    """
    rows, size, digest = _measure(path)
    return SealedShard(str(path.relative_to(corpus)), rows, size, digest.hexdigest())


def _measure(path: Path) -> tuple[int, int, "hashlib._Hash"]:
    digest, rows, size = hashlib.sha256(), 0, 0
    with _reading(path), path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
            rows += block.count(b"\n")
            size += len(block)
    return rows, size, digest


def write_atomically(path: Path, data: bytes) -> None:
    """Replace a small file: a reader sees the old one or the new one, also after a crash. Errors:
    `CannotWrite`.

    It has the rights of its folder.
    """
    temporary = path.with_name(path.name + ".new")
    with writing(path):
        try:
            with open(temporary, "wb", opener=open_within) as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
