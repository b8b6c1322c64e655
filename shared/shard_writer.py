"""Appending to the open shard of a pile, and sealing it.

A line is written by one `write` of the whole line, so a killed process leaves at most one torn
tail, which opening the shard for appending cuts off.
"""

import hashlib
import os
from pathlib import Path

from shared.file_writing import (
    make_corpus_folder,
    make_folder_within,
    open_within,
    sync_folder,
    writing,
)
from shared.shards import (
    OPEN,
    Pile,
    Position,
    SealedShard,
    measure,
    open_files,
    shard_name,
    shard_number,
    whole_length,
)


class ShardWriter:
    """Appends lines to one pile of a corpus and seals full shards. Owns the file descriptor of the
    open shard.

    Opening it cuts a torn tail. All methods block (a page-cache write each); errors: `CannotWrite`,
    after which the file ends in a whole line and the writer may be used again once there is room.
    """

    def __init__(
        self,
        corpus: Path,
        pile: Pile,
        rows: int,
        megabytes: int,
    ) -> None:
        self._corpus = corpus
        self._pile = pile
        self._max_rows = rows
        self._max_bytes = megabytes * 1_000_000
        self._fd: int | None = None
        self._name = ""
        self._rows = 0
        self._bytes = 0
        self._hash = hashlib.sha256()
        with writing(corpus / pile):
            make_corpus_folder(corpus)
            make_folder_within(corpus / pile)
            open_shards = open_files(corpus, pile)
            if open_shards:
                self._continue(open_shards[-1])

    def append(self, line: bytes) -> Position:
        """Write one whole line (newline included) and say where it stands."""
        fd = self._start() if self._fd is None else self._fd
        offset = self._bytes
        with writing(self._open_path):
            try:
                end = os.write(fd, line)
                while end < len(line):  # a full disk takes a part: the next write says so
                    end += os.write(fd, line[end:])
            except OSError:
                os.ftruncate(fd, offset)
                raise
        self._rows += 1
        self._bytes += len(line)
        self._hash.update(line)
        return Position(self._name, offset, len(line))

    @property
    def full(self) -> bool:
        """Whether the open shard has its rows or its bytes: time to seal it."""
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
            sync_folder(path.parent)
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
        folder = self._corpus / self._pile
        with writing(folder):
            names = os.listdir(folder)
        # Whatever stands under such a name, a folder too, the number is taken.
        numbers = [shard_number(name) for name in names]
        last_number = max((number for number in numbers if number is not None), default=-1)
        self._name = shard_name(self._pile, last_number + 1)
        self._rows = 0
        self._bytes = 0
        self._hash = hashlib.sha256()
        return self._open()

    def _continue(self, path: Path) -> None:
        os.truncate(path, whole_length(path))
        self._name = f"{self._pile}/{path.name.removesuffix(OPEN)}"
        self._rows, self._bytes, self._hash = measure(path)
        self._open()

    def _open(self) -> int:
        with writing(self._open_path):
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            self._fd = open_within(str(self._open_path), flags)
        return self._fd
