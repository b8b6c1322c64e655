"""How a program ends, as its user sees it: in processes of their own."""

import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from shared.errors import ended_by_a_signal, typed

ROOT = Path(__file__).parents[2]


def test_a_signal_is_not_lost_where_a_library_passes_over_whatever_goes_wrong() -> None:
    """As transformers, datasets and lighteval do while they import what may not be installed."""
    inside = (
        "import contextlib, os, signal\n"
        "from shared.errors import ended_by_a_signal, run_and_exit\n"
        "def main():\n"
        "    with ended_by_a_signal('what is there is kept'), contextlib.suppress(Exception):\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "    print('went on')\n"
        "run_and_exit(main)\n"
    )
    process = subprocess.run(
        [sys.executable, "-c", inside], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (process.returncode, process.stdout) == (0, "")
    assert process.stderr == "stopped: SIGTERM: what is there is kept\n"


def ran(body: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """`body` as the main function of a program."""
    program = (
        "import os, signal, sys, time\n"
        "from shared.errors import *\n"
        "def main():\n" + textwrap.indent(body, "    ") + "\nrun_and_exit(main)\n"
    )
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        # A background job starts with interrupts ignored, and so would what it starts.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        **options,
    )


@pytest.mark.parametrize(
    ("body", "code", "line"),
    [
        ("return 0", 0, ""),
        ("return 4", 4, ""),
        ("raise InputError('x.toml:3: key: write a number')", 2, "error: x.toml:3: key: write a"),
        (r"raise InputError('a\nb\x1b[2J')", 2, "error: a\\nb\\x1b[2J\n"),
        ("raise InputError('x' * 9000)", 2, f"error: {'x' * 500}…{'x' * 500}\n"),
        ("raise CannotWrite('corpus: disk full')", 5, "stopped: corpus: disk full\n"),
        ("raise Interrupted('SIGTERM: kept')", 0, "stopped: SIGTERM: kept\n"),
        ("raise KeyboardInterrupt", 130, "stopped: SIGINT\n"),
        (
            "raise OSError(28, 'No space left on device', '/data/x')",
            5,
            "stopped: /data/x: No space left on device: free some space",
        ),
        (
            "os.stat('x' * 5000)",
            2,
            "error: " + "x" * 200 + ": File name too long: correct the path",
        ),
        ("raise OSError(5, 'Input/output error')", 5, "stopped: output: Input/output error"),
    ],
)
def test_an_end_that_is_no_bug_is_one_line_and_its_exit_code(
    body: str, code: int, line: str
) -> None:
    process = ran(body)
    assert process.returncode == code
    assert process.stderr.startswith(line)
    assert len(process.stderr.splitlines()) == (1 if line else 0)


@pytest.mark.parametrize(
    "body", ["raise ValueError('a bug')", "open('/nowhere/at/all')", "return {}['key']"]
)
def test_a_bug_keeps_its_traceback(body: str) -> None:
    process = ran(body)
    assert process.returncode == 1
    assert "Traceback" in process.stderr


def test_a_full_disk_is_told_with_the_file_that_did_not_fit(tmp_path: Path) -> None:
    process = ran("with open('/dev/full', 'w') as file: file.write('x')\nreturn 0")
    assert process.returncode == 5
    assert "No space left on device: free some space, then run again" in process.stderr


SIGNALLED = """
with ended_by_a_signal('half is kept'):
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(30)
"""


def test_the_first_signal_ends_in_order_and_names_itself() -> None:
    process = ran(SIGNALLED)
    assert (process.returncode, process.stderr) == (0, "stopped: SIGINT: half is kept\n")


def test_a_signal_that_came_within_a_callback_of_python_is_not_lost() -> None:
    """As within the lock of a module that is being imported: what is raised there is ignored."""
    process = ran(
        "class Finalised:\n"
        "    def __del__(self):\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "        time.sleep(0.1)\n"
        "with ended_by_a_signal('half is kept'):\n"
        "    Finalised()\n"
        "print('went on')\n"
    )
    assert (process.returncode, process.stdout) == (0, "")
    assert process.stderr.endswith("stopped: SIGTERM: half is kept\n")


def test_a_second_signal_kills_what_does_not_end() -> None:
    process = ran(
        "with ended_by_a_signal('x'):\n"
        "    try:\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "        time.sleep(30)\n"
        "    finally:\n"
        "        time.sleep(2 * SAME_SIGNAL_SECONDS)\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "        time.sleep(30)\n"
    )
    assert process.returncode == -signal.SIGTERM


def test_the_copy_of_a_signal_that_came_to_the_whole_group_is_the_first_once_more() -> None:
    process = ran(
        "with ended_by_a_signal('kept'):\n"
        "    try:\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "        time.sleep(30)\n"
        "    finally:\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
    )
    assert (process.returncode, process.stderr) == (0, "stopped: SIGTERM: kept\n")


def test_handlers_are_as_before_once_the_work_is_done() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with ended_by_a_signal("x"):
        assert signal.getsignal(signal.SIGTERM) != before[1]
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_ctrl_c_while_libraries_load_is_one_line_even_where_interrupts_are_swallowed() -> None:
    process = ran(
        "with loading():\n"
        "    try:\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "        time.sleep(30)\n"
        "    except BaseException:\n"
        "        pass\n"
        "print('went on')\n"
    )
    assert (process.returncode, process.stdout) == (130, "")
    assert process.stderr == "stopped: SIGINT\n"


def test_loading_leaves_a_handler_of_somebody_else_alone() -> None:
    process = ran(
        "signal.signal(signal.SIGINT, lambda *_: print('theirs', flush=True))\n"
        "with loading():\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "return 0\n"
    )
    assert (process.returncode, process.stdout) == (0, "theirs\n")


def test_a_command_is_shown_as_it_is_typed_from_the_current_folder(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "executable", str(Path.cwd() / ".venv/generator/bin/python"))
    assert typed("generator") == ".venv/generator/bin/python -m generator"
    monkeypatch.setattr(sys, "executable", "/opt/python")
    assert typed("trainer") == "/opt/python -m trainer"


def ended_by(error: str) -> "subprocess.CompletedProcess[str]":
    """A program whose work raises `error`, an expression."""
    script = f"""
        from shared.errors import run_and_exit

        def main():
            raise {error}

        run_and_exit(main)
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT)


@pytest.mark.parametrize("error", ["MemoryError", 'RuntimeError("can\'t start new thread")'])
def test_a_machine_without_memory_or_threads_is_one_line_and_exit_5(error: str) -> None:
    process = ended_by(error)
    assert process.returncode == 5
    (line,) = process.stderr.splitlines()
    assert "raise `ulimit -v`" in line


def test_another_runtime_error_keeps_its_traceback() -> None:
    process = ended_by('RuntimeError("a bug")')
    assert process.returncode == 1
    assert "Traceback" in process.stderr
