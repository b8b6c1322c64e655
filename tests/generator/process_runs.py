"""The real thing for tests: rehearsal teachers and generators as processes, and what they left
on disk.
"""

import contextlib
import itertools
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.preloaded_programs import Process, start_program

ROOT = Path(__file__).parents[2]
LONG = 120.0  # seconds; only a hang takes so long, also on a slow machine


def environment(*, measured: bool = True, **more: str) -> dict[str, str]:
    """The variables of a started program. Not `measured`: without coverage, whose file would meet
    the limit on the size of files that the test sets for the program's own.
    """
    dropped = ("STILLHOUSE_",) if measured else ("STILLHOUSE_", "COVERAGE_", "COV_")
    variables = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    return {**variables, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **more}


class Rehearsal:
    """A rehearsal teacher in its own process."""

    def __init__(self, *flags: str, port: int = 0) -> None:
        self._process = run_process(
            "generator.rehearsal", "--port", str(port), "--tokens-per-second", "0", *flags
        )
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().split()[-1]

    def stats(self) -> dict[str, Any]:
        with urllib.request.urlopen(self.url.removesuffix("/v1") + "/stats", timeout=30) as reply:
            return dict(json.load(reply))

    def stop(self) -> None:
        self._process.terminate()
        self._process.communicate()


@contextlib.contextmanager
def rehearsal(*flags: str, port: int = 0) -> Iterator[Rehearsal]:
    server = Rehearsal(*flags, port=port)
    try:
        yield server
    finally:
        server.stop()


# Below the ports that the system gives to port 0 and to clients, and from another start in every
# worker of the tests: between the choice of a port and the start of its server, nothing else takes
# it.
_ports = itertools.count(random.SystemRandom().randrange(20_000, 32_000))


def free_port() -> int:
    for port in _ports:
        with socket.socket() as listener, contextlib.suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return port
    raise AssertionError("never: the count has no end")


def configure(folder: Path, url: str, **keys: Any) -> Path:
    """A configuration file for a quick run in `folder`; keys are written `sampling__samples=2`."""
    settings: dict[str, Any] = {
        "corpus": str(folder / "corpus"),
        "problems__source": "synthetic:arithmetic",
        "problems__limit": 20,
        "lane__name": "local",
        "lane__base_url": url,
        "lane__model": "rehearsal-r1",
        "lane__concurrency": 16,
        "daemon__port": 0,
        "grading__workers": 1,
    } | keys
    tables: dict[str, dict[str, Any]] = {}
    for name, value in settings.items():
        table, _, key = name.rpartition("__")
        tables.setdefault(table, {})[key] = value
    lines = []
    for table, values in sorted(tables.items()):
        lines += [f"[[{table}]]" if table == "lane" else f"[{table}]"] if table else []
        lines += [f"{key} = {json.dumps(value)}" for key, value in values.items()]
    path = folder / "config.toml"
    path.write_text("\n".join(lines) + "\n")
    return path


def command(*args: str | Path) -> list[str]:
    return [sys.executable, "-m", "generator", *map(str, args)]


def run_process(module: str, *args: str | Path, measured: bool = True, **env: str) -> Process:
    variables = environment(measured=measured, **env)
    return start_program(module, [str(argument) for argument in args], variables)


def generator(*args: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the generator to its end."""
    process = run_process("generator", *args, **env)
    output, errors = process.communicate(timeout=LONG)
    assert process.returncode is not None
    return subprocess.CompletedProcess(process.args, process.returncode, output, errors)


@contextlib.contextmanager
def started(*args: str | Path, measured: bool = True, **env: str) -> Iterator[Process]:
    """A generator that is running; killed if it still is at the end."""
    process = run_process("generator", *args, measured=measured, **env)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.communicate()


def eventually(condition: Any, what: str, seconds: float = LONG) -> None:
    """Wait until `condition()` is true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s for: {what}"
        time.sleep(0.02)


def rows(corpus: Path, pile: str = "*") -> list[dict[str, Any]]:
    """Every row of a corpus, open shards included; a torn line fails."""
    return [
        json.loads(line)
        for path in sorted(corpus.glob(f"{pile}/shard-*"))
        for line in path.read_text(encoding="utf-8").splitlines(keepends=False)
    ]


def manifest(corpus: Path) -> dict[str, Any]:
    return dict(json.loads((corpus / "manifest.json").read_text()))
