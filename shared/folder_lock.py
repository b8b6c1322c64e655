"""One process at a time in a folder: `flock` on the folder itself and on FOLDER/.lock, which names
the holder.

    with FolderLock(corpus, key="corpus"):       held until the end of the block, or until the process dies
    holder(corpus)                               who holds it now

The folder is locked as well as the file: whoever deletes `.lock` under a run lets nobody in by
that. Both locks die with their holder, so nothing stale is ever left behind.
"""

import contextlib
import errno
import fcntl
import os
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from shared.errors import CannotWrite, InputError
from shared.file_systems import cluster_name, network_name

NAME = ".lock"
HELD = (errno.EAGAIN, errno.EACCES)
# What a file system says that cannot lock a folder, or nothing at all.
CANNOT_LOCK = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)
FOLDER_CANNOT_BE_LOCKED = (*CANNOT_LOCK, errno.EBADF, errno.EINVAL, errno.EISDIR)


class FolderLock:
    """The right to write to a folder.

    Args:
        folder: must exist.
        key: the configuration key that names the folder, for the messages.

    Errors: `InputError` naming the process that holds it, or a file system that cannot lock;
    `CannotWrite` where the folder refuses.
    """

    def __init__(self, folder: Path, *, key: str) -> None:
        self._folder = folder
        self._key = key
        self._descriptors: list[int] = []
        try:
            rights = folder.stat().st_mode & 0o666
            self._descriptors.append(os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
            self._descriptors.append(os.open(folder / NAME, flags, rights))
        except OSError as error:
            self.release()
            raise CannotWrite(
                f"{folder}: {error.strerror}: correct `{key}` or the folder's permissions"
            ) from None
        try:
            self._lock()
        except BaseException:
            self.release()
            raise
        self._write_holder()
        self._warn_of_a_network()

    def _warn_of_a_network(self) -> None:
        name = network_name(self._folder) or cluster_name(self._folder)
        if name:
            print(
                f"warning: {self._folder}: on a file system that other machines may share ({name}):"
                " its lock may not keep them out; never start a second run there",
                file=sys.stderr,
            )

    def _lock(self) -> None:
        folder_descriptor, file_descriptor = self._descriptors
        try:
            fcntl.flock(folder_descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in FOLDER_CANNOT_BE_LOCKED:  # network file systems lock files alone
                raise self._refusal(error) from None
        try:
            fcntl.flock(file_descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise self._refusal(error) from None

    def _refusal(self, error: OSError) -> Exception:
        if error.errno in HELD:
            pid = _read_pid(self._descriptors[1]) or "unknown"
            return InputError(
                f"{self._folder}: held by process {pid}: wait for it, stop it with `kill {pid}`, "
                f"or choose another `{self._key}`"
            )
        if error.errno in CANNOT_LOCK:
            return InputError(
                f"{self._folder}: this file system cannot lock ({error.strerror}): put"
                f" `{self._key}` on a local disk"
            )
        return CannotWrite(f"{self._folder / NAME}: {error.strerror}")

    def _write_holder(self) -> None:
        with contextlib.suppress(OSError):  # a full disk: the lock holds without the name
            os.ftruncate(self._descriptors[1], 0)
            os.pwrite(self._descriptors[1], f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let others in. Idempotent."""
        for descriptor in self._descriptors:
            os.close(descriptor)
        self._descriptors = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()


def holder(folder: Path) -> int | None:
    """The process that holds a folder now; None if nobody does, 0 if it cannot be told who."""
    for name in (folder / NAME, folder):
        try:
            descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in HELD:
                return _pid_of(folder)
        finally:
            os.close(descriptor)
    return None


def _pid_of(folder: Path) -> int:
    try:
        text = (folder / NAME).read_text(errors="replace").strip()
    except OSError:
        return 0
    if text.isdigit():
        return int(text)
    return 0


def _read_pid(descriptor: int) -> str:
    return os.pread(descriptor, 32, 0).decode(errors="replace").strip()
