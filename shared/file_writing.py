"""Writing to the disk: nothing half-written after a crash, errors as one line, rights of the folder.

A new corpus is its owner's alone, and what is made in it has the rights of its folder: `chmod`
opens it to others.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shared.errors import CannotWrite


def make_corpus_folder(corpus: Path) -> None:
    """Make the folder of a corpus where there is none: for its owner alone.

    Errors: `CannotWrite`. An umask that shuts everybody else out (027, 007) was set on purpose: its group rights hold.
    """
    umask = os.umask(0o077)
    os.umask(umask)
    mode = 0o777 if umask & 0o007 == 0o007 else 0o700
    try:
        corpus.parent.mkdir(parents=True, exist_ok=True)
        corpus.mkdir(mode=mode, exist_ok=True)
    except OSError as error:
        raise CannotWrite(
            f"{corpus}: {error.strerror}: correct `corpus` or the folder's permissions"
        ) from None


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
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Force a folder's entries to the disk: a new or renamed file is there after a crash."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
