"""One stream on its way: read in blocks, held to its clocks, and judged at its end.

A stream is not read token by token: nobody watches single tokens. After each block the socket is
left alone for a tenth of a second, later for a quarter; the kernel gathers what comes, and one read
takes it all. At 30 tokens a second that is a seventh of the wake-ups, and most of a stream's CPU
time is wake-ups.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import aiohttp

from shared.chat_api import error_body, error_mapping, wire
from shared.chat_api.dialects import EventSplitter, Gathering
from shared.chat_api.errors import (
    CallError,
    Cut,
    EmptyAnswer,
    Overran,
    Oversized,
    ServerFault,
    Stalled,
    Unreachable,
)
from shared.chat_api.redaction import Redactor
from shared.chat_api.request import Request
from shared.records import Completion, Usage, is_cut

# A short answer ends promptly, a long one is cheap: the pause after a block grows with the age of
# the stream.
_PAUSE_SECONDS, _PAUSE_GROWTH, _PAUSE_SECONDS_MAX = 0.1, 0.05, 0.25
_FULL_BLOCK = (
    1 << 14
)  # bytes, some fifty tokens: a stream that brings as many at once is read on without a pause
_END_SECONDS = 0.15  # how long the end of the transfer is waited for after `[DONE]`
_AFTERMATH_SECONDS = 5.0  # how long usage and `[DONE]` are waited for once finish_reason came
_ERROR_BODY_BYTES, _ERROR_BODY_SECONDS = 1 << 16, 5.0
# Bounds for a call: generous for the wordiest dialect, small enough that a thousand mad servers do
# not fill the memory.
_WIRE_BYTES = (1 << 20, 2048)  # at least, and for each token of max_tokens
_TEXT_CHARACTERS = (1 << 16, 64)
_EVENT_BYTES = 1 << 22
# finish_reasons of a server that could not go on: DeepSeek, SGLang, OpenRouter, Zhipu
_GIVEN_UP = frozenset({"insufficient_system_resource", "abort", "error", "network_error"})


@dataclass(frozen=True, slots=True)
class Clocks:
    """Seconds; 0 is no limit. Comments and blank lines reset none of them."""

    connect: float = 10
    first_token: float = 600  # from sending the request
    stall: float = 120  # longest gap between tokens
    total: float = 3600


class Call:
    """One call on its way: what came, when, and what that makes of it in the end."""

    def __init__(
        self,
        request: Request,
        on_tokens: Callable[[int], None],
        clocks: Clocks,
        starts_thinking: bool,
        redactor: Redactor,
    ) -> None:
        self._request, self._on_tokens, self._clocks = request, on_tokens, clocks
        self._starts_thinking, self._redactor = starts_thinking, redactor
        self.gathering = Gathering()
        self.began = False  # HTTP 200 came
        self.headers: Mapping[str, str] = {}  # of the reply
        self._bytes = 0
        self._broken = ""  # why the transport ended before the stream did
        self._started = time.monotonic()
        self._first_token: float | None = None

    def start(self, clock: asyncio.Timeout) -> None:
        self._clock, self._loop = clock, asyncio.get_running_loop()
        now = self._loop.time()
        self._ends = now + self._clocks.total if self._clocks.total else float("inf")
        self._set(now, self._clocks.first_token)

    def _set(self, now: float, seconds: float) -> None:
        when = min(self._ends, now + seconds if seconds else float("inf"))
        self._clock.reschedule(None if when == float("inf") else when)

    async def read(self, reply: aiohttp.ClientResponse) -> None:
        """Read the reply to its end, block by block."""
        splitter, content = EventSplitter(), reply.content
        block = await content.readany()
        while (
            block and not block.strip()
        ):  # blank lines keep a connection alive, before a stream and before a body
            self._take([], len(block), 0)
            block = await content.readany()
        block = wire.without_mark(block)
        if block.lstrip()[:1] in (b"{", b"<", b"["):
            await self._read_at_once(reply, block)
            return
        while block:
            self._take(splitter.feed(block), len(block), splitter.waiting_bytes)
            if self.gathering.done or self.gathering.error:
                with suppress(
                    TimeoutError
                ):  # the end of the transfer lets the connection be used again
                    async with asyncio.timeout(_END_SECONDS):
                        while await content.readany():
                            pass
                return
            if len(block) < _FULL_BLOCK and not content.is_eof():
                await _leave_alone(reply, self._pause())
            block = await content.readany()
        self._take(splitter.end(), 0, 0)

    def _take(self, payloads: list[bytes], size: int, waiting: int) -> None:
        self._bytes += size
        ended = self.gathering.finish_reason is not None
        count = self.gathering.take(payloads)
        if count:
            now = self._loop.time()
            if self._first_token is None:
                self._first_token = time.monotonic() - self._started
            if not ended:
                self._set(now, self._clocks.stall)
            self._on_tokens(count)
        if self.gathering.finish_reason is not None and not ended:
            self._set(self._loop.time(), _AFTERMATH_SECONDS)
        allowed = self._request.max_tokens
        if (
            self._bytes > _WIRE_BYTES[0] + _WIRE_BYTES[1] * allowed
            or self.gathering.size > _TEXT_CHARACTERS[0] + _TEXT_CHARACTERS[1] * allowed
            or waiting > _EVENT_BYTES
        ):
            raise Oversized(
                f"{self._bytes:,} bytes for max_tokens = {allowed}: reading stopped",
                partial=self._partial("cut"),
            )

    async def _read_at_once(self, reply: aiohttp.ClientResponse, first: bytes) -> None:
        """A reply that is no stream: one JSON object, or a page of some gateway."""
        parts, size = [first], len(first)
        while block := await reply.content.readany():
            parts.append(block)
            size += len(block)
            self._take([], len(block), 0)
        body = b"".join(parts)
        if first.lstrip()[:1] == b"<":
            said = self._redactor.clean(error_body.message_of(body))
            raise ServerFault(
                "HTTP 200 with a web page where a completion belongs (is `base_url` right?):"
                f" {said}",
                status=200,
            )
        self._take([body], 0, 0)

    def _pause(self) -> float:
        age = time.monotonic() - self._started
        return min(_PAUSE_SECONDS + _PAUSE_GROWTH * age, _PAUSE_SECONDS_MAX)

    def time_is_up(self) -> None:
        """A clock ran out. Nothing is wrong where only the end of a finished stream was missing."""
        if self.gathering.finish_reason is not None:
            return
        elapsed = time.monotonic() - self._started
        if self._clocks.total and elapsed >= self._clocks.total - 0.001:
            raise Overran(
                f"not finished within {self._clocks.total:g} s in total",
                partial=self._partial("stalled"),
            )
        if self._first_token is None:
            partial = self._partial("stalled") if self.began else None
            raise Stalled(f"no token within {self._clocks.first_token:g} s", partial=partial)
        raise Stalled(f"no token for {self._clocks.stall:g} s", partial=self._partial("stalled"))

    def broke(self, why: str) -> None:
        """The transport failed."""
        if not self.began:
            raise Unreachable(why)
        self._broken = why

    def finish(self) -> Completion:
        """The whole answer, or the error that the stream amounts to."""
        gathering = self.gathering
        if gathering.error is not None:
            raise self._error_event(gathering.error)
        reason = gathering.finish_reason or self._reason_left_out()
        if reason is None and not gathering.size and not self._broken:
            raise EmptyAnswer(
                "HTTP 200 without an answer", status=200, partial=self._partial("empty")
            )
        if reason is None:
            why = self._broken or "the stream ended without a finish_reason"
            raise Cut(why, status=200, partial=self._partial("cut", why))
        if reason.lower() in _GIVEN_UP:
            raise Cut(f"the server gave up: {reason}", status=200, partial=self._partial(reason))
        completion = self._partial(reason)
        ended_by_itself = reason.lower() != "content_filter" and not is_cut(reason)
        if ended_by_itself and not completion.response.strip():
            empty = self._partial("empty", f"finish_reason {reason!r}, and no response text")
            raise EmptyAnswer(empty.error, status=200, partial=empty)
        return completion

    def _reason_left_out(self) -> str | None:
        """The reason of an orderly end that names none: `[DONE]`, and tokens counted, with an
        answer in them.

        A server that counts at the end and says that it is done has ended by itself: a cut stream
        has neither.
        """
        gathering = self.gathering
        if self._broken or not gathering.done:
            return None
        usage = gathering.counted(0)
        _, response = gathering.texts(self._starts_thinking)
        if usage.estimated or not usage.completion_tokens or not response.strip():
            return None
        return "length" if usage.completion_tokens >= self._request.max_tokens else "stop"

    def _error_event(self, error: Any) -> CallError:
        said = self._redactor.clean(wire.one_line(error_body.sentence(error)))
        partial = self._partial("cut" if self.gathering.size else "error", said)
        return error_mapping.error_event(
            error, self.headers, partial, model=self._request.model, redactor=self._redactor
        )

    def _partial(self, finish_reason: str, error: str = "") -> Completion:
        reasoning, response = self.gathering.texts(self._starts_thinking)
        asked = sum(len(message["content"]) for message in self._request.messages)
        return Completion(
            reasoning,
            response,
            self._redactor.name(finish_reason),
            self._redactor.name(self.gathering.model),
            self.gathering.counted(asked) if self.began else Usage(),
            self._first_token,
            time.monotonic() - self._started,
            error,
        )


async def _leave_alone(reply: aiohttp.ClientResponse, seconds: float) -> None:
    """Let the kernel gather the stream: the event loop does not wake for this socket meanwhile."""
    transport = reply.connection.transport if reply.connection is not None else None
    if transport is None:
        return
    transport.pause_reading()
    try:
        await asyncio.sleep(seconds)
    finally:
        transport.resume_reading()


async def bounded(reply: aiohttp.ClientResponse) -> bytes:
    """The beginning of an error's body, whatever its size and however the transport ends."""
    body = b""
    with suppress(aiohttp.ClientError, TimeoutError):
        async with asyncio.timeout(_ERROR_BODY_SECONDS):
            while len(body) < _ERROR_BODY_BYTES and (block := await reply.content.readany()):
                body += block
    return body
