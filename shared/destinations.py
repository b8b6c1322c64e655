"""Files that a user names for a command to write: never inside a corpus, never in the place of
somebody else's file.

    check_destination(Path("sft.jsonl"), force=False)     # before anything is read or computed
    ...                                                   # write a temporary file, move it into place
    note_ours(Path("sft.jsonl"))

A file of ours carries an extended attribute with its size and its time of change, so a copy by
other means, a file that was edited since and a file on a file system without such attributes all
count as somebody else's.
"""

import contextlib
import os
from pathlib import Path

from shared.errors import InputError
from shared.parts import FILE as PARTS_FILE
from shared.shards import PILES
from shared.system_folders import refuse_system_folder

ATTRIBUTE = "user.stillhouse"


def check_destination(path: Path, force: bool = False) -> None:
    """Refuse to write `path` where it would harm a corpus or, without `force`, replace a file that
    is not ours.

    Symbolic links are followed first. Errors: `InputError` naming the file and the remedy.
    """
    check_outside_corpora(path)
    real_path = Path(os.path.realpath(path))
    if real_path.is_dir():
        raise InputError(f"{path}: a folder is there: give the name of a file")
    if not force and real_path.exists() and not _is_ours(real_path):
        raise InputError(
            f"{path}: is there already, and not as this program wrote it: choose another name, or"
            " add --force"
        )


def check_own_folder(path: Path) -> None:
    """Refuse a folder to be filled that is the system's. Errors: `InputError`."""
    try:
        refuse_system_folder(path)
    except ValueError as error:
        raise InputError(f"{path}: {error}") from None


def check_outside_corpora(path: Path) -> None:
    """Refuse a file or folder, which need not exist, that is a corpus or lies in one. Errors:
    `InputError`.
    """
    real_path = Path(os.path.realpath(path))
    corpus = next((folder for folder in (real_path, *real_path.parents) if is_corpus(folder)), None)
    if corpus is not None:
        raise InputError(
            f"{path}: inside the corpus {corpus}, whose files stay as they are: choose a place"
            " outside"
        )


def is_corpus(folder: Path) -> bool:
    """Whether a folder holds a ledger, shards, sealed or open, or parts."""
    if (folder / "ledger.sqlite").exists() or (folder / PARTS_FILE).exists():
        return True
    return any(next((folder / pile).glob("shard-*.jsonl*"), None) is not None for pile in PILES)


def note_ours(path: Path) -> None:
    """Remember that `path`, as it is now, was written by us, so that it may be replaced."""
    # Elsewhere than on Linux, or without such attributes, --force is needed.
    with contextlib.suppress(OSError, AttributeError):
        os.setxattr(path, ATTRIBUTE, _state(path))


def _is_ours(path: Path) -> bool:
    try:
        return os.getxattr(path, ATTRIBUTE) == _state(path)
    except (OSError, AttributeError):
        return False


def _state(path: Path) -> bytes:
    facts = path.stat()
    return f"{facts.st_size} {facts.st_mtime_ns}".encode()
