"""The reader of a body in blocks, against a real server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp

from shared.chat_api.block_reader import BlockReader, gathered

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
TEXT = b"x" * 1000
HTTP_CHUNK = b"%x\r\n%b\r\n" % (len(TEXT), TEXT)
HTTP_CHUNKS = 32_000  # more than the sockets' buffers hold


async def _flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(HEAD + HTTP_CHUNK * HTTP_CHUNKS + b"0\r\n\r\n")
    await writer.drain()
    writer.close()


@asynccontextmanager
async def _flooded() -> AsyncIterator[aiohttp.StreamReader]:
    """The reader of a body of many HTTP chunks."""
    server = await asyncio.start_server(_flood, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    async with server, aiohttp.ClientSession() as session, session.get(url) as reply:
        yield gathered(reply.content)


async def test_a_flood_is_held_at_the_readers_bound_and_comes_whole() -> None:
    sizes = []
    async with _flooded() as content:
        assert isinstance(content, BlockReader)
        await asyncio.sleep(0.2)  # nobody reads
        block = await content.readany()
        while block:
            sizes.append(len(block))
            block = await content.readany()
    assert sum(sizes) == HTTP_CHUNKS * len(TEXT)
    assert max(sizes) < 1 << 20


async def test_an_empty_piece_of_a_body_is_not_its_end() -> None:
    async with _flooded() as content:
        await content.readany()
        content.feed_data(b"")
        assert await content.readany()
