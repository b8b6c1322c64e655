"""aiohttp's reader of a body, for streams of many small HTTP chunks.

A server sends each token as an HTTP chunk of its own. aiohttp's reader notes where each chunk ends
and, for each chunk that is read, asks the transport for more: a third of a stream's whole CPU time,
for what nobody here wants to know. This one keeps the bytes and gives them all at once.

It gives them to a function, not to a task. A call is awaited through a dozen coroutines, from the
worker down to the socket, and each time that its task is woken all of them are stepped through.
"""

import asyncio
from collections.abc import Callable

import aiohttp


class _BodyEnd(asyncio.Future[None]):
    """The end of `each_block`. aiohttp knows it as the reader's waiter, and tells it the end of the
    body and an error of the transport.
    """

    def __init__(self, take: Callable[[bytes], object], *, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop=loop)
        self.take = take
        self.is_due = False  # a block will be given in this turn of the event loop
        self.wants_more = True
        self.error: Exception | None = None  # what `take` raised


class BlockReader(aiohttp.StreamReader):
    """A reader without the borders of HTTP chunks: `each_block` and `readany` alone are used."""

    __slots__ = ()
    _waiter: _BodyEnd | None

    # aiohttp's parser calls these for each HTTP chunk. The borders of chunks have no meaning in a
    # stream of events, and `bool()` is the cheapest way to do nothing: a call into a function of
    # ours costs as much as keeping the bytes.
    begin_http_chunk_receiving = bool  # type: ignore[assignment]
    end_http_chunk_receiving = bool  # type: ignore[assignment]

    def feed_data(self, data: bytes, size: int = 0) -> bool:
        """Keep what an HTTP chunk brought: aiohttp's own, less what blocks have no use for."""
        if not data:
            return False
        self._buffer.append(data)
        self._size += len(data)
        end = self._waiter
        if end is not None and not end.is_due:
            end.is_due = True
            self._loop.call_soon(self._give, end)
        if self._size > self._high_water:
            self._protocol.pause_reading()
        return False

    async def each_block(self, take: Callable[[bytes], object]) -> None:
        """Give `take` all that has come, at least a byte, each time that something comes: until it
        returns what is false, or the body ends. Errors: as aiohttp's, and what `take` raises.
        """
        if self._exception is not None:
            raise self._exception
        end = _BodyEnd(take, loop=self._loop)
        if self._buffer:
            self._give(end)
        if end.wants_more and not self._eof:
            if not self._protocol.connected:
                raise aiohttp.ClientConnectionError("Connection closed")
            self._waiter = end
            try:
                await end
            except Exception:
                if end.error is None:
                    raise
            finally:
                self._waiter = None
                end.wants_more = False
        if end.error is not None:
            raise end.error

    def _give(self, end: _BodyEnd) -> None:
        """Give all that has come. Bytes that came with the end of the body are given before it is
        told: this was called for first.
        """
        end.is_due = False
        if not end.wants_more:
            return
        block = b"".join(self._buffer)
        self._buffer.clear()
        self._size = 0
        self._cursor += len(block)
        if self._protocol._reading_paused:  # a flood filled the buffer to its bound
            self._protocol.resume_reading()
        try:
            end.wants_more = bool(end.take(block))
        except Exception as error:  # raised where the blocks are awaited
            end.error = error
            end.wants_more = False
        if not end.wants_more and not end.done():
            end.set_result(None)

    async def readany(self) -> bytes:
        """All that has come, at least a byte; b"" at the end. Errors: as aiohttp's."""
        blocks: list[bytes] = []
        await self.each_block(blocks.append)
        return blocks[0] if blocks else b""


def gathered(content: aiohttp.StreamReader) -> BlockReader:
    """A body's reader as one that gives blocks. aiohttp's parser makes the reader itself and takes
    no other class, so the class is changed once the reply has begun. An empty body stays as it is:
    of that, `readany` alone can be used.
    """
    if type(content) is aiohttp.StreamReader:
        content.__class__ = BlockReader
    return content  # type: ignore[return-value]
