"""A batch lane's next file: samples are gathered into a draft, booked, and made a batch."""

import asyncio
import contextlib
import secrets
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from generator.batch.progress import BatchBook
from generator.batch.requests_file import BatchLine, Draft
from generator.batch.surroundings import Lines, Surroundings
from generator.corpus.batch_table import BatchRow
from generator.sample_policy import Ask

LOOK_SECONDS = 1.0  # between two looks whether the budgets have a line
MEGABYTE = 1_000_000


class Filler:
    """Of one lane. Owns the draft, and the sample that did not fit into the last one."""

    def __init__(self, lines: Lines, around: Surroundings, book: BatchBook) -> None:
        self._lines = lines
        self._around = around
        self._book = book
        self._carried: Ask | None = None

    def give_back(self) -> None:
        """No file is filled any more: the sample that waits for the next one goes back."""
        if self._carried is not None:
            self._around.samples.take_back(self._carried)
            self._carried = None

    async def fill(self, may_send: Callable[[], Awaitable[bool]]) -> BatchRow | None:
        """Gather a file's samples and book them; None: there are none, or none may be sent.
        Errors: `CannotWrite`; whatever `Samples.next` raises.
        """
        while True:
            max_lines = await self._lines.most_lines(self._lines.config.batch.lines)
            if max_lines < 1:
                if not await may_send():
                    return None
                await asyncio.sleep(LOOK_SECONDS)
                continue
            draft = await self._gather(max_lines)
            if draft is None:
                return None
            row = await self._reserve(draft)
            if row is not None:
                return row

    async def _gather(self, wanted: int) -> Draft | None:
        """A draft of up to `wanted` lines: full, or none came for a while. None: none will."""
        name = f"stillhouse-{self._lines.config.name}-{secrets.token_hex(8)}.jsonl"
        batch = self._lines.config.batch
        draft = Draft(self._around.folder, name, batch.url)
        while len(draft.sample_ids) < wanted:
            ask = self._carried
            self._carried = None
            if ask is None:
                patience = batch.gather_seconds if draft.sample_ids else None
                ask = await self._next(patience)
            if ask is None:
                break
            batch_line, body = self._request(ask)
            if not draft.fits(body, batch.megabytes * MEGABYTE):
                self._carried = ask
                break
            draft.add(batch_line, body)
        if draft.sample_ids and not self._around.draining.is_set():
            return draft
        draft.discard()
        return None

    async def _next(self, patience: float | None) -> Ask | None:
        """The next sample; None where none came in time, or none will."""
        taking = asyncio.ensure_future(self._around.samples.next(to_lend=True))
        try:
            finished_tasks, _ = await asyncio.wait({taking}, timeout=patience)
        except asyncio.CancelledError:
            taking.cancel()
            raise
        if not finished_tasks:
            taking.cancel()
            # It may have been given one in this moment.
            with contextlib.suppress(asyncio.CancelledError):
                return await taking
            return None
        return taking.result()

    def _request(self, ask: Ask) -> tuple[BatchLine, dict[str, Any]]:
        messages, params = self._around.question(ask)
        lane = self._lines.config
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
        return BatchLine(ask, messages, _as_sent(body, lane.extra_body), _now()), body

    async def _reserve(self, draft: Draft) -> BatchRow | None:
        """Book a draft's lines and make it a batch. Where the budgets have less meanwhile, it is
        cut; None: to nothing.
        """
        while True:
            max_lines = await self._lines.most_lines(len(draft.sample_ids))
            if max_lines < len(draft.sample_ids):
                for ask in draft.cut(max_lines):
                    self._around.samples.take_back(ask)
            if not draft.sample_ids:
                draft.discard()
                return None
            draft.sync()
            row = await self._lines.reserve(draft.files.name, draft.sample_ids)
            if row is not None:
                break
        draft.keep()
        for batch_line in draft.files.lines():
            self._around.owners[batch_line.sample_id] = row.name
        self._book.change(row)
        self._around.tell(
            "batch filled", lane=self._lines.config.name, batch=row.name, lines=row.lines
        )
        return row


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _as_sent(body: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """What a trace records of a request's parameters."""
    params = {name: body[name] for name in ("temperature", "top_p", "max_tokens")}
    if extra:
        params["extra_body"] = dict(extra)
    return params
