"""One wheel that plays all streams at their pace.

A thousand streams of thirty tokens a second are written by one timer; no stream has a task of its
own.
"""

import asyncio
from dataclasses import dataclass, field

from generator.rehearsal.stream import COMMENT, Event, plain, rendered


@dataclass(slots=True)
class Playing:
    """One stream on the wheel. At its end `end` is set, or the stall begins."""

    transport: asyncio.WriteTransport
    events: list[Event]
    start: float  # loop time of the first event
    stalls: bool
    end: asyncio.Future[None]
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

    # One task of a stream waits on its future; all writing is done by the timer. The timer runs
    # while there are streams, and the first of them starts it again.

    async def play(
        self, transport: asyncio.WriteTransport, events: list[Event], delay: float, stalls: bool
    ) -> None:
        """Returns when the last event was written, the client is gone or, where it `stalls`,
        only then.
        """
        start = self._loop.time() + delay
        stream = Playing(transport, events, start, stalls, self._loop.create_future())
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
            await stream.end
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
        if stream.end.done():
            return
        if stream.transport.is_closing():
            stream.end.set_result(None)
            return
        if now < stream.start:
            return
        total = len(stream.events)
        due = total  # events that should have been written by now
        if self._rate:
            due = min(total, 1 + int((now - stream.start) * self._rate))
        if due > stream.position:
            stream.transport.write(b"".join(map(_chunk, stream.events[stream.position : due])))
            stream.position = due
        if due == total and not stream.stalls:
            stream.end.set_result(None)
        elif due == total and now >= stream.next_comment:
            stream.next_comment = now + 0.5
            stream.transport.write(_chunk(plain(COMMENT)))


def _chunk(event: Event) -> bytes:
    """An event as one chunk of HTTP's chunked encoding."""
    data = rendered(event)
    return b"%x\r\n%b\r\n" % (len(data), data)
