"""One part as a process of its own: the command that a user would type for it, and how it ended.

It drains when the process that started it is gone, and waits for a part before it that still
drains: nothing is asked twice, no two processes hold one corpus.
"""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from generator.parts.part import Part
from shared.child_environment import python_path
from shared.file_writing import make_corpus_folder, make_folder_within, open_within
from shared.parts import part_folder

LOG = "run.log"
TAIL_BYTES = 4096
PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


@dataclass(frozen=True, slots=True)
class PartCommand:
    """What each part's process is started with. Plain data: it travels to other machines."""

    corpus: str  # the whole one
    words: tuple[str, ...]  # of `run`, but for the part
    parts: int
    folder: str  # that relative paths are meant from
    environment: Mapping[str, str]

    def arguments(self, number: int) -> list[str]:
        """The command of one part, with the Python of this machine."""
        part = f"{number}/{self.parts}"
        return [sys.executable, "-m", "generator", "run", *self.words, "--part", part]


@dataclass(frozen=True, slots=True)
class PartEnd:
    """How a part's process ended: `code` as `subprocess` gives it, the last line that it said."""

    code: int
    last_line: str

    @property
    def killed_by(self) -> str:
        """The signal that killed it; "" where it ended by itself."""
        if self.code >= 0:
            return ""
        try:
            return signal.Signals(-self.code).name
        except ValueError:
            return f"signal {-self.code}"


def start(command: PartCommand, number: int) -> "subprocess.Popen[bytes]":
    """Start a part; what it says goes to `run.log` in its corpus. Errors: `OSError`."""
    corpus = Path(command.corpus)
    folder = part_folder(corpus, number)
    make_corpus_folder(corpus)
    make_folder_within(folder)
    parent = os.getpid()
    with open(folder / LOG, "ab", opener=open_within) as log:
        return subprocess.Popen(
            command.arguments(number),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=command.folder if Path(command.folder).is_dir() else None,
            env=_environment(command.environment),
            start_new_session=True,  # Ctrl-C on a terminal is for who started it
            preexec_fn=lambda: _end_with(parent),
        )


def end_of(process: "subprocess.Popen[bytes]", corpus: str, number: int) -> PartEnd:
    """How a process that has ended did so."""
    code = process.wait()
    return PartEnd(code, _last_line(part_folder(Path(corpus), number) / LOG))


def command_line(part: Part, at_once: int, words: Sequence[str]) -> tuple[str, ...]:
    """The words of `run` that are the same for each part."""
    return (*words, "--at-once", str(min(at_once, part.parts)))


def _environment(variables: Mapping[str, str]) -> dict[str, str]:
    return {**os.environ, **variables, "PYTHONPATH": python_path()}


def _end_with(parent: int) -> None:
    """In the child: SIGTERM, which drains, when the parent ends (Linux; elsewhere nothing)."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # until the run listens to them
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it ended before that
            os._exit(128 + signal.SIGTERM)


def _last_line(log: Path) -> str:
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - TAIL_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")
