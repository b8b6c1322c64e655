"""`make setup-NAME`, with real venv and pip on a project of one module: wherever it ends, the
next command mends it.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PYPROJECT = """[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
"""
# In place of setuptools, which would be fetched: a wheel of one module. While the file `slow` is
# there, pip waits.
BACKEND = """import pathlib, time, zipfile

def build_editable(folder, config_settings=None, metadata_directory=None):
    with open("builds", "a") as builds:
        builds.write("x")
    while pathlib.Path("slow").exists():
        time.sleep(0.05)
    files = {"installed_here.py": "", "stillhouse-1.dist-info/METADATA": FACTS, "stillhouse-1.dist-info/WHEEL": WHEEL}
    with zipfile.ZipFile(folder + "/stillhouse-1-py3-none-any.whl", "w") as wheel:
        for name, text in files.items():
            wheel.writestr(name, text)
        wheel.writestr("stillhouse-1.dist-info/RECORD", "".join(name + ",,\\n" for name in files))
    return "stillhouse-1-py3-none-any.whl"

FACTS = "Metadata-Version: 2.1\\nName: stillhouse\\nVersion: 1\\nProvides-Extra: generator\\nProvides-Extra: dev\\n"
WHEEL = "Wheel-Version: 1.0\\nGenerator: here\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "a checkout"
    (folder / "constraints").mkdir(parents=True)
    (folder / "constraints" / "generator.txt").touch()
    shutil.copy(ROOT / "Makefile", folder)
    shutil.copytree(ROOT / "shared", folder / "shared")
    (folder / "pyproject.toml").write_text(PYPROJECT)
    (folder / "backend.py").write_text(BACKEND)
    yield folder
    (folder / "slow").unlink(missing_ok=True)


@contextlib.contextmanager
def started(folder: Path) -> "Iterator[subprocess.Popen[str]]":
    left_out = ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "PYTHONPATH")
    running = subprocess.Popen(
        ["make", "setup-generator"],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if name not in left_out},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(
            signal.SIGINT, signal.SIG_DFL
        ),  # a background job starts with it ignored
    )
    with running:
        try:
            yield running
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGKILL)


def completed(folder: Path) -> str:
    """What the next command says, once it has left a whole environment."""
    with started(folder) as running:
        output, _ = running.communicate(timeout=120)
    assert running.returncode == 0, output
    assert (folder / ".venv" / "generator" / ".ready").exists()
    python = folder / ".venv" / "generator" / "bin" / "python"
    subprocess.run([python, "-c", "import installed_here, pip"], cwd=folder.parent, check=True)
    return output


def until(path: Path, seconds: float = 90) -> None:
    ends = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < ends, f"{path} did not come"
        time.sleep(0.01)


def run_here(folder: Path) -> list[str]:
    """The commands of the processes that run in `folder`."""
    commands = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (process / "cwd").readlink() == folder:
                commands.append((process / "cmdline").read_text().replace("\0", " "))
    return commands


def test_an_environment_killed_while_it_was_made_is_made_by_the_next_command(
    checkout: Path,
) -> None:
    with started(checkout) as running:
        until(checkout / ".venv" / "generator" / "bin" / "python")  # pip is not there yet
        os.killpg(running.pid, signal.SIGKILL)
    completed(checkout)


def test_what_a_killed_pip_left_half_installed_is_not_taken_for_installed(checkout: Path) -> None:
    (checkout / "slow").touch()
    with started(checkout) as running:
        until(checkout / "builds")
        os.killpg(running.pid, signal.SIGKILL)
    (checkout / "slow").unlink()
    (packages,) = (checkout / ".venv" / "generator" / "lib").glob("python*/site-packages")
    remains = (
        packages / "torch-1.dist-info"
    )  # pip believes METADATA; RECORD, which it writes last, is missing
    remains.mkdir()
    (remains / "METADATA").write_text("Metadata-Version: 2.1\nName: torch\nVersion: 1\n")
    completed(checkout)
    assert not remains.exists()


@pytest.mark.parametrize(
    ("stage", "number"),
    [
        (".venv/generator/bin/python", signal.SIGINT),
        ("builds", signal.SIGINT),
        ("builds", signal.SIGTERM),
    ],
)
def test_an_interrupted_set_up_ends_at_once_with_one_line_and_leaves_nothing_running(
    checkout: Path, stage: str, number: signal.Signals
) -> None:
    (checkout / "slow").touch()
    with started(checkout) as running:
        until(checkout / stage)
        if number == signal.SIGTERM:
            running.terminate()  # make alone, as `kill` does; it hands the signal on
        else:
            os.killpg(running.pid, number)  # as Ctrl-C in a terminal does
        output, _ = running.communicate(timeout=30)
    assert running.returncode != 0
    assert "stopped: .venv/generator is not finished; the same command makes it" in output
    assert "Traceback" not in output
    ends = time.monotonic() + 5
    while (live_commands := run_here(checkout)) and time.monotonic() < ends:
        time.sleep(0.05)
    assert live_commands == []
    assert not (checkout / ".venv" / ".generator.tmp").exists()


def test_an_environment_whose_python_is_gone_is_made_again(checkout: Path) -> None:
    completed(checkout)
    assert completed(checkout).strip() == "make: Nothing to be done for 'setup-generator'."
    for python in (checkout / ".venv" / "generator" / "bin").glob("python*"):
        python.unlink()  # as a system that replaced its Python leaves it; `.ready` is there
    assert "setting up" in completed(checkout)


def test_an_update_that_pip_cannot_fetch_leaves_the_environment_to_be_tried_again(
    checkout: Path,
) -> None:
    completed(checkout)
    marker = checkout / ".venv" / "generator" / "kept"
    marker.touch()
    project = (checkout / "pyproject.toml").read_text()
    (checkout / "pyproject.toml").write_text(
        project.replace("requires = []", 'requires = ["./nowhere"]')
    )
    with started(checkout) as running:
        output, _ = running.communicate(timeout=120)
    assert running.returncode != 0
    assert "error: .venv/generator: pip failed as said above: correct that" in output
    (checkout / "pyproject.toml").write_text(project)
    assert "setting up" in completed(checkout)
    assert marker.exists()


def test_two_set_ups_at_once_are_one_after_the_other_and_the_second_finds_it_done(
    checkout: Path,
) -> None:
    (checkout / "slow").touch()
    with started(checkout) as first_set_up:
        until(checkout / "builds")
        with started(checkout) as second_set_up:
            assert second_set_up.stdout is not None
            assert (
                second_set_up.stdout.readline()
                == "another process sets up an environment here: waiting for it\n"
            )
            (checkout / "slow").unlink()
            second_output, _ = second_set_up.communicate(timeout=120)
        output, _ = first_set_up.communicate(timeout=120)
    assert (first_set_up.returncode, second_set_up.returncode) == (0, 0), output + second_output
    assert (checkout / "builds").read_text() == "x"
    completed(checkout)
