"""One process at a time screens a corpus."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shared.errors import InputError
from shared.file_writing import make_corpus_folder, make_folder_within
from shared.folder_lock import FolderLock, holder

LOCK_SECONDS = 0.5  # between two looks whether another process has done it


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Hold `CORPUS/screening`, after whoever holds it now. Errors: `InputError` where it cannot be
    locked at all.
    """
    make_corpus_folder(folder.parent)
    make_folder_within(folder)
    lock = None
    while lock is None:
        try:
            lock = FolderLock(folder, key="corpus")
        except InputError:
            if holder(folder) is None:
                raise
            time.sleep(LOCK_SECONDS)
    with lock:
        yield
