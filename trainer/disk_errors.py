"""A full disk as one line, whichever library met it: torch says "unexpected pos", safetensors
raises one of its own.
"""

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shared.errors import DISK_ERRORS, CannotWrite, Stopped

FULL_BYTES = 1 << 20  # free: no library writes less at a time
FULL = "the disk is full"
QUOTA = "your quota on this disk is full"
REFUSED = "the disk takes no more (your quota is full, or the disk fails)"
# torch's words where a file took less than it was given: a full disk, but also a full quota, which
# the disk's own free space does not show. It does not say why.
_TORCH = ("unexpected pos", "failed writing file")
_RUST = re.compile(r"\(os error (\d+)\)")  # at the end of what safetensors raises


@contextmanager
def full_disk_in_one_line(folder: Path) -> Iterator[None]:
    """Errors inside become `CannotWrite` where the disk of `folder` takes no more; others pass."""
    try:
        yield
    except Stopped:
        raise
    except Exception as error:
        reason = _reason(folder, error)
        if reason is None:
            raise
        raise CannotWrite(
            f"{folder}: {reason}: free some space, then run again: it goes on from the last whole"
            " checkpoint"
        ) from None


def _reason(folder: Path, error: Exception) -> str | None:
    """What the disk has against it; None where it is not the disk."""
    text = str(error)
    rust = _RUST.search(text)
    number = error.errno if isinstance(error, OSError) else rust and int(rust[1])
    is_full = shutil.disk_usage(folder).free < FULL_BYTES
    if number == errno.ENOSPC or "No space left on device" in text or is_full:
        return FULL
    if number == errno.EDQUOT:
        return QUOTA
    if isinstance(error, RuntimeError) and any(words in text for words in _TORCH):
        return REFUSED
    if rust and number in DISK_ERRORS:  # an OSError of these is told where programs end
        return os.strerror(int(rust[1]))
    return None
