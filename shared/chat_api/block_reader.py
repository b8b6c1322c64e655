"""aiohttp's reader of a body, for streams of many small HTTP chunks.

A server sends each token as an HTTP chunk of its own. aiohttp's reader notes where each chunk ends
and, for each chunk that is read, asks the transport for more: a third of a stream's whole CPU time,
for what nobody here wants to know. This one keeps the bytes and gives them all at once.
"""

import aiohttp


class BlockReader(aiohttp.StreamReader):
    """A reader without the borders of HTTP chunks: `readany` alone is used of it."""

    __slots__ = ()

    # aiohttp's parser calls these for each HTTP chunk. The borders of chunks have no meaning in a
    # stream of events, and `bool()` is the cheapest way to do nothing: a call into a function of
    # ours costs as much as keeping the bytes.
    begin_http_chunk_receiving = bool  # type: ignore[assignment]
    end_http_chunk_receiving = bool  # type: ignore[assignment]

    def feed_data(self, data: bytes, size: int = 0) -> bool:
        """Keep what an HTTP chunk brought: aiohttp's own, less what `readany` has no use for."""
        if not data:
            return False
        self._buffer.append(data)
        self._size += len(data)
        waiter = self._waiter
        if waiter is not None:
            self._waiter = None
            if not waiter.done():
                waiter.set_result(None)
        if self._size > self._high_water:
            self._protocol.pause_reading()
        return False

    async def readany(self) -> bytes:
        """All that has come, at least a byte; b"" at the end. Errors: as aiohttp's."""
        if self._exception is not None:
            raise self._exception
        while not self._buffer and not self._eof:
            if not self._protocol.connected:
                raise aiohttp.ClientConnectionError("Connection closed")
            # aiohttp's own wait, less a timer that a session without a total timeout does not have
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        block = b"".join(self._buffer)
        self._buffer.clear()
        self._size = 0
        self._cursor += len(block)
        if self._protocol._reading_paused:  # a flood filled the buffer to its bound
            self._protocol.resume_reading()
        return block


def gathered(content: aiohttp.StreamReader) -> BlockReader | aiohttp.StreamReader:
    """A body's reader as one that gives blocks. aiohttp's parser makes the reader itself and takes
    no other class, so the class is changed once the reply has begun; an empty body stays as it is.
    """
    if type(content) is aiohttp.StreamReader:
        content.__class__ = BlockReader
    return content
