"""All parts of a run, so many at once: started, watched, started again where one was killed.

No scheduler: each of `at_once` slots takes the next part that is not done. One page and one panel
show them all, from what they note in their ledgers.
"""

import asyncio
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from generator.config import GeneratorConfig
from generator.corpus.ledger import Ledger
from generator.corpus.store import read_trace
from generator.monitor import console
from generator.monitor.merged import merged
from generator.monitor.server import Access, dashboard_server
from generator.monitor.status import Phase, RunStatus
from generator.parts.overview import part_status
from generator.parts.processes import LOG, PartEnd
from shared.errors import SAME_SIGNAL_SECONDS, InputError, Stopped, die_of_a_second, typed
from shared.parts import part_folder
from shared.records import Trace

MOST_KILLS = 3  # of one part
STATUS_SECONDS = 1.0  # a status is good for so long: making one reads the ledgers of all that run
LATEST_TRACES = 20
# The worst first: what all parts end with where several end otherwise than 0.
CODES = (1, 2, 5, 4, 3)
OUT_OF_BUDGET = 3  # the other parts may have some left


class PartExecutor(Protocol):
    """Where parts are done."""

    async def execute(self, number: int) -> PartEnd:
        """Do a part to its end, and say how it ended."""
        ...

    def drain(self) -> None:
        """Let those that run come to an orderly end."""
        ...

    def signal(self, number: int) -> None:
        """Hand a signal on to those that run. Errors: `InputError` where that cannot be done."""
        ...


class PartsFailed(Stopped):
    """Some part did not come to its end."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class AllParts:
    """Owns the slots. What a person may do to them over signals or the page: see `Controls`."""

    def __init__(
        self, config: GeneratorConfig, parts: int, digest: str | None, executor: PartExecutor
    ) -> None:
        """`digest`: of the task at hand; None: every part is run, done or not."""
        self._config = config
        self._corpus = Path(config.corpus)
        self._digest = digest
        self._executor = executor
        self._started_at = datetime.now(UTC).isoformat(timespec="seconds")
        self._started = time.monotonic()
        self._phase: Phase = "running"
        self._ends: dict[int, PartEnd] = {}  # of parts that ended otherwise than well
        self._status: RunStatus | None = None
        self._status_at = -STATUS_SECONDS
        self._signalled_at: float | None = None
        numbers = range(parts)
        self._parts = {number: part_status(self._corpus, number, digest) for number in numbers}
        self._waiting = deque(n for n in numbers if digest is None or not self._is_done(n))
        self._running: set[int] = set()

    @property
    def waiting(self) -> int:
        """Parts that are not begun."""
        return len(self._waiting)

    async def until_done(self, at_once: int) -> None:
        """Run every part that is not done. Errors: `PartsFailed` names one that did not end well."""
        self._listen_to_signals()
        async with AsyncExitStack() as stack:
            if self._config.daemon.port:
                print(f"dashboard: {await stack.enter_async_context(self._server())}", flush=True)
            showing = asyncio.create_task(console.show(self.status))
            try:
                async with asyncio.TaskGroup() as group:
                    for _ in range(min(at_once, len(self._waiting))):
                        group.create_task(self._slot())
            finally:
                showing.cancel()
            self._end()

    async def _slot(self) -> None:
        while self._waiting and self._phase == "running":
            await self._until_ended(self._waiting.popleft())

    async def _until_ended(self, number: int) -> None:
        """One part, again where it was killed."""
        self._running.add(number)
        for attempt in range(1, MOST_KILLS + 1):
            end = await self._executor.execute(number)
            if not end.killed_by or self._phase != "running":
                break
            again = "it is done again" if attempt < MOST_KILLS else "it is given up"
            print(f"part {number}: killed by {end.killed_by}: {again}", file=sys.stderr, flush=True)
        self._running.discard(number)
        self._parts[number] = part_status(self._corpus, number, self._digest)
        if end.code == 0 or self._phase != "running":
            return
        self._ends[number] = end
        if end.code != OUT_OF_BUDGET:
            # the next ones would meet the same: a key, a disk, a line of the configuration
            self.drain(f"part {number} ended with exit code {end.code}")

    def _end(self) -> None:
        self._phase = "stopped" if self._phase == "draining" or self._ends else "done"
        self._status_at = -STATUS_SECONDS
        export = f"{typed('generator')} export {self._corpus} traces.jsonl"
        print(console.summary(self.status(), export, "part-*/traces/*.jsonl"), flush=True)
        if not self._ends:
            return
        code = next((code for code in CODES if self._has_end(code)), 1)
        with_code = (number for number, end in self._ends.items() if end.code == code)
        number = next(with_code, min(self._ends))  # a part that was killed has no such code
        end = self._ends[number]
        place = part_folder(self._corpus, number) / LOG
        why = end.last_line.removeprefix("stopped: ").removeprefix("error: ") or end.killed_by
        raise PartsFailed(f"part {number}: {why} ({place})", code)

    def _has_end(self, code: int) -> bool:
        return any(end.code == code for end in self._ends.values())

    def _is_done(self, number: int) -> bool:
        return self._parts[number].state == "done"

    # Telling

    def status(self) -> RunStatus:
        """All parts as one run."""
        now = time.monotonic()
        if self._status is None or now - self._status_at >= STATUS_SECONDS:
            for number in self._running:
                self._parts[number] = part_status(self._corpus, number, self._digest)
            self._status_at = now
            self._status = merged(
                str(self._corpus),
                list(self._parts.values()),
                self._phase,
                self._started_at,
                datetime.now(UTC).isoformat(timespec="seconds"),
                round(now - self._started, 1),
                self._samples_wanted(),
            )
        return self._status

    def _samples_wanted(self) -> int:
        sampling = self._config.sampling
        return self._config.problems.limit * (sampling.until_correct or sampling.samples)

    def _latest_traces(self) -> Sequence[Trace]:
        traces: list[Trace] = []
        for number in self._running:
            traces += _latest_traces(part_folder(self._corpus, number))
        return sorted(traces, key=lambda trace: trace.finished_at, reverse=True)[:LATEST_TRACES]

    def _server(self) -> AbstractAsyncContextManager[str]:
        daemon = self._config.daemon
        access = Access(daemon.host, os.environ.get(daemon.token_env, ""), daemon.token_env)
        return dashboard_server(
            daemon.host, daemon.port, access, self.status, self._latest_traces, self
        )

    # Steering

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal, number)
        loop.add_signal_handler(signal.SIGHUP, self.reload)

    def _on_signal(self, number: signal.Signals) -> None:
        """The first signal drains, the second kills."""
        if self._signalled_at is not None:
            die_of_a_second(number, self._signalled_at)
            return
        self._signalled_at = time.monotonic()
        asyncio.get_running_loop().call_later(SAME_SIGNAL_SECONDS, self.drain, number.name)

    def drain(self, why: str) -> None:
        """Start no part more, and let those that run come to an orderly end."""
        if self._phase != "running":
            return
        self._phase = "draining"
        self._status_at = -STATUS_SECONDS
        print(f"draining: {why}", file=sys.stderr, flush=True)
        self._executor.drain()

    def pause(self, lane: str = "") -> None:
        """No call starts. Errors: `InputError` for a single lane."""
        self._signal_all(signal.SIGUSR1, lane)

    def resume(self, lane: str = "") -> None:
        """Calls start again. Errors: `InputError` for a single lane."""
        self._signal_all(signal.SIGUSR2, lane)

    def reload(self) -> list[str]:
        """Let the running parts read the configuration again."""
        self._signal_all(signal.SIGHUP, "")
        return []

    def _signal_all(self, number: signal.Signals, lane: str) -> None:
        if lane:
            raise InputError("parts are paused as a whole: leave the lane's name out")
        self._executor.signal(number)


def _latest_traces(folder: Path) -> list[Trace]:
    path = folder / "ledger.sqlite"
    if not path.exists():
        return []
    try:
        ledger = Ledger(path, read_only=True)
    except InputError:  # it is being made this moment
        return []
    try:
        return [read_trace(folder, position) for position, _ in ledger.latest(LATEST_TRACES)]
    finally:
        ledger.close()
