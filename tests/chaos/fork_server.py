"""A program's processes without its imports: loads one program, then forks for each start.

    PYTHON tests/chaos/fork_server.py generator SOCKET

A start is a connection to SOCKET. One line of JSON goes in, with stdin, stdout and stderr as
descriptors beside it; lines come out: {"pid": 17}, and when it has ended {"status": wait status, "cpu": 0.3}.
`bound`: a start that dies with its connection, as what a launcher stands for.

    {"module": "generator", "argv": ["run", "c.toml"], "variables": {"PATH": "/bin"}, "limits": {"NOFILE": 64},
     "folder": "/repo", "bound": false, "blocked": []}

A child is the leader of a session of its own and runs `python -m MODULE` by runpy. What trainer and
evaluation start themselves as `sys.executable -m` a module of theirs (the merge, lighteval's
metric) comes back here through LAUNCHER; the generator's children have little to import.
"""

import contextlib
import ctypes
import gc
import importlib
import json
import os
import pkgutil
import resource
import runpy
import selectors
import signal
import socket
import sys
import traceback
from pathlib import Path
from typing import Any

# Loaded before the modules of the programs, in the order that these import them.
FIRST = {
    "generator": ["rensa", "numpy", "pyarrow.parquet", "pyarrow.json"],
    "trainer": [
        "torch",
        "transformers",
        "accelerate",
        "peft",
        "transformers.models.qwen2.modeling_qwen2",
        "transformers.trainer",
        "torch._dynamo",
        "trainer.loop.prepare",
        "trainer.loop.step",
        "trainer.loop.generation_eval",
    ],
    "evaluation": [
        "torch",
        "transformers",
        "transformers.models.qwen2.modeling_qwen2",
        "evaluation.pipeline",
        "evaluation.engines.endpoint",
        "evaluation.engines.transformers_engine",
        "evaluation.lighteval.tasks",
        "lighteval.metrics.dynamic_metrics",
        "lighteval.metrics.utils.extractive_match_utils",
        "datasets.io.parquet",
    ],
}
# Modules that start something when they are imported, or want what is not installed everywhere.
LEFT_OUT = ("__main__", ".worker", "unsloth")
LAUNCHER = """#!{python} -IS
import json, os, signal, socket, sys
words = sys.argv[1:]
if words[:1] != ["-m"] or words[1].split(".")[0] != {program!r}:
    os.execv({python!r}, [{python!r}, *words])
server = socket.socket(socket.AF_UNIX)
server.connect({address!r})
order = {{"module": words[1], "argv": words[2:], "variables": dict(os.environ), "limits": {{}}, "folder": os.getcwd(),
         "bound": True, "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, []))}}
socket.send_fds(server, [json.dumps(order).encode() + b"\\n"], [0, 1, 2])
for line in server.makefile():
    reply = json.loads(line)
    if "status" in reply:
        code = os.waitstatus_to_exitcode(reply["status"])
        if code < 0:
            if code != -signal.SIGKILL:
                signal.signal(-code, signal.SIG_DFL)
            os.kill(os.getpid(), -code)
        os._exit(code)
os._exit(1)
"""


def write_launcher(program: str, address: str) -> str:
    """What stands for the interpreter in the program's processes; its path."""
    path = Path(address + ".launcher")
    path.write_text(LAUNCHER.format(python=sys.executable, program=program, address=address))
    path.chmod(0o755)
    return str(path)


def load(program: str) -> None:
    """Import all of a program, so that a fork starts without imports."""
    for name in FIRST[program]:
        try:
            importlib.import_module(name)
        except ImportError as error:
            print(f"fork server: {name}: {error}", file=sys.stderr)
    packages = [program, "shared"] if program == "generator" else [program]
    for package in map(importlib.import_module, packages):
        for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            if any(part in module.name for part in (*LEFT_OUT, ".inference")):
                continue
            try:
                importlib.import_module(module.name)
            except ImportError as error:
                print(f"fork server: {module.name}: {error}", file=sys.stderr)


def become(order: dict[str, Any], descriptors: list[int]) -> None:
    """In the child: take the order's place, run the program, never return."""
    os.environ.clear()
    os.environ.update(order["variables"])
    machine = ctypes.CDLL(None)
    if hasattr(machine, "chaos_read_settings"):
        machine.chaos_read_settings()
    os.setsid()
    for target, descriptor in enumerate(descriptors):
        os.dup2(descriptor, target)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN if number == signal.SIGPIPE else signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.set_wakeup_fd(-1)
    signal.pthread_sigmask(signal.SIG_SETMASK, order["blocked"])
    for name, value in order["limits"].items():
        resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (value, value))
    os.chdir(order["folder"])
    pids = os.environ.get("CHAOS_PIDS")
    if pids:
        with open(pids, "a") as file:
            file.write(f"{os.getpid()}\n")
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
    sys.argv = [order["module"], *order["argv"]]
    leave(run(order["module"]))


def run(module: str) -> int:
    """`python -m module`; the exit code that an interpreter would give."""
    sys.modules.pop(module, None)  # or runpy warns that it has been imported
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as error:
        if error.code is None or isinstance(error.code, int):
            return error.code or 0
        print(error.code, file=sys.stderr)
        return 1
    except KeyboardInterrupt:  # as an interpreter ends: with its words, and by the signal
        traceback.print_exc()
        sys.stderr.flush()
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
        return 1
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def leave(code: int) -> None:
    """End as an interpreter does, which flushes and calls what was registered for its end."""
    import atexit
    import threading

    try:
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:
        os._exit(code or 120)
    os._exit(code)


class ForkServer:
    """The parent of all processes of one program."""

    def __init__(self, address: str) -> None:
        self._connections: dict[int, tuple[socket.socket, bool]] = {}  # by pid
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(address)
        self._listener.listen(64)
        self._selector = selectors.DefaultSelector()
        self._wakeup, write_end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        os.set_blocking(write_end, False)
        signal.set_wakeup_fd(write_end)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        self._selector.register(self._wakeup, selectors.EVENT_READ, self._reap)
        self._selector.register(0, selectors.EVENT_READ, lambda: os._exit(0))

    def serve(self) -> None:
        """Until stdin closes."""
        while True:
            for key, _ in self._selector.select():
                key.data()

    def _accept(self) -> None:
        connection, _ = self._listener.accept()
        data, descriptors, _, _ = socket.recv_fds(connection, 1 << 20, 3)
        while not data.endswith(b"\n"):
            piece = connection.recv(1 << 20)
            if not piece:
                return
            data += piece
        order = json.loads(data)
        pid = os.fork()
        if pid == 0:
            become(order, descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        with contextlib.suppress(OSError):  # a launcher that was killed meanwhile: see `_lose`
            connection.sendall(json.dumps({"pid": pid}).encode() + b"\n")
        self._connections[pid] = (connection, order["bound"])
        self._selector.register(connection, selectors.EVENT_READ, lambda: self._lose(pid))

    def _lose(self, pid: int) -> None:
        """The other side is gone."""
        connection, bound = self._connections.pop(pid, (None, False))
        if connection is None:
            return
        self._selector.unregister(connection)
        connection.close()
        if bound:
            os.kill(pid, signal.SIGKILL)

    def _reap(self) -> None:
        os.read(self._wakeup, 4096)
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            connection, _ = self._connections.pop(pid, (None, False))
            if connection is None:
                continue
            self._selector.unregister(connection)
            with contextlib.suppress(OSError):
                cpu = round(usage.ru_utime + usage.ru_stime, 3)
                reply = {"status": status, "cpu": cpu}
                connection.sendall(json.dumps(reply).encode() + b"\n")
            connection.close()


if __name__ == "__main__":
    sys.path[0] = os.getcwd()
    if sys.argv[1] != "generator":
        sys.executable = write_launcher(sys.argv[1], sys.argv[2])
    load(sys.argv[1])
    gc.collect()
    gc.freeze()
    server = ForkServer(sys.argv[2])
    print("ready", flush=True)
    server.serve()
