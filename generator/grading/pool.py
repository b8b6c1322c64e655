"""The generator's graders: verdicts without ever holding up the event loop.

What can be decided at once is decided on the loop (tens of microseconds; `shared.grading` bounds
it); the rest goes to worker processes, one request each at a time. A worker that exceeds its time
is killed and replaced, and the verdict is `unverifiable`. So it is where two workers end over one
answer; a worker that ends otherwise is replaced, and where none can be started the run ends: a
machine without room is no answer's fault.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self, TypeVar

from shared.grading import grade_fast, undecided, verdict_of_reply, worker_pool
from shared.json_child import CannotStart, ChildLost, JsonChild
from shared.records import Verdict

# Seconds between attempts to start a worker: answers that were paid for wait.
PATIENT_PAUSES = (*worker_pool.START_PAUSES, 10.0, 30.0, 60.0)

_T = TypeVar("_T")


class Graders:
    """Owns up to `workers` grading processes, started when they are first needed, and a thread for
    each that waits for it. Use as an async context manager.
    """

    def __init__(self, workers: int = 2, timeout_seconds: float = 5.0) -> None:
        self._timeout_seconds = timeout_seconds
        self._workers = [worker_pool.new_worker(PATIENT_PAUSES) for _ in range(workers)]
        self._free: asyncio.Queue[int] = asyncio.Queue()  # positions in `_workers`
        for position in range(workers):
            self._free.put_nowait(position)
        self._threads = ThreadPoolExecutor(workers, "grading")
        self._fault: CannotStart | None = None  # for everybody, once it is for one

    @property
    def pids(self) -> list[int]:
        """The worker processes that are running."""
        return [worker.pid for worker in self._workers if worker.pid is not None]

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
        await asyncio.gather(*(_killed(worker) for worker in self._workers))
        self._threads.shutdown()

    async def check(self) -> None:
        """Start one worker: whether this machine can is to be known before a call is paid.
        Errors: `CannotStart`.
        """
        position = await self._free.get()
        worker = self._workers[position]
        try:
            await self._in_thread(position, lambda: worker.start(worker_pool.START_PAUSES))
        finally:
            self._free.put_nowait(position)

    async def grade(self, response: str, gold: str | None, problem: str | None = None) -> Verdict:
        """The verdict on `response`; waiting for a free worker has no limit.

        Never raises for what a text contains. Errors: `CannotStart` for a machine that lacks the
        room for a worker.
        """
        verdict, request = grade_fast(response, gold, problem)
        if request is None:
            return verdict
        position = await self._free.get()
        try:
            reply = await self._ask(position, request)
        except ChildLost as error:
            return undecided(verdict, str(error))
        finally:
            self._free.put_nowait(position)
        return verdict_of_reply(verdict, reply)

    async def _ask(self, position: int, request: dict[str, Any]) -> dict[str, Any]:
        if self._fault is not None:
            raise self._fault
        worker = self._workers[position]
        try:
            return await self._in_thread(
                position, lambda: worker.ask(request, self._timeout_seconds)
            )
        except CannotStart as error:
            self._fault = error
            raise

    async def _in_thread(self, position: int, work: Callable[[], _T]) -> _T:
        """What `work` returns, which blocks on the worker at `position`."""
        waiting = asyncio.get_running_loop().run_in_executor(self._threads, work)
        try:
            # Shielded, or a cancelled caller would leave the thread behind, still reading.
            return await asyncio.shield(waiting)
        except asyncio.CancelledError:
            worker = self._workers[position]
            self._workers[position] = worker_pool.new_worker(PATIENT_PAUSES)
            await asyncio.shield(_killed(worker))
            raise


async def _killed(worker: JsonChild) -> None:
    """Kill off the loop: a process with gigabytes takes a moment to end."""
    await asyncio.to_thread(worker.kill)
