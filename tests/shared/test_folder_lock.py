"""One process at a time in a folder: the lock dies with its holder and no file can be deleted
to get in.
"""

import errno
import fcntl
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from shared.errors import CannotWrite, InputError
from shared.folder_lock import FolderLock, holder

ROOT = Path(__file__).parents[2]
HOLD = """
import sys, time
from pathlib import Path
from shared.folder_lock import FolderLock
with FolderLock(Path(sys.argv[1]), key="corpus"):
    print("held", flush=True)
    time.sleep(300)
"""


@pytest.fixture
def other_process(tmp_path: Path):  # type: ignore[no-untyped-def]
    """A process that holds `tmp_path`."""
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        yield process
        process.kill()


def test_a_folder_that_is_held_is_refused_with_the_holders_process(
    tmp_path: Path, other_process: subprocess.Popen[bytes]
) -> None:
    assert holder(tmp_path) == other_process.pid
    with pytest.raises(InputError, match=f"held by process {other_process.pid}.*another `run`"):
        FolderLock(tmp_path, key="run")


def test_the_lock_dies_with_its_holder(
    tmp_path: Path, other_process: subprocess.Popen[bytes]
) -> None:
    other_process.kill()
    other_process.wait()
    assert holder(tmp_path) is None
    FolderLock(tmp_path, key="run").release()


def test_deleting_the_lock_file_lets_nobody_in(
    tmp_path: Path, other_process: subprocess.Popen[bytes]
) -> None:
    (tmp_path / ".lock").unlink()
    with pytest.raises(InputError, match="held by process unknown"):
        FolderLock(tmp_path, key="run")
    assert holder(tmp_path) == 0


def test_it_is_free_again_after_the_block_and_after_an_error_in_it(tmp_path: Path) -> None:
    def fail_inside() -> None:
        with FolderLock(tmp_path, key="run"):
            assert holder(tmp_path) == os.getpid()
            raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"):
        fail_inside()
    assert holder(tmp_path) is None
    with FolderLock(tmp_path, key="run"):
        pass


def test_a_file_system_without_locks_is_told_as_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)  # no file system here refuses
    with pytest.raises(InputError, match=re.escape("cannot lock (No locks available)")):
        FolderLock(tmp_path, key="corpus")
    assert holder(tmp_path) is None


def test_a_file_system_that_locks_files_alone_is_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flock = fcntl.flock

    def files_alone(descriptor: int, operation: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", files_alone)
    with FolderLock(tmp_path, key="corpus"), pytest.raises(InputError, match="held by process"):
        FolderLock(tmp_path, key="corpus")


def test_a_folder_that_is_gone_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(CannotWrite, match="correct `corpus`"):
        FolderLock(tmp_path / "gone", key="corpus")


def test_descriptors_are_not_kept_after_refusals(
    tmp_path: Path, other_process: subprocess.Popen[bytes]
) -> None:
    time.sleep(0)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        with pytest.raises(InputError):
            FolderLock(tmp_path, key="run")
    assert len(os.listdir("/proc/self/fd")) == before
