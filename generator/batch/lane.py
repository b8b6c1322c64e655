"""One batch lane's life: files are filled and sent while the lane may, each is followed to its end."""

import asyncio
import contextlib
import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from generator.batch.collector import Collector
from generator.batch.delivery import Delivery
from generator.batch.progress import BatchBook
from generator.batch.requests_file import Asked, Draft
from generator.batch.surroundings import Lines, Surroundings
from generator.config import LaneConfig
from generator.corpus.batch_table import BatchRow
from generator.monitor.status import BatchStatus
from generator.sample_policy import Ask
from shared.chat_api.batch_client import BatchClient
from shared.errors import Stopped

# Exit codes of a run that has no other lane.
OUT_OF_BUDGET = 3
NO_LANE = 4
LOOK_SECONDS = 1.0  # between two looks whether a file may be sent
MEGABYTE = 1_000_000


class BatchLane:
    """Owns the client, the drafts and the tasks that follow batches."""

    def __init__(self, lines: Lines, client: BatchClient, around: Surroundings) -> None:
        self._lines = lines
        self._client = client
        self._around = around
        self._book = BatchBook(around.ledger, around.tell)
        self._delivery = Delivery(lines, client, around, self._book)
        self._collector = Collector(lines, client, around, self._book)
        self._ended = asyncio.Event()  # a batch has ended
        self._is_running = True
        self._carried: Ask | None = None  # did not fit into the last file

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
        _, why = self._lines.waits()
        return why

    def stop_reason(self) -> Stopped:
        """How a run ends that has no other lane."""
        if self.stopped:
            stop = Stopped(f"no lane can be used: {self.name}: {self.stopped}")
            stop.exit_code = NO_LANE
            return stop
        stop = Stopped(f"{self.gives_up} (daemon.wait = false)")
        stop.exit_code = OUT_OF_BUDGET
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
                    filled = await self._fill()
                    if filled is None:
                        break
                    group.create_task(self._follow(filled, resumed=False))
        finally:
            self._is_running = False

    async def _follow(self, row: BatchRow, resumed: bool) -> None:
        """Take one batch from where it is to its end."""
        delivered = await self._delivery.deliver(row, resumed)
        if delivered is not None:
            await self._collector.collect(delivered)
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

    # Filling a file

    async def _fill(self) -> BatchRow | None:
        """Gather a file's samples and book them; None: there are none."""
        while True:
            wanted = await self._lines.most_lines(self.config.batch.lines)
            if wanted < 1:
                if not await self._may_send():
                    return None
                await asyncio.sleep(LOOK_SECONDS)
                continue
            draft = await self._gather(wanted)
            if draft is None:
                return None
            row = await self._reserve(draft)
            if row is not None:
                return row

    async def _gather(self, wanted: int) -> Draft | None:
        """A draft of up to `wanted` lines: full, or none came for a while. None: none will."""
        name = f"stillhouse-{self.name}-{secrets.token_hex(8)}.jsonl"
        batch = self.config.batch
        draft = Draft(self._around.folder, name, batch.url)
        while len(draft.sample_ids) < wanted:
            ask = self._carried
            self._carried = None
            if ask is None:
                patience = batch.gather_seconds if draft.sample_ids else None
                ask = await self._next(patience)
            if ask is None:
                break
            asked, body = self._request(ask)
            if not draft.fits(body, batch.megabytes * MEGABYTE):
                self._carried = ask
                break
            draft.add(asked, body)
        if draft.sample_ids and not self._around.draining.is_set():
            return draft
        draft.discard()
        return None

    async def _next(self, patience: float | None) -> Ask | None:
        """The next sample; None where none came in time, or none will."""
        taking = asyncio.ensure_future(self._around.samples.next(to_lend=True))
        try:
            done, _ = await asyncio.wait({taking}, timeout=patience)
        except asyncio.CancelledError:
            taking.cancel()
            raise
        if not done:
            taking.cancel()
            # It may have been given one in this moment.
            with contextlib.suppress(asyncio.CancelledError):
                return await taking
            return None
        return taking.result()

    def _request(self, ask: Ask) -> tuple[Asked, dict[str, Any]]:
        messages, params = self._around.question(ask)
        lane = self.config
        max_tokens = int(params["max_tokens"])
        if lane.max_tokens:
            max_tokens = min(max_tokens, lane.max_tokens)
        body: dict[str, Any] = {
            "model": lane.model,
            "messages": messages,
            "temperature": params["temperature"],
            "top_p": params["top_p"],
            "max_tokens": max_tokens,
            **lane.extra_body,
        }
        return Asked(ask, messages, _as_sent(body, lane.extra_body), _now()), body

    async def _reserve(self, draft: Draft) -> BatchRow | None:
        """Book a draft's lines and make it a batch. Where the budgets have less meanwhile, it is
        cut; None: to nothing.
        """
        while True:
            allowed = await self._lines.most_lines(len(draft.sample_ids))
            if allowed < len(draft.sample_ids):
                for ask in draft.cut(allowed):
                    self._around.samples.take_back(ask)
            if not draft.sample_ids:
                draft.discard()
                return None
            draft.sync()
            row = await self._lines.reserve(draft.files.name, draft.sample_ids)
            if row is not None:
                break
        draft.keep()
        for asked in draft.files.all_asked():
            self._around.owners[asked.sample_id] = row.name
        self._book.change(row)
        self._around.tell("batch filled", lane=self.name, batch=row.name, lines=row.lines)
        return row


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _as_sent(body: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """What a trace records of a request's parameters."""
    params = {name: body[name] for name in ("temperature", "top_p", "max_tokens")}
    if extra:
        params["extra_body"] = dict(extra)
    return params


async def _first_of(*events: asyncio.Event) -> None:
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
