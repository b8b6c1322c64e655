"""One story: a folder, its processes, what is looked at from outside while they live and after.

Everything that is random in it comes from `rng`, which is the seed's: (kind, seed) plays again.
A violation is noted, never raised: what follows it may say more.
"""

import os
import random
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path

from tests.chaos.processes import Process, Programs, plain_variables

TRACEBACKS = ("Traceback (most recent call last)", "Exception in callback", "was never retrieved")
# A file of ours whose code runs when a program already hears signals; the first of all does not.
LATER_FRAME = re.compile(r'File "[^"]*/(generator|trainer|evaluation|shared)/(?!startup\.py|__)')
HANG_SECONDS = 120.0
ALIVE_AFTER_SECONDS = 30.0  # a process that is told to end may wait long for a busy processor
SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Story:
    """What one play of (kind, seed) has and sees."""

    def __init__(self, kind: str, seed: int, programs: Programs, folder: Path) -> None:
        self.kind = kind
        self.seed = seed
        self.rng = random.Random(f"{kind}:{seed}")
        self.programs = programs
        self.folder = Path(tempfile.mkdtemp(prefix=f"{kind}-{seed}-", dir=folder))
        self.key = f"sk-{self.rng.getrandbits(100):025x}"
        self.token = f"tk-{self.rng.getrandbits(100):025x}"
        self.violations: list[str] = []
        self.notes: list[str] = []
        self.kills = 0
        self.starts = 0
        self.processes: list[Process] = []
        self._mounts: list[Path] = []
        self._closers: list[Callable[[], None]] = []

    # --- processes

    def start(
        self,
        program: str,
        *words: object,
        machine: Mapping[str, object] | None = None,
        variables: Mapping[str, str] | None = None,
        limits: Mapping[str, int] | None = None,
        fresh: bool = False,
    ) -> Process:
        """A process of a program. `machine`: what the hostile machine does to it, by the names in
        hostile_machine.c without CHAOS_.
        """
        environment = {
            **plain_variables(self.programs.root),
            "CHAOS_STORY": self.folder.name,
            "CHAOS_PIDS": str(self.folder / "pids"),
            "CHAOS_KEY": self.key,
            "GENERATOR_TOKEN": self.token,
            **{f"CHAOS_{name}": str(value) for name, value in (machine or {}).items()},
            **(variables or {}),
        }
        self.starts += 1
        output = self.folder / f"output-{self.starts:02d}.txt"
        argv = [str(word) for word in words]
        process = Process(self.programs, program, argv, output, environment, limits, fresh)
        self.processes.append(process)
        return process

    def kill(self, process: Process) -> bool:
        """kill -9; whether it hit a living process."""
        hit = process.kill()
        self.kills += hit
        return hit

    def end(self, process: Process, codes: Collection[int], what: str = "") -> int | None:
        """Wait for an end with one of these exit codes and no traceback; None for a hang."""
        what = what or process.name
        code = process.wait(HANG_SECONDS)
        text = process.text()
        if code is None:
            self.violation(f"hang: {what} runs after {HANG_SECONDS:.0f} s: {text[-300:]!r}")
            process.kill()
            return None
        if code not in codes:
            expected = ", ".join(map(str, sorted(codes)))
            self.violation(f"exit code {code} instead of {expected}: {what}: {text[-500:]!r}")
        self.no_traceback(process, what)
        return code

    def stopped(self, process: Process, number: int, what: str) -> int | None:
        """Send a signal that asks for an orderly end, and wait for exit code 0; the signal's own
        where it came before the program's first line, and so nobody could hear it.
        """
        process.send(number)
        code = process.wait(HANG_SECONDS)
        text = process.text()
        if code == -number and (not text or interrupted_python(text)):
            self.note("before the first line")
            return code
        return self.end(process, {0}, what)

    def no_traceback(self, process: Process, what: str = "") -> None:
        text = process.text()
        if interrupted_python(text):
            self.note("before the first line")
            return
        places = [text.find(mark) for mark in TRACEBACKS if mark in text]
        if places:
            start = min(places)
            self.violation(f"traceback: {what or process.name}: {text[start:][-700:]!r}")

    def until(self, condition: Callable[[], bool], process: Process, seconds: float = 20.0) -> bool:
        """Wait for a condition as long as the process lives; whether it came true."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if condition():
                return True
            if not process.alive:
                return condition()
            time.sleep(0.004)
        return False

    # --- what is noted

    def violation(self, text: str) -> None:
        self.violations.append(text)

    def note(self, text: str) -> None:
        self.notes.append(text)

    # --- the machine

    def small_disk(self, kibibytes: int) -> Path | None:
        """A file system of this size for the story; None where none may be mounted."""
        if shutil.which("mount") is None:
            return None
        folder = self.folder / f"disk-{len(self._mounts)}"
        folder.mkdir()
        options = ["-o", f"size={kibibytes}k", "tmpfs", str(folder)]
        mount = ["mount", "-t", "tmpfs", *options]
        if subprocess.run(mount, capture_output=True, check=False).returncode:
            return None
        self._mounts.append(folder)
        return folder

    def remount(self, folder: Path, options: str) -> bool:
        """Change a mounted disk: "ro", "rw", "size=64m"."""
        command = ["mount", "-o", f"remount,{options}", str(folder)]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    # --- the end

    def at_close(self, close: Callable[[], None]) -> None:
        self._closers.append(close)

    def close(self, keep: bool) -> None:
        """The invariants of every story's end; then all is put away."""
        try:
            self._no_process_is_alive()
            self._no_secret_was_written()
        finally:
            for close in reversed(self._closers):
                close()
            for folder in self._mounts:
                subprocess.run(["umount", "-l", str(folder)], check=False, capture_output=True)
            if not (keep or self.violations):
                shutil.rmtree(self.folder, ignore_errors=True)

    def _no_process_is_alive(self) -> None:
        deadline = time.monotonic() + ALIVE_AFTER_SECONDS
        alive = self._alive()
        while alive and time.monotonic() < deadline:
            time.sleep(0.05)
            alive = self._alive()
        for pid, command in alive.items():
            self.violation(f"left behind: process {pid}: {command}")
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue

    def _alive(self) -> dict[int, str]:
        """{pid: command} of every process of this story that has not ended."""
        own = {process.pid for process in self.processes}
        pids = self.folder / "pids"
        if pids.exists():
            own |= set(map(int, pids.read_text().split()))
        mark = f"CHAOS_STORY={self.folder.name}".encode()
        return {
            pid: command
            for pid, session, environment, command in _processes_of_the_machine()
            if pid in own or session in own or mark in environment
        }

    def _no_secret_was_written(self) -> None:
        for path in sorted(self.folder.rglob("*")):
            if path.suffix == ".toml" or path.is_symlink() or not path.is_file():
                continue
            data = path.read_bytes()
            for name, secret in (("key", self.key), ("token", self.token)):
                place = data.find(secret[3:].encode())
                if place >= 0:
                    around = data[max(0, place - 80) : place + 20]
                    relative = path.relative_to(self.folder)
                    self.violation(f"the {name} stands in {relative}: {around!r}")


def interrupted_python(text: str) -> bool:
    """Whether all that a process has said is Python's word for a SIGINT before the program's first
    line.
    """
    is_interrupt = text.startswith(TRACEBACKS[0]) and text.endswith("KeyboardInterrupt\n")
    return is_interrupt and LATER_FRAME.search(text) is None


def _processes_of_the_machine() -> Iterator[tuple[int, int, bytes, str]]:
    """(pid, session, environment, command) of all that have not ended."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            if fields[0] in "ZX":
                continue
            environment = (entry / "environ").read_bytes()
            command = (entry / "cmdline").read_text().replace("\0", " ")[:100]
        except OSError:  # it ended between two looks, or is none of ours
            continue
        yield int(entry.name), int(fields[3]), environment, command
