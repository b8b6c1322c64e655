"""The right to write to a corpus."""

from pathlib import Path

from shared.errors import InputError
from shared.file_systems import network_name
from shared.file_writing import make_corpus_folder
from shared.folder_lock import FolderLock
from shared.parts import check_not_divided


def lock_corpus(corpus: Path) -> FolderLock:
    """Make the folder where there is none, and hold it. Errors: `InputError` where it is held,
    divided into parts or on a network file system; `CannotWrite`.
    """
    check_not_divided(corpus)
    name = network_name(corpus)
    if name:
        raise InputError(
            f"{corpus}: on a network file system ({name}), where neither a lock nor the ledger"
            " (SQLite) can be relied on: put `corpus` on a disk of this machine, and copy it when"
            " the run has ended"
        )
    make_corpus_folder(corpus)
    return FolderLock(corpus, key="corpus")
