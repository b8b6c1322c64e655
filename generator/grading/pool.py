"""The generator's graders: verdicts without ever holding up the event loop.

What can be decided at once is decided on the loop (tens of microseconds; `shared.grading` bounds
it); the rest goes to worker processes, one request each at a time. A worker that exceeds its time
is killed and replaced, and the verdict is `unverifiable`. So it is where two workers end over one
answer; a worker that ends otherwise is replaced, and where none can be started the run ends: a
machine without room is no answer's fault.
"""

import asyncio
import contextlib
import json
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from shared.grading import grade_fast, undecided, verdict_of_reply, worker_pool
from shared.records import Verdict

LINE_BYTES = 1 << 20
PATIENT_PAUSES = (
    *worker_pool.START_PAUSES,
    10.0,
    30.0,
    60.0,
)  # seconds: answers that were paid for wait


class Graders:
    """Owns up to `workers` grading processes, started when they are first needed. Use as an async
    context manager.

    `kill_count` counts the workers that had to be killed.
    """

    def __init__(self, workers: int = 2, timeout_seconds: float = 5.0) -> None:
        self._timeout_seconds = timeout_seconds
        self._free: asyncio.Queue[_Worker] = asyncio.Queue()
        self._all = [_Worker() for _ in range(workers)]
        for worker in self._all:
            self._free.put_nowait(worker)
        self._closed = False
        self._broken: worker_pool.CannotStart | None = None  # for everybody, once it is for one
        self.kill_count = 0

    @property
    def pids(self) -> list[int]:
        """The worker processes that are running."""
        return [worker.pid for worker in self._all if worker.pid is not None]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End all workers. Verdicts still being waited for become `unverifiable`."""
        self._closed = True
        for worker in self._all:
            await worker.kill()

    async def check(self) -> None:
        """Start one worker: whether this machine can is to be known before a call is paid.
        Errors: `CannotStart`.
        """
        await self._started(self._all[0], worker_pool.START_PAUSES)

    async def grade(self, response: str, gold: str | None, problem: str | None = None) -> Verdict:
        """The verdict on `response`; waiting for a free worker has no limit.

        Never raises for what a text contains. Errors: `CannotStart` for a machine that lacks the
        room for a worker.
        """
        verdict, request = grade_fast(response, gold, problem)
        if request is None:
            return verdict
        worker = await self._free.get()
        try:
            reply = await self._ask(worker, request)
        except worker_pool.WorkerLost as error:
            return undecided(verdict, str(error))
        finally:
            self._free.put_nowait(worker)
        return verdict_of_reply(verdict, reply)

    async def _ask(self, worker: "_Worker", request: dict[str, Any]) -> dict[str, Any]:
        for attempt in range(1, worker_pool.MOST_DEATHS + 1):
            await self._started(worker, PATIENT_PAUSES)
            try:
                return await worker.ask(request, self._timeout_seconds)
            except worker_pool.WorkerDied:
                self.kill_count += 1
                if attempt == worker_pool.MOST_DEATHS or self._closed:
                    raise
            except worker_pool.WorkerLost:
                self.kill_count += 1
                raise
        raise AssertionError("not reached")

    async def _started(self, worker: "_Worker", pauses: Sequence[float]) -> None:
        """See to it that `worker` runs, trying again after each of `pauses` (seconds). Errors:
        `CannotStart`.
        """
        for pause in (*pauses, None):
            if self._broken is not None:
                raise self._broken
            try:
                await worker.start()
                return
            except worker_pool.CannotStart as error:
                if error.final or pause is None:
                    self._broken = error
                    raise
            await asyncio.sleep(pause)


class _Worker:
    """One place for a worker process: starts it when it is needed, kills it when it must be."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    async def start(self) -> None:
        """Start the process and wait until it is ready, unless it is there. Errors:
        `CannotStart`; then it is gone.
        """
        if self._process is not None and self._process.returncode is None:
            return
        await self.kill()
        ready = False
        try:
            process = await self._spawned()
            worker_pool.check_ready(await self._line(process, worker_pool.START_SECONDS))
            ready = True
        except worker_pool.WorkerDied:
            raise worker_pool.CannotStart(
                f"it ended by {worker_pool.in_words(process.returncode)} before it was ready"
            ) from None
        except worker_pool.WorkerLost:
            raise worker_pool.CannotStart(
                f"it was not ready within {worker_pool.START_SECONDS:g} s"
            ) from None
        finally:
            if not ready:
                await asyncio.shield(self.kill())

    async def ask(self, request: dict[str, Any], seconds: float) -> dict[str, Any]:
        """The reply to `request` within `seconds`. It must run. Errors: `WorkerLost`; then it
        is gone.
        """
        process = self._process
        assert process is not None and process.stdin is not None  # noqa: PT018
        answered = False
        try:
            process.stdin.write(json.dumps({**request, "seconds": seconds}).encode() + b"\n")
            reply: dict[str, Any] = json.loads(await self._line(process, seconds))
            answered = True
        finally:
            if (
                not answered
            ):  # also when the caller is cancelled: a half-read reply must not reach the next one
                await asyncio.shield(self.kill())
        return reply

    async def kill(self) -> None:
        process = self._process
        self._process = None
        if process is not None:
            if process.returncode is None:
                process.kill()
            await process.wait()
            if process.stdin is not None:
                process.stdin.close()

    async def _spawned(self) -> asyncio.subprocess.Process:
        try:
            self._process = await asyncio.create_subprocess_exec(
                *worker_pool.COMMAND,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                env=worker_pool.environment(),
                start_new_session=True,
                limit=LINE_BYTES,
            )
        except OSError as error:
            raise worker_pool.CannotStart(error.strerror or str(error)) from None
        return self._process

    async def _line(self, process: asyncio.subprocess.Process, seconds: float) -> bytes:
        assert process.stdout is not None
        try:
            line = await asyncio.wait_for(process.stdout.readline(), seconds)
        except TimeoutError:
            raise worker_pool.WorkerLost(f"no decision within {seconds:g} s") from None
        if not line.endswith(b"\n"):
            raise worker_pool.WorkerDied(await self._ended(process))
        return line

    async def _ended(self, process: asyncio.subprocess.Process) -> int | None:
        """The return code of a process that closed its pipes; None where it lives on without
        them.
        """
        with contextlib.suppress(TimeoutError):
            return await asyncio.wait_for(process.wait(), 1.0)
        return None
