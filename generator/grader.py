"""The generator's graders: verdicts without ever holding up the event loop.

What can be decided at once is decided on the loop (tens of microseconds; `shared.grading` bounds it); the rest goes to
worker processes, one request each at a time. A worker that exceeds its time is killed and replaced, and the verdict is
`unverifiable`.
"""

import asyncio
import json
from types import TracebackType
from typing import Any, Self

from shared.grading import grade_fast, processes, undecided, verdict_of_reply
from shared.records import Verdict

LINE_BYTES = 1 << 20


class Graders:
    """Owns up to `workers` grading processes, started when they are first needed. Use as an async context manager.

    `kill_count` counts the workers that had to be killed.
    """

    def __init__(self, workers: int = 2, timeout_seconds: float = 5.0) -> None:
        self._timeout_seconds = timeout_seconds
        self._free: asyncio.Queue[_Worker] = asyncio.Queue()
        self._all = [_Worker() for _ in range(workers)]
        for worker in self._all:
            self._free.put_nowait(worker)
        self.kill_count = 0

    @property
    def pids(self) -> list[int]:
        """The worker processes that are running."""
        return [worker.pid for worker in self._all if worker.pid is not None]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End all workers. Verdicts still being waited for become `unverifiable`."""
        for worker in self._all:
            await worker.kill()

    async def grade(self, response: str, gold: str | None, problem: str | None = None) -> Verdict:
        """The verdict on `response`. Never raises for what a text contains; waiting for a free worker has no limit."""
        verdict, request = grade_fast(response, gold, problem)
        if request is None:
            return verdict
        worker = await self._free.get()
        try:
            reply = await worker.ask(request, self._timeout_seconds)
        except processes.WorkerLost as error:
            self.kill_count += 1
            return undecided(verdict, str(error))
        finally:
            self._free.put_nowait(worker)
        return verdict_of_reply(verdict, reply)


class _Worker:
    """One place for a worker process: starts it when it is needed, kills it when it must be."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    async def ask(self, request: dict[str, Any], seconds: float) -> dict[str, Any]:
        """The reply to `request` within `seconds`, start-up not counted. Errors: `WorkerLost`; then it is gone."""
        answered = False
        try:
            process = self._process or await self._start()
            assert process.stdin is not None
            process.stdin.write(json.dumps({**request, "seconds": seconds}).encode() + b"\n")
            reply: dict[str, Any] = json.loads(await self._line(process, seconds))
            answered = True
        finally:
            if not answered:  # also when the caller is cancelled: a half-read reply must not reach the next one
                await asyncio.shield(self.kill())
        return reply

    async def kill(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            if process.returncode is None:
                process.kill()
            await process.wait()
            if process.stdin is not None:
                process.stdin.close()

    async def _start(self) -> asyncio.subprocess.Process:
        self._process = await asyncio.create_subprocess_exec(
            *processes.COMMAND,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=processes.environment(),
            start_new_session=True,
            limit=LINE_BYTES,
        )
        await self._line(self._process, processes.START_SECONDS)
        return self._process

    async def _line(self, process: asyncio.subprocess.Process, seconds: float) -> bytes:
        assert process.stdout is not None
        try:
            line = await asyncio.wait_for(process.stdout.readline(), seconds)
        except TimeoutError:
            raise processes.WorkerLost(f"no decision within {seconds:g} s") from None
        if not line.endswith(b"\n"):
            raise processes.WorkerLost("the grading process ended (out of memory or killed)")
        return line
