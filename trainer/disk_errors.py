"""A full disk as one line, whichever library met it: torch says "unexpected pos", safetensors
raises one of its own.
"""

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shared.errors import CannotWrite, Stopped

FULL_BYTES = 1 << 20  # free: no library writes less at a time


@contextmanager
def full_disk_in_one_line(folder: Path) -> Iterator[None]:
    """Errors inside become `CannotWrite` where `folder` lies on a disk that is full; others
    pass.
    """
    try:
        yield
    except Stopped:
        raise
    except Exception as error:
        if not _is_full(folder, error):
            raise
        raise CannotWrite(
            f"{folder}: the disk is full: free some space, then run again: it goes on from the last"
            " whole checkpoint"
        ) from None


def _is_full(folder: Path, error: Exception) -> bool:
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    if "No space left on device" in str(error):
        return True
    return shutil.disk_usage(folder).free < FULL_BYTES
