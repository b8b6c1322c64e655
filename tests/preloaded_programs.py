"""Programs in processes of their own whose libraries are imported once for all of them.

`python -m trainer` spends six seconds of a core on imports before a line of ours runs. Here one
server imports them and forks for each start; the child runs the program's own `__main__` under its
own pid, with its own arguments, environment, signals and output. What a library reads from the
environment while it is imported is the server's, so a start whose environment differs in more than
our own variables is an ordinary one.
"""

import atexit
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parents[1]
# Read after the imports, or without meaning for the libraries; torch sets the cache's folder itself.
FREE_PREFIXES = (
    "STILLHOUSE_",
    "PYTEST_",
    "PYTHONUNBUFFERED",
    "TORCHINDUCTOR_CACHE_DIR",
    "CUDA_VISIBLE_DEVICES",  # read as CUDA starts, which it does in no import
)
FREE_SUFFIXES = ("_KEY", "_TOKEN")

_context = multiprocessing.get_context("forkserver")
_server_environment: dict[str, str] = {}


def preload(*modules: str) -> None:
    """What the server of this test process imports; before the first start."""
    # pytest: a child of multiprocessing imports what its parent was started as.
    _context.set_forkserver_preload(["pytest", __name__, *modules])
    _server_environment.update(os.environ, PYTHONPATH=str(ROOT))


def start_program(
    module: str,
    arguments: Sequence[str],
    environment: Mapping[str, str],
    *,
    cwd: Path | None = None,
    group: bool = False,
    merge: bool = False,
) -> "Process":
    """`python -m MODULE ARGUMENTS`, with pipes of text; `group`: in a process group of its own;
    `merge`: stderr goes to stdout.
    """
    if _serves(environment):
        return PreloadedProcess(
            module, arguments, environment, cwd=cwd or Path.cwd(), group=group, merge=merge
        )
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        cwd=cwd,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT if merge else subprocess.PIPE,
        text=True,
        start_new_session=group,
        # a background job starts with it ignored
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def _serves(environment: Mapping[str, str]) -> bool:
    """Whether a program with this environment may be forked from the server."""
    differing_names = {
        name
        for name in {*environment, *_server_environment}
        if environment.get(name) != _server_environment.get(name)
    }
    return bool(_server_environment) and all(
        name.startswith(FREE_PREFIXES) or name.endswith(FREE_SUFFIXES) for name in differing_names
    )


class PreloadedProcess:
    """A program that runs, in the terms of `subprocess.Popen` with pipes of text."""

    def __init__(
        self,
        module: str,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        *,
        cwd: Path,
        group: bool,
        merge: bool,
    ) -> None:
        self.args = [sys.executable, "-m", module, *arguments]
        self.stdout, stdout_writer = _pipe()
        self.stderr, stderr_writer = (None, None) if merge else _pipe()
        start = _Start(
            module,
            list(arguments),
            dict(environment),
            str(cwd),
            _umask(),
            group,
            stdout_writer,
            stderr_writer or stdout_writer,
        )
        self._process = _context.Process(target=start.run)
        self._process.start()
        stdout_writer.close()
        if stderr_writer is not None:
            stderr_writer.close()
        assert self._process.pid is not None
        self.pid: int = self._process.pid
        atexit.register(self.kill)  # before multiprocessing, which waits for its children

    @property
    def returncode(self) -> int | None:
        """As of `subprocess`: None while it runs, below 0 where a signal ended it."""
        return self._process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """All of the output that was not read yet (stdout, stderr); waits for the end."""
        errors: list[str] = []
        reading = threading.Thread(target=lambda: errors.append(_read_out(self.stderr)))
        timer = threading.Timer(timeout or threading.TIMEOUT_MAX, self.kill)
        reading.start()
        timer.start()
        output = _read_out(self.stdout)
        reading.join()
        is_late = not timer.is_alive()
        timer.cancel()
        timer.join()
        if is_late:
            raise subprocess.TimeoutExpired(self.args, timeout or 0.0, output, errors[0])
        self.wait(timeout)
        return output, errors[0]

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def _umask() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return umask


def _pipe() -> tuple[IO[str], Connection]:
    reader, writer = _context.Pipe(duplex=False)
    with reader:
        return os.fdopen(os.dup(reader.fileno()), encoding="utf-8"), writer


def _read_out(stream: IO[str] | None) -> str:
    if stream is None or stream.closed:
        return ""
    with stream:
        return stream.read()


Process = subprocess.Popen[str] | PreloadedProcess


@dataclass(frozen=True)
class _Start:
    """What a child does: as an interpreter before and after `python -m MODULE`."""

    module: str
    arguments: list[str]
    environment: dict[str, str]
    cwd: str
    umask: int
    group: bool
    stdout: Connection
    stderr: Connection

    def run(self) -> None:
        if self.group:
            os.setsid()
        os.dup2(self.stdout.fileno(), 1)
        os.dup2(self.stderr.fileno(), 2)
        self.stdout.close()
        self.stderr.close()
        # Unbuffered, as the tests ask of every program, whatever the server's own output is.
        sys.stdout = open(1, "w", encoding="utf-8", buffering=1, closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", encoding="utf-8", buffering=1, closefd=False)  # noqa: SIM115
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.environ.clear()
        os.environ.update(self.environment)
        os.chdir(self.cwd)
        os.umask(self.umask)
        sys.argv[1:] = self.arguments
        try:
            runpy.run_module(self.module, run_name="__main__", alter_sys=True)
        finally:
            atexit._run_exitfuncs()
