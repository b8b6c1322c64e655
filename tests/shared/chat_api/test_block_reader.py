"""The reader of a body in blocks, against a real server."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
import pytest

from shared.chat_api.block_reader import BlockReader, gathered

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
TEXT = b"x" * 1000
HTTP_CHUNK = b"%x\r\n%b\r\n" % (len(TEXT), TEXT)
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
HTTP_CHUNKS = 32_000  # more than the sockets' buffers hold


async def _flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(HEAD + HTTP_CHUNK * HTTP_CHUNKS + b"0\r\n\r\n")
    await writer.drain()
    writer.close()


@asynccontextmanager
async def _body_of(serve: Serve) -> AsyncIterator[BlockReader]:
    """The reader of the body that `serve` sends."""
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    async with server, aiohttp.ClientSession() as session, session.get(url) as reply:
        yield gathered(reply.content)


async def test_a_flood_is_held_at_the_readers_bound_and_comes_whole() -> None:
    sizes = []
    async with _body_of(_flood) as content:
        assert isinstance(content, BlockReader)
        await asyncio.sleep(0.2)  # nobody reads
        block = await content.readany()
        while block:
            sizes.append(len(block))
            block = await content.readany()
    assert sum(sizes) == HTTP_CHUNKS * len(TEXT)
    assert max(sizes) < 1 << 20


async def _torn(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """An HTTP chunk, and the connection's end in the midst of the next."""
    await reader.readuntil(b"\r\n\r\n")
    writer.write(HEAD + HTTP_CHUNK + HTTP_CHUNK[:-10])
    await writer.drain()
    writer.close()


async def test_what_came_before_a_tear_is_given_and_the_tear_is_told() -> None:
    blocks: list[bytes] = []
    with pytest.raises(aiohttp.ClientPayloadError):
        async with _body_of(_torn) as content:
            await content.each_block(lambda block: blocks.append(block) is None)
    assert b"".join(blocks).startswith(TEXT)


async def test_blocks_are_given_until_one_is_enough() -> None:
    async with _body_of(_flood) as content:
        blocks: list[bytes] = []
        await content.each_block(lambda block: blocks.append(block) or len(blocks) < 3)
        assert len(blocks) == 3
        rest = await content.readany()
        while rest:
            blocks.append(rest)
            rest = await content.readany()
    assert b"".join(blocks) == TEXT * HTTP_CHUNKS


@pytest.mark.parametrize("number", [1, 2])
async def test_a_bug_in_what_takes_the_blocks_is_raised_where_they_are_awaited(number: int) -> None:
    blocks: list[bytes] = []

    def take(block: bytes) -> bool:
        blocks.append(block)
        return len(blocks) < number or 1 // (len(blocks) - number) > 0

    async with _body_of(_flood) as content:
        with pytest.raises(ZeroDivisionError):
            await content.each_block(take)
    assert len(blocks) == number


async def test_a_call_that_is_cancelled_is_given_nothing_more() -> None:
    blocks: list[bytes] = []
    async with _body_of(_flood) as content:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await content.each_block(lambda block: blocks.append(block) is None)
        count = len(blocks)
        await asyncio.sleep(0.1)
    assert len(blocks) == count


async def test_an_empty_piece_of_a_body_is_not_its_end() -> None:
    async with _body_of(_flood) as content:
        await content.readany()
        content.feed_data(b"")
        assert await content.readany()
