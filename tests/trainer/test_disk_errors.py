"""What libraries say of a disk that takes no more becomes one line; what is a bug stays one."""

import errno
from pathlib import Path

import pytest

from shared.errors import CannotWrite
from trainer.disk_errors import full_disk_in_one_line

TORCH = "[enforce fail at inline_container.cc:672] . unexpected pos 69376 vs 69264"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "the disk is full"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "your quota"),
        (RuntimeError(TORCH), "your quota"),  # the disk itself has room
        (Exception("I/O error: Disk quota exceeded (os error 122)"), "your quota"),
        (Exception("I/O error: No space left on device (os error 28)"), "the disk is full"),
        (Exception("I/O error: Input/output error (os error 5)"), "Input/output error"),
    ],
)
def test_a_disk_that_takes_no_more_is_one_line_with_the_remedy(
    tmp_path: Path, error: Exception, words: str
) -> None:
    with pytest.raises(CannotWrite, match=f"{words}.*: free some space, then run again"):  # noqa: SIM117
        with full_disk_in_one_line(tmp_path):
            raise error


@pytest.mark.parametrize("error", [RuntimeError("shapes differ"), ValueError("x (os error 2)")])
def test_a_bug_passes_as_it_is(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(type(error)) as exception_info, full_disk_in_one_line(tmp_path):
        raise error
    assert exception_info.value is error
