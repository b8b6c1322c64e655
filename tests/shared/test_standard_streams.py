"""What becomes of a program whose output nobody reads, or whose descriptors were closed."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


def program(body: str, *arguments: str) -> list[str]:
    text = (
        "import os, sys\n"
        "from shared.errors import *\n"
        "def main():\n" + textwrap.indent(textwrap.dedent(body), "    ") + "\nrun_and_exit(main)\n"
    )
    return [sys.executable, "-c", text, *arguments]


def ran(body: str, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        program(body, *arguments), cwd=ROOT, text=True, check=False, timeout=60, **options
    )


@pytest.mark.parametrize("code", [0, 1, 3])
def test_a_reader_that_leaves_changes_neither_the_work_nor_its_exit_code(
    tmp_path: Path, code: int
) -> None:
    body = f"""
    for number in range(20_000):
        print("line", number)
        print("line", number, file=sys.stderr)
    open({str(tmp_path / "done")!r}, "w").close()
    return {code}
    """
    reader, writer = os.pipe()
    process = subprocess.Popen(program(body), cwd=ROOT, stdout=writer, stderr=writer)
    os.close(writer)
    os.read(reader, 100)
    os.close(reader)
    assert process.wait(60) == code
    assert (tmp_path / "done").exists()


def test_the_first_file_that_is_opened_does_not_become_the_output(tmp_path: Path) -> None:
    """With `>&- 2>&-` it would take the output's number, and the next message go into it."""
    body = f"""
    descriptor = os.open({str(tmp_path / "shard")!r}, os.O_WRONLY | os.O_CREAT)
    print("to nobody", flush=True)
    os.write(1, b"to nobody")
    os.write(2, b"to nobody")
    return 0 if descriptor > 2 else 1
    """
    process = subprocess.run(
        ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *program(body)],
        cwd=ROOT,
        check=False,
        timeout=60,
    )
    assert process.returncode == 0
    assert (tmp_path / "shard").read_bytes() == b""


def test_where_an_error_cannot_be_told_its_exit_code_is_the_same() -> None:
    with open("/dev/full", "w") as full:
        process = ran("raise InputError('x')", stdout=full, stderr=full)
    assert process.returncode == 2


def test_a_command_whose_answer_does_not_fit_says_so_with_code_5() -> None:
    for size in (10, 100_000):  # what is held back until the end, and what is not
        with open("/dev/full", "w") as full:
            process = ran(f"print('x' * {size})\nreturn 0", stdout=full, stderr=subprocess.PIPE)
        assert process.returncode == 5
        assert process.stderr.startswith("stopped: output: No space left on device")
        assert len(process.stderr.splitlines()) == 1


def test_a_name_that_is_no_text_is_shown_escaped() -> None:
    process = ran(
        "print(os.fsdecode(b'shard-\\xff'), '☃')\nreturn 0",
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert process.stdout == "shard-\\udcff \\u2603\n"


def test_a_bug_keeps_its_traceback_whatever_became_of_the_output() -> None:
    with open("/dev/full", "w") as full:
        process = ran("raise ValueError('a bug')", stdout=full, stderr=subprocess.PIPE)
    assert process.returncode == 1
    assert "ValueError: a bug" in process.stderr
