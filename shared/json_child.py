"""A child process that can be killed, for work that may never end: one JSON request a line goes in,
one JSON reply a line comes back.

The owner holds a `JsonChild`, the child runs `serve`. A child that exceeds its time is killed and a
new one takes its place; all end with the process that owns them.

    CannotStart     the machine has no room for the child: says nothing about any request
    ChildLost       the request took too long
    └── ChildDied   the child ended under it; a request under which several end is to blame
"""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Sequence
from typing import IO, Any

from shared.child_environment import child_environment
from shared.errors import InputError

Json = dict[str, Any]

START_SECONDS = 120.0  # a child imports its libraries first; that is not a request's time
# Seconds between attempts to start one: what a machine lacks may be back in a moment.
START_PAUSES = (0.2, 1.0, 3.0)
MOST_DEATHS = 2  # under one request: the first may have been the system's choice, short of memory
EXIT_SECONDS = 1.0  # for a process that closed its pipes to end as well
GRACE_SECONDS = 2.0  # of processor time, before a child whose owner may be gone ends itself


class ChildLost(Exception):
    """No reply in time. The process is dead when this is raised."""


class ChildDied(ChildLost):
    """The process ended under a request; `ending` says how: "SIGKILL", "exit code 3"."""

    def __init__(self, ending: str, message: str | None = None) -> None:
        super().__init__(message or f"the process ended by {ending}")
        self.ending = ending


class CannotStart(InputError):
    """No child can be started: a fault of the machine. `is_final`: another attempt would end the
    same way.
    """

    def __init__(self, kind: str, reason: str, is_final: bool = False) -> None:
        super().__init__(
            f"a {kind} process cannot start: {reason}: make room (memory, `ulimit -v`, `-u`, `-n`),"
            " then run again: it goes on from here"
        )
        self.is_final = is_final


class JsonChild:
    """One process at a time that serves requests, started when it is first needed.

    What its death means is the same for every owner. While it waits: nothing, a new one takes its
    place. As it starts: `CannotStart`, after an attempt behind each of `start_pauses` (seconds).
    Under a request: the next one is asked, up to `most_deaths`. For one thread at a time; `kill`
    is for any thread.
    """

    def __init__(
        self,
        command: Sequence[str],
        kind: str,
        start_pauses: Sequence[float] = START_PAUSES,
        start_seconds: float = START_SECONDS,
        more_variables: Collection[str] = (),
        most_deaths: int = MOST_DEATHS,
    ) -> None:
        """`kind` names it in messages ("grading": "a grading process cannot start")."""
        self._command = command
        self._kind = kind
        self._start_pauses = start_pauses
        self._start_seconds = start_seconds
        self._more_variables = more_variables
        self._most_deaths = most_deaths
        self._process: subprocess.Popen[bytes] | None = None
        self._is_ready = False
        self._buffer = b""
        self._in_use = threading.Lock()
        self._is_over = threading.Event()

    @property
    def pid(self) -> int | None:
        """The running process; None where there is none."""
        process = self._process
        if process is not None:
            return process.pid
        return None

    @property
    def is_busy(self) -> bool:
        """Whether a thread waits for it to start or to reply."""
        return self._in_use.locked()

    def launch(self) -> None:
        """Start the process and do not wait for it. What goes wrong is the first request's to
        tell.
        """
        with self._in_use, contextlib.suppress(CannotStart):
            self._spawn()

    def start(self, pauses: Sequence[float] = START_PAUSES) -> None:
        """See to it that the process runs and is ready. Errors: `CannotStart`; `ChildDied` once
        `kill` was called.
        """
        with self._in_use:
            self._ensure_ready(pauses)

    def ask(self, request: Json, seconds: float) -> Json:
        """The reply to `request` within `seconds` of a ready process; its start is not counted.

        Errors: `ChildLost` where it takes too long, `ChildDied` where every process ends under it
        or `kill` is called; `CannotStart`.
        """
        line = json.dumps({**request, "seconds": seconds}).encode() + b"\n"
        ending = ""
        with self._in_use:
            for _ in range(self._most_deaths):
                self._ensure_ready(self._start_pauses)
                try:
                    return self._exchange(line, seconds)
                except ChildDied as death:
                    if self._is_over.is_set():
                        raise
                    ending = death.ending
        raise ChildDied(
            ending,
            f"{self._most_deaths} {self._kind} processes ended over this answer, the last by {ending}",
        )

    def kill(self) -> None:
        """End the process, for good. A thread that waits for it gets `ChildDied` at once."""
        self._is_over.set()  # before the process is read: `_spawn` does the two in reverse
        process = self._process
        if process is not None:
            process.kill()
        with self._in_use:  # until that thread has let go of the pipes
            self._discard()

    def disown(self) -> None:
        """In a forked child: the process is the parent's. Closes this side's ends of the pipes."""
        if self._process is not None:
            _close_pipes(self._process)

    def _ensure_ready(self, pauses: Sequence[float]) -> None:
        for pause in pauses:
            try:
                self._start_once()
                return
            except CannotStart as error:
                if error.is_final:
                    raise
            self._is_over.wait(pause)
        self._start_once()

    def _start_once(self) -> None:
        if self._is_ready and self._process is not None and self._process.poll() is not None:
            self._discard()  # it ended while it waited
        if self._process is None:
            self._spawn()
        if self._is_ready:
            return
        try:
            greeting = json.loads(self._read(self._start_seconds))
            if not greeting["ready"]:
                raise CannotStart(self._kind, greeting["why"], is_final=True)
            self._is_ready = True
        except ChildDied as death:
            if self._is_over.is_set():
                raise
            reason = f"it ended by {death.ending} before it was ready"
            raise CannotStart(self._kind, reason) from None
        except ChildLost:
            reason = f"it was not ready within {self._start_seconds:g} s"
            raise CannotStart(self._kind, reason) from None
        finally:
            if not self._is_ready:
                self._discard()

    def _spawn(self) -> None:
        try:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=child_environment(self._more_variables),
                start_new_session=True,  # Ctrl-C on a terminal is for the owner
            )
        except OSError as error:
            raise CannotStart(self._kind, error.strerror or str(error)) from None
        if self._is_over.is_set():
            self._discard()
            raise ChildDied("its owner's end")

    def _exchange(self, line: bytes, seconds: float) -> Json:
        try:
            self._write(line)
            reply: Json = json.loads(self._read(seconds))
        except BaseException:  # a half-read reply must not reach the next request
            self._discard()
            raise
        return reply

    def _write(self, line: bytes) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line)
            self._process.stdin.flush()
        except OSError:
            raise ChildDied(_ending(self._process)) from None

    def _read(self, seconds: float) -> bytes:
        """The next line, without its end."""
        assert self._process is not None
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        poller = select.poll()  # select() refuses descriptors from 1,024 on
        poller.register(descriptor, select.POLLIN)
        deadline = time.monotonic() + seconds
        while b"\n" not in self._buffer:
            remaining_seconds = deadline - time.monotonic()
            if remaining_seconds <= 0 or not poller.poll(remaining_seconds * 1000):
                raise ChildLost(f"no decision within {seconds:g} s")
            block = os.read(descriptor, 65536)
            if not block:
                raise ChildDied(_ending(self._process))
            self._buffer += block
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line

    def _discard(self) -> None:
        process = self._process
        self._process = None
        self._is_ready = False
        self._buffer = b""
        if process is not None:
            process.kill()
            process.wait()
            _close_pipes(process)


def _close_pipes(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):  # unwritten bytes for a process that is gone
                pipe.close()


def _ending(process: subprocess.Popen[bytes]) -> str:
    """How a process that closed its pipes ended."""
    try:
        code = process.wait(EXIT_SECONDS)
    except subprocess.TimeoutExpired:
        return "closing its output"
    if code >= 0:
        return f"exit code {code}"
    with contextlib.suppress(ValueError):
        return signal.Signals(-code).name
    return f"signal {-code}"


def serve(prepare: Callable[[], Callable[[Json], Json]]) -> None:
    """The child's side: answer requests with what `prepare` returns, until standard input ends.

    `prepare` imports and warms up what a request needs, before the owner's clock runs; what it
    raises is the owner's `CannotStart`. SIGINT and SIGTERM are ignored (the owner drains and then
    closes the pipe). A request that takes far more processor time than its `seconds` ends the
    process: it cannot outlive a killed owner for long.
    """
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints must not look like a reply
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        answer = prepare()
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".removesuffix(": ")[:300]
        _send(replies, {"ready": False, "why": reason})
        sys.exit(1)
    _send(replies, {"ready": True})
    for line in sys.stdin.buffer:
        request = json.loads(line)
        # Virtual time: math-verify uses SIGALRM itself, and a suspended laptop must not kill an
        # idle child.
        signal.setitimer(signal.ITIMER_VIRTUAL, request["seconds"] + GRACE_SECONDS)
        reply = answer(request)
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        _send(replies, reply)


def _send(replies: IO[bytes], reply: Json) -> None:
    replies.write(json.dumps(reply).encode() + b"\n")
    replies.flush()
