"""Processes of the three programs, as the stories start, watch and kill them."""

import json
import os
import resource
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
READY_SECONDS = 180.0  # torch and transformers on a busy machine


class Programs:
    """The interpreters of the three programs, and a fork server for each that is asked for."""

    def __init__(self, root: Path, pythons: Mapping[str, str], machine: Path | None) -> None:
        self.root = root
        self.machine = machine  # the hostile machine's library; None where it cannot be had
        self._pythons = pythons
        self._folder = Path(tempfile.mkdtemp(prefix="chaos-servers-"))
        self._servers: dict[str, subprocess.Popen[bytes]] = {}

    def python(self, program: str) -> str:
        return self._pythons[program]

    def address(self, program: str) -> str:
        """The socket of a program's fork server, which is started where none runs."""
        address = str(self._folder / program)
        server = self._servers.get(program)
        if server is None or server.poll() is not None:
            for name in (address, address + ".launcher"):
                Path(name).unlink(missing_ok=True)
            self._servers[program] = self._start(program, address)
        return address

    def _start(self, program: str, address: str) -> "subprocess.Popen[bytes]":
        variables = plain_variables(self.root)
        if self.machine is not None:
            variables["LD_PRELOAD"] = str(self.machine)
        server = subprocess.Popen(
            [self.python(program), str(HERE / "fork_server.py"), program, address],
            cwd=self.root,
            env=variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert server.stdout is not None
        readable, _, _ = select.select([server.stdout], [], [], READY_SECONDS)
        if not readable or server.stdout.readline() != b"ready\n":
            server.kill()
            raise RuntimeError(f"the fork server of {program} did not start")
        return server

    def close(self) -> None:
        for server in self._servers.values():
            assert server.stdin is not None
            server.stdin.close()
            try:
                server.wait(5)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
        shutil.rmtree(self._folder, ignore_errors=True)


def plain_variables(root: Path) -> dict[str, str]:
    """What any process of a story gets; nothing of ours, nothing of the user's."""
    names = ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH", "TMPDIR")
    kept = {name: os.environ[name] for name in names if name in os.environ}
    threads = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "MKL", "OPENBLAS")}
    quiet = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "RAYON_NUM_THREADS": "1"}
    return {**kept, **threads, **quiet, "PYTHONPATH": str(root), "COLUMNS": "100"}


class Process:
    """One process of a program: forked, or an interpreter of its own where `fresh`."""

    def __init__(
        self,
        programs: Programs,
        program: str,
        argv: list[str],
        output: Path,
        variables: dict[str, str],
        limits: Mapping[str, int] | None = None,
        fresh: bool = False,
    ) -> None:
        self.name = f"{program} {argv[0]}"
        self.output = output
        self.cpu = 0.0  # seconds of processor time, where it was forked and has ended
        self._code: int | None = None
        self._connection: socket.socket | None = None
        self._received = b""
        self._popen: subprocess.Popen[bytes] | None = None
        with output.open("ab") as file:
            if fresh:
                self._execute(programs, program, argv, file.fileno(), variables, limits or {})
            else:
                self._fork(programs, program, argv, file.fileno(), variables, limits or {})

    def _execute(
        self,
        programs: Programs,
        program: str,
        argv: list[str],
        output: int,
        variables: dict[str, str],
        limits: Mapping[str, int],
    ) -> None:
        if programs.machine is not None:
            variables = {**variables, "LD_PRELOAD": str(programs.machine)}

        def prepare() -> None:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            for name, value in limits.items():
                resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (value, value))

        self._popen = subprocess.Popen(
            [programs.python(program), "-m", program, *argv],
            cwd=programs.root,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            preexec_fn=prepare,
        )
        self.pid = self._popen.pid

    def _fork(
        self,
        programs: Programs,
        program: str,
        argv: list[str],
        output: int,
        variables: dict[str, str],
        limits: Mapping[str, int],
    ) -> None:
        order = {
            "module": program,
            "argv": argv,
            "variables": variables,
            "limits": dict(limits),
            "folder": str(programs.root),
            "bound": False,
            "blocked": [],
        }
        self._connection = socket.socket(socket.AF_UNIX)
        self._connection.connect(programs.address(program))
        with open(os.devnull, "rb") as nothing:
            line = json.dumps(order).encode() + b"\n"
            socket.send_fds(self._connection, [line], [nothing.fileno(), output, output])
        reply = self._reply(60)
        if reply is None:
            raise RuntimeError(f"the fork server of {program} does not answer")
        self.pid = int(reply["pid"])

    def _reply(self, seconds: float) -> dict[str, Any] | None:
        assert self._connection is not None
        deadline = time.monotonic() + seconds
        while b"\n" not in self._received:
            remaining = max(deadline - time.monotonic(), 0)
            readable, _, _ = select.select([self._connection], [], [], remaining)
            if not readable:
                return None
            piece = self._connection.recv(4096)
            if not piece:
                raise RuntimeError("the fork server is gone")
            self._received += piece
        line, _, self._received = self._received.partition(b"\n")
        return dict(json.loads(line))

    def wait(self, seconds: float) -> int | None:
        """Its exit code (-9: killed); None where it still runs after so many seconds."""
        if self._code is not None:
            return self._code
        if self._popen is not None:
            try:
                self._code = self._popen.wait(seconds)
            except subprocess.TimeoutExpired:
                return None
            return self._code
        reply = self._reply(seconds)
        if reply is None:
            return None
        assert self._connection is not None
        self._connection.close()
        self._code = os.waitstatus_to_exitcode(reply["status"])
        self.cpu = float(reply["cpu"])
        return self._code

    @property
    def alive(self) -> bool:
        return self.wait(0) is None

    def send(self, number: int) -> bool:
        """Send a signal; False where it has ended before."""
        if not self.alive:
            return False
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            return False
        return True

    def kill(self) -> bool:
        """kill -9, and wait for the end; False where it has ended before."""
        if not self.send(signal.SIGKILL):
            return False
        self.wait(30)
        return self._code == -signal.SIGKILL

    def text(self) -> str:
        """What it has printed, on either stream."""
        return self.output.read_text(encoding="utf-8", errors="replace")
