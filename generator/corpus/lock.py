"""The right to write to a corpus: `flock` on CORPUS/.lock, which dies with its holder. The file names the holder."""

import contextlib
import fcntl
import os
from pathlib import Path

from shared.exits import CannotWrite, InputError
from shared.shards import make_corpus_folder, open_within

NAME = ".lock"


class Lock:
    """Held from the beginning of its life to `release`. Errors: `InputError` naming the process that holds it."""

    def __init__(self, corpus: Path) -> None:
        try:
            make_corpus_folder(corpus)
            self._fd = open_within(str(corpus / NAME), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
        except OSError as error:
            raise CannotWrite(f"{corpus}: {error.strerror}: correct `corpus` or the folder's permissions") from None
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            pid = os.pread(self._fd, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(self._fd)
            raise InputError(
                f"{corpus}: held by process {pid}: wait for it, stop it with `kill {pid}`, or choose another corpus"
            ) from None
        with contextlib.suppress(OSError):  # a full disk: the lock holds without the name
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        os.close(self._fd)


def holder(corpus: Path) -> int | None:
    """The process that holds a corpus now, None if nobody does (0 if it cannot be told who)."""
    try:
        fd = os.open(corpus / NAME, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        text = os.pread(fd, 32, 0).decode(errors="replace").strip()
        return int(text) if text.isdigit() else 0
    finally:
        os.close(fd)
    return None
