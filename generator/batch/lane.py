"""One batch lane's life: files are filled and sent while the lane may, each is followed to its end."""

import asyncio
import contextlib
from collections.abc import Sequence

from generator.batch.collector import Collector
from generator.batch.delivery import Delivery
from generator.batch.filling import Filler
from generator.batch.progress import BatchBook
from generator.batch.surroundings import Lines, Surroundings
from generator.config import LaneConfig
from generator.corpus.batch_table import BatchRow
from generator.monitor.status import BatchStatus
from shared.chat_api.batch_client import BatchClient
from shared.errors import Stopped

# Exit codes of a run that has no other lane.
OUT_OF_BUDGET = 3
NO_LANE = 4
PATIENT = ("", "paused", "waiting")  # waited out, whatever `daemon.wait` says
LOOK_SECONDS = 1.0  # between two looks whether a file may be sent


class BatchLane:
    """Owns the client, the drafts and the tasks that follow batches."""

    def __init__(self, lines: Lines, client: BatchClient, around: Surroundings) -> None:
        self._lines = lines
        self._client = client
        self._around = around
        self._book = BatchBook(around.ledger, around.tell)
        self._delivery = Delivery(lines, client, around, self._book)
        self._filler = Filler(lines, around, self._book)
        self._collector = Collector(lines, client, around, self._book)
        self._ended = asyncio.Event()  # a batch has ended
        self._is_running = True

    @property
    def config(self) -> LaneConfig:
        """The lane as it is configured now."""
        return self._lines.config

    @property
    def name(self) -> str:
        """The lane's."""
        return self.config.name

    @property
    def stopped(self) -> str:
        """Why it sends nothing any more, "" where it does."""
        return self._lines.stopped

    @property
    def is_at_work(self) -> bool:
        """Whether samples that others cannot ask may still be asked here."""
        if not self._is_running:
            return False
        return bool(self._book.active_count) or not (self._lines.stopped or self.gives_up)

    @property
    def gives_up(self) -> str:
        """Why it waits for nothing, where `daemon.wait` is false; "" where it does not give up."""
        if self._around.waits or self._book.active_count:
            return ""
        state, why = self._lines.waits()
        return "" if state in PATIENT else why

    def stop_reason(self) -> Stopped:
        """How a run ends that has no other lane."""
        if self.stopped:
            stop = Stopped(f"no lane can be used: {self.name}: {self.stopped}")
            stop.exit_code = NO_LANE
            return stop
        state, why = self._lines.waits()
        stop = Stopped(f"{why} (daemon.wait = false)")
        stop.exit_code = OUT_OF_BUDGET if state in ("used up", "closed window") else NO_LANE
        return stop

    def status(self) -> list[BatchStatus]:
        """Its batches that are under way."""
        return self._book.status()

    # Life

    def take_up(self, row: BatchRow, open_lines: int) -> None:
        """A batch of an earlier run, `open_lines` of which are not settled."""
        self._lines.resume(open_lines)
        self._book.change(row)

    def book_again(self, name: str, sample_ids: Sequence[str]) -> BatchRow:
        """A batch that the ledger has lost. Errors: `CannotWrite`."""
        return self._lines.book_again(name, sample_ids)

    async def run(self) -> None:
        """Until no sample is left, the run drains or the lane stops. Errors: `CannotWrite`;
        whatever `Samples.next` raises.
        """
        try:
            async with self._client, asyncio.TaskGroup() as group:
                for row in list(self._book.open_rows.values()):
                    group.create_task(self._follow(row, resumed=True))
                while await self._may_send():
                    new_row = await self._filler.fill(self._may_send)
                    if new_row is None:
                        break
                    group.create_task(self._follow(new_row, resumed=False))
                self._filler.give_back()
        finally:
            self._is_running = False

    async def _follow(self, row: BatchRow, resumed: bool) -> None:
        """Take one batch from where it is to its end."""
        ended_row = await self._delivery.deliver(row, resumed)
        if ended_row is not None:
            await self._collector.collect(ended_row)
        self._ended.set()

    async def _may_send(self) -> bool:
        """Wait until a file may be sent; False: none will."""
        draining = self._around.draining
        while not draining.is_set() and not self._lines.stopped:
            self._ended.clear()
            if self._book.active_count >= self.config.batch.files:
                await _first_of(self._ended, draining)
                continue
            state, _ = self._lines.waits()
            if not state:
                return True
            if self.gives_up:
                return False
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(draining.wait(), LOOK_SECONDS)
        return False


async def _first_of(*events: asyncio.Event) -> None:
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
