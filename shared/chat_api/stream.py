"""One stream on its way: read in blocks, held to its clocks, and judged at its end.

A stream is not read token by token: nobody watches single tokens. After each block the socket is
left alone for a tenth of a second, later for 0.235 (`pauses.py`); the kernel gathers what comes,
one read takes it all (`block_reader.py`), and one step parses it (`event_template.py`, the hot
place). At 30 tokens a second that is a sixth of the wake-ups, and most of a stream's CPU time is
wake-ups.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import aiohttp

from shared.chat_api import error_body, error_mapping, wire
from shared.chat_api.block_reader import gathered
from shared.chat_api.clocks import CallTimer, Clocks
from shared.chat_api.dialects import Gathering
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
from shared.chat_api.event_stream import EventSplitter
from shared.chat_api.pauses import Pauses
from shared.chat_api.redaction import Redactor
from shared.chat_api.request import Request
from shared.records import Completion, Usage, is_cut

# Bytes, some fifty tokens: a stream that brings as many at once is read on without a pause.
_FULL_BLOCK = 1 << 14
_END_SECONDS = 0.15  # how long the end of the transfer is waited for after `[DONE]`
_AFTERMATH_SECONDS = 5.0  # how long usage and `[DONE]` are waited for once finish_reason came
_ERROR_BODY_BYTES = 1 << 16
_ERROR_BODY_SECONDS = 5.0
# Bounds for a call: generous for the wordiest dialect, small enough that a thousand mad servers do
# not fill the memory. At least so many, and so many for each token of max_tokens.
_WIRE_BYTES = 1 << 20
_WIRE_BYTES_PER_TOKEN = 2048
_TEXT_CHARACTERS = 1 << 16
_TEXT_CHARACTERS_PER_TOKEN = 64
_EVENT_BYTES = 1 << 22
# finish_reasons of a server that could not go on: DeepSeek, SGLang, OpenRouter, Zhipu
_GIVEN_UP = frozenset({"insufficient_system_resource", "abort", "error", "network_error"})


class Call:
    """One call on its way: what came, when, and what that makes of it in the end.

    `texts`: (reasoning, response) of what was gathered.
    """

    def __init__(
        self,
        request: Request,
        on_tokens: Callable[[int], None],
        clocks: Clocks,
        texts: Callable[[Gathering], tuple[str, str]],
        redactor: Redactor,
    ) -> None:
        self._request = request
        self._on_tokens = on_tokens
        self._clocks = clocks
        self._texts = texts
        self._redactor = redactor
        self.timer = CallTimer(clocks)
        self.gathering = Gathering()
        self._began = False  # HTTP 200 came
        self._headers: Mapping[str, str] = {}  # of the reply
        self._bytes = 0
        self._bytes_max = _WIRE_BYTES + _WIRE_BYTES_PER_TOKEN * request.max_tokens
        self._characters_max = _TEXT_CHARACTERS + _TEXT_CHARACTERS_PER_TOKEN * request.max_tokens
        self._has_ended = False  # its finish_reason came
        self._is_document = False  # one JSON object came whole, instead of a stream
        self._broken = ""  # why the transport ended before the stream did

    def begin(self, headers: Mapping[str, str]) -> None:
        """HTTP 200 came."""
        self._began = True
        self._headers = headers

    async def read(self, reply: aiohttp.ClientResponse, pauses: Pauses) -> None:
        """Read the reply to its end, block by block."""
        content = gathered(reply.content)
        block = await content.readany()
        # Blank lines keep a connection alive, before a stream and before a body.
        while block and not block.strip():
            self._account(0, len(block))
            block = await content.readany()
        block = wire.without_mark(block)
        if block.lstrip()[:1] in (b"{", b"<", b"["):
            await self._read_at_once(content, block)
            return
        splitter = EventSplitter()
        transport = reply.connection.transport if reply.connection is not None else None

        def take(block: bytes) -> bool:
            count = self.gathering.take_events(splitter.whole_events(block))
            self._account(count, len(block), splitter.waiting_bytes)
            if self.gathering.done or self.gathering.error:
                return False
            if len(block) < _FULL_BLOCK and transport is not None and not content.is_eof():
                pauses.leave_alone(transport, self.timer.pause)
            return True

        if block and take(block):
            await content.each_block(take)
        if self.gathering.done or self.gathering.error:
            await _read_out(content)
        else:
            self._account(self.gathering.take(splitter.end()))

    def _account(self, count: int, size: int = 0, waiting: int = 0) -> None:
        """Note that `count` tokens came with `size` bytes; `waiting` bytes are of an event that has
        not ended. Errors: `Oversized`.
        """
        self._bytes += size
        had_ended = self._has_ended
        self._has_ended = self.gathering.finish_reason is not None
        if count:
            if self.timer.first_token_seconds is None:
                self.timer.note_first_tokens()
            if not had_ended:
                self.timer.allow_more(self._clocks.stall)
            self._on_tokens(count)
        if self._has_ended and not had_ended:
            self.timer.allow(_AFTERMATH_SECONDS)
        if (
            self._bytes > self._bytes_max
            # A character takes a byte at least: so the text of a short stream is not counted.
            or (self._bytes > self._characters_max and self.gathering.size > self._characters_max)
            or waiting > _EVENT_BYTES
        ):
            raise Oversized(
                f"{self._bytes:,} bytes for max_tokens = {self._request.max_tokens}: reading stopped",
                partial=self._partial("cut"),
            )

    async def _read_at_once(self, content: aiohttp.StreamReader, beginning: bytes) -> None:
        """A reply that is no stream: one JSON object, or a page of some gateway."""
        blocks = [beginning]
        while block := await content.readany():
            blocks.append(block)
            self._account(0, len(block))
        body = self._redactor.body(b"".join(blocks))
        if beginning.lstrip()[:1] == b"<":
            raise _web_page(self._redactor.clean(error_body.message_of(body)))
        self._account(self.gathering.take([body]))
        self._is_document = self.gathering.error is None

    def take_document(self, body: bytes) -> None:
        """Take one JSON object in that came whole, by another way than this call's own reply."""
        self.begin({})
        self.gathering.take([self._redactor.body(body)])
        self._is_document = self.gathering.error is None

    def time_is_up(self) -> None:
        """A clock ran out. Nothing is wrong where only the end of a finished stream was missing."""
        if self.gathering.finish_reason is not None:
            return
        if self.timer.total_is_up:
            raise Overran(
                f"not finished within {self._clocks.total:g} s in total",
                partial=self._partial("stalled"),
            )
        if self.timer.first_token_seconds is None:
            partial = self._partial("stalled") if self._began else None
            raise Stalled(f"no token within {self._clocks.first_token:g} s", partial=partial)
        raise Stalled(f"no token for {self._clocks.stall:g} s", partial=self._partial("stalled"))

    def broke(self, reason: str) -> None:
        """The transport failed. Errors: `Unreachable` where no reply had begun."""
        if not self._began:
            raise Unreachable(reason)
        self._broken = reason

    def finish(self) -> Completion:
        """The whole answer. Errors: the `CallError` that the stream amounts to."""
        gathering = self.gathering
        if gathering.error is not None:
            raise self._error_event(gathering.error)
        finish_reason = gathering.finish_reason or self._implied_finish_reason()
        if finish_reason is None:
            raise self._unfinished()
        if finish_reason.lower() in _GIVEN_UP:
            raise Cut(
                f"the server gave up: {finish_reason}",
                status=200,
                partial=self._partial(finish_reason),
            )
        completion = self._partial(finish_reason)
        ended_by_itself = finish_reason.lower() != "content_filter" and not is_cut(finish_reason)
        if ended_by_itself and not completion.response.strip():
            message = f"finish_reason {finish_reason!r}, and no response text"
            raise EmptyAnswer(message, status=200, partial=self._partial("empty", message))
        return completion

    def _unfinished(self) -> CallError:
        """A stream that says nowhere that it has ended."""
        if not self.gathering.size and not self._broken:
            message = "HTTP 200 without an answer"
            return EmptyAnswer(message, status=200, partial=self._partial("empty"))
        message = self._broken or "the stream ended without a finish_reason"
        return Cut(message, status=200, partial=self._partial("cut", message))

    def _implied_finish_reason(self) -> str | None:
        """The reason of an orderly end that names none: text, and behind it `[DONE]` and a count
        of its tokens, or the end of one JSON object.

        A server that counts at the end and says that it is done has ended by itself: a cut stream
        has neither, and half an object is no JSON.
        """
        gathering = self.gathering
        usage = gathering.counted(0)
        is_counted = not usage.estimated and usage.completion_tokens > 0
        is_orderly = gathering.done and is_counted
        if self._is_document:  # without a count at least, but not with one that cannot be read
            is_orderly = is_counted or gathering.usage is None
        _, response = self._texts(gathering)
        if self._broken or not is_orderly or not response.strip():
            return None
        reached_limit = is_counted and usage.completion_tokens >= self._request.max_tokens
        return "length" if reached_limit else "stop"

    def _error_event(self, error: Any) -> CallError:
        message = self._redactor.line(error_body.sentence(error))
        partial = self._partial("cut" if self.gathering.size else "error", message)
        return error_mapping.error_event(
            error, self._headers, partial, model=self._request.model, redactor=self._redactor
        )

    def _partial(self, finish_reason: str, error: str = "") -> Completion:
        """What has come so far, ended by `finish_reason`."""
        reasoning, response = self._texts(self.gathering)
        prompt_characters = sum(len(message["content"]) for message in self._request.messages)
        return Completion(
            reasoning=reasoning,
            response=response,
            finish_reason=self._redactor.name(finish_reason),
            model_returned=self._redactor.name(self.gathering.model),
            usage=self.gathering.counted(prompt_characters) if self._began else Usage(),
            first_token_seconds=self.timer.first_token_seconds,
            total_seconds=self.timer.elapsed,
            error=error,
        )


def _web_page(message: str) -> ServerFault:
    return ServerFault(
        f"HTTP 200 with a web page where a completion belongs (is `base_url` right?): {message}",
        status=200,
    )


async def _read_out(content: aiohttp.StreamReader) -> None:
    """Wait for the end of the transfer, which lets the connection be used again."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_END_SECONDS):
            while await content.readany():
                pass


async def bounded(reply: aiohttp.ClientResponse) -> bytes:
    """The beginning of an error's body, whatever its size and however the transport ends."""
    body = b""
    with suppress(aiohttp.ClientError, TimeoutError):
        async with asyncio.timeout(_ERROR_BODY_SECONDS):
            while len(body) < _ERROR_BODY_BYTES and not reply.content.at_eof():
                body += await reply.content.readany()
    return body
