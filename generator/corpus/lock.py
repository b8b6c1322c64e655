"""The right to write to a corpus."""

from pathlib import Path

from shared.errors import CannotWrite
from shared.file_writing import make_corpus_folder
from shared.folder_lock import FolderLock
from shared.parts import check_not_divided


def lock_corpus(corpus: Path) -> FolderLock:
    """Make the folder where there is none, and hold it. Errors: `InputError` where it is held or
    divided into parts, `CannotWrite`.
    """
    check_not_divided(corpus)
    try:
        make_corpus_folder(corpus)
    except OSError as error:
        raise CannotWrite(
            f"{corpus}: {error.strerror}: correct `corpus` or the folder's permissions"
        ) from None
    return FolderLock(corpus, key="corpus")
