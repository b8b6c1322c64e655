"""A disk that is soon full or read-only: a real file system, where this process may mount one."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def mounted(folder: Path, mebibytes: int, *, read_only: bool = False) -> Iterator[Path]:
    """`folder`, made and mounted. Skips the test where mounting is not allowed.

    `read_only` refuses root as well, which permissions do not.
    """
    folder.mkdir()
    options = f"size={mebibytes}m,{'ro' if read_only else 'rw'}"
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no permission to mount a small file system here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
