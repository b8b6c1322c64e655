"""Answers as events of a DeepSeek stream, and one wheel that plays all streams at their pace.

A thousand streams of thirty tokens a second are written by one timer; no stream has a task of its
own.
"""

import asyncio
import random
import re
from dataclasses import dataclass, field
from typing import Any

import orjson

DONE = b"data: [DONE]\n\n"
COMMENT = b": keep-alive\n\n"
# Words with their leading space, single digits, line breaks, single signs: about what R1's
# tokenizer makes of English.
_TOKENS = re.compile(r" ?[^\W\d_]{1,12}|\d|\n+| ?[^\w\s]|\s|\w")


# What stands before a token, the token, what stands after it: bytes only once they are written, so
# that a thousand waiting streams of long answers do not fill the memory.
Event = tuple[bytes, str | None, bytes]


def rendered(event: Event) -> bytes:
    """An event as it is sent."""
    before, token, after = event
    return before + orjson.dumps(token) + after if token is not None else before


def plain(text: bytes) -> Event:
    return text, None, b""


def tokens(text: str) -> list[str]:
    return _TOKENS.findall(text)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the teacher says to one call."""

    id: str
    model: str
    created: int
    reasoning: list[str]
    response: list[str]
    finish_reason: str
    prompt_tokens: int

    @property
    def usage(self) -> dict[str, Any]:
        completion = len(self.reasoning) + len(self.response)
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": completion,
            "total_tokens": self.prompt_tokens + completion,
            "prompt_tokens_details": {"cached_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": len(self.reasoning)},
            "prompt_cache_hit_tokens": 0,
            "prompt_cache_miss_tokens": self.prompt_tokens,
        }

    def as_events(self, include_usage: bool) -> list[Event]:
        """Every event of the stream in order, `[DONE]` last."""
        head = {
            "id": self.id,
            "object": "chat.completion.chunk",
            "created": self.created,
            "model": self.model,
        }
        start = (
            orjson.dumps({**head, "system_fingerprint": "fp_rehearsal"})[:-1]
            + b',"choices":[{"index":0,"delta":'
        )
        end = b',"logprobs":null,"finish_reason":null}]}\n\n'
        events = [
            plain(
                b"data: "
                + start
                + b'{"role":"assistant","content":null,"reasoning_content":""}'
                + end
            )
        ]
        thought = b"data: " + start + b'{"content":null,"reasoning_content":'
        said = b"data: " + start + b'{"content":'
        thought_end = b"}" + end
        said_end = b',"reasoning_content":null}' + end
        events += [(thought, token, thought_end) for token in self.reasoning]
        events += [(said, token, said_end) for token in self.response]
        last = {
            "index": 0,
            "delta": {"content": ""},
            "logprobs": None,
            "finish_reason": self.finish_reason,
        }
        events.append(plain(b"data: " + orjson.dumps({**head, "choices": [last]}) + b"\n\n"))
        if include_usage:
            events.append(
                plain(
                    b"data: " + orjson.dumps({**head, "choices": [], "usage": self.usage}) + b"\n\n"
                )
            )
        return [*events, plain(DONE)]

    def as_body(self) -> bytes:
        message = {
            "role": "assistant",
            "content": "".join(self.response),
            "reasoning_content": "".join(self.reasoning),
        }
        choice = {
            "index": 0,
            "message": message,
            "logprobs": None,
            "finish_reason": self.finish_reason,
        }
        head = {
            "id": self.id,
            "object": "chat.completion",
            "created": self.created,
            "model": self.model,
        }
        return orjson.dumps({**head, "choices": [choice], "usage": self.usage})


def flood(events: list[Event], rng: random.Random) -> list[Event]:
    """The same events with comments and blank lines strewn between them."""
    noise = (b"\n" * rng.randrange(3) + COMMENT * rng.randrange(3) for _ in events)
    strewn = [
        (more + before, token, after)
        for more, (before, token, after) in zip(noise, events, strict=True)
    ]
    return [plain(COMMENT * 3), *strewn]


@dataclass(slots=True)
class Playing:
    """One stream on the wheel. At its end `finished` is set, or the stall begins."""

    transport: asyncio.WriteTransport
    events: list[Event]
    start: float  # loop time of the first event
    stalls: bool
    finished: asyncio.Future[None]
    position: int = 0
    next_comment: float = field(default=0.0)


class Wheel:
    """Plays every stream at `tokens_per_second` (0: as fast as the socket takes it). `turn` is
    called by one timer.

    A stream is served every fifth turn (50 ms), so at 30 tokens/s a write carries one or two
    events, each a chunk of its own in HTTP.
    """

    TURN_SECONDS = 0.010
    SLOTS = 5

    def __init__(self, loop: asyncio.AbstractEventLoop, tokens_per_second: float) -> None:
        self._loop = loop
        self._rate = tokens_per_second
        self._slots: list[set[int]] = [set() for _ in range(self.SLOTS)]
        self._streams: dict[int, Playing] = {}
        self._count = 0
        self._turns = 0
        self._timer = False

    async def play(
        self, transport: asyncio.WriteTransport, events: list[Event], delay: float, stalls: bool
    ) -> None:
        """Returns when the last event was written, the client is gone or, where it `stalls`,
        only then.
        """
        stream = Playing(
            transport, events, self._loop.time() + delay, stalls, self._loop.create_future()
        )
        self._count += 1
        key = self._count
        slot = self._slots[self._count % self.SLOTS]
        self._streams[key] = stream
        slot.add(key)
        if not self._timer:
            self._timer = True
            self._loop.call_later(self.TURN_SECONDS, self._turn)
        self._serve(stream, self._loop.time())
        try:
            await stream.finished
        finally:
            slot.discard(key)
            del self._streams[key]

    def _turn(self) -> None:
        self._turns += 1
        now = self._loop.time()
        for key in self._slots[self._turns % self.SLOTS]:
            self._serve(self._streams[key], now)
        if self._streams:
            self._loop.call_later(self.TURN_SECONDS, self._turn)
        else:
            self._timer = False

    def _serve(self, stream: Playing, now: float) -> None:
        if stream.finished.done():
            return
        if stream.transport.is_closing():
            stream.finished.set_result(None)
            return
        if now < stream.start:
            return
        total = len(stream.events)
        due = min(total, 1 + int((now - stream.start) * self._rate)) if self._rate else total
        if due > stream.position:
            stream.transport.write(b"".join(map(_chunk, stream.events[stream.position : due])))
            stream.position = due
        if due == total and not stream.stalls:
            stream.finished.set_result(None)
        elif due == total and now >= stream.next_comment:
            stream.next_comment = now + 0.5
            stream.transport.write(_chunk(plain(COMMENT)))


def _chunk(event: Event) -> bytes:
    """An event as one chunk of HTTP's chunked encoding."""
    data = rendered(event)
    return b"%x\r\n%b\r\n" % (len(data), data)
