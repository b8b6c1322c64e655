"""Who is connected to the server: silent crowds, slow readers, and the page that stays."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from aiohttp import web

from generator.monitor.server.connections import Connections

CLIENTS_MAX = 4


@dataclass
class Served:
    port: int
    connections: Connections

    async def connect(
        self, request: bytes = b""
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(request)
        return reader, writer


@asynccontextmanager
async def served(client_seconds: float = 60.0) -> AsyncIterator[Served]:
    """A server with a short answer at / and a very long one at /long."""
    connections = Connections(lambda: new_handler(), CLIENTS_MAX, client_seconds)

    @web.middleware
    async def note(request: web.Request, handler: object) -> web.StreamResponse:
        connections.note_request(request.protocol)
        return web.Response(body=b"x" * (50_000_000 if request.path == "/long" else 1))

    app = web.Application(middlewares=[note])
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    assert runner.server is not None
    new_handler = runner.server
    listener = await asyncio.get_running_loop().create_server(connections, "127.0.0.1", 0)
    try:
        yield Served(listener.sockets[0].getsockname()[1], connections)
    finally:
        listener.close()
        await runner.cleanup()


GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


async def test_a_silent_crowd_shuts_nobody_out_and_takes_few_descriptors() -> None:
    async with served() as server:
        crowd = [await server.connect() for _ in range(10 * CLIENTS_MAX)]
        page, page_writer = await server.connect(GET)
        assert (await page.readline()).startswith(b"HTTP/1.1 200")
        assert len(server.connections) <= CLIENTS_MAX
        # More of the crowd: the page, which has asked for something, keeps its connection.
        crowd += [await server.connect() for _ in range(10 * CLIENTS_MAX)]
        page_writer.write(GET)
        await page.readuntil(b"HTTP/1.1 200")
        assert len(server.connections) <= CLIENTS_MAX
        for _, writer in [*crowd, (page, page_writer)]:
            writer.close()


async def test_a_client_that_says_nothing_or_half_a_request_is_let_go() -> None:
    async with served(client_seconds=0.2) as server:
        for request in (b"", b"GET / HTTP/1.1\r\nHo", GET):
            reader, writer = await server.connect(request)
            await asyncio.wait_for(_read_to_its_end(reader), 30)
            writer.close()
        assert len(server.connections) == 0


async def test_a_client_that_does_not_read_its_answer_is_let_go() -> None:
    async with served(client_seconds=0.2) as server:
        _, writer = await server.connect(b"GET /long HTTP/1.1\r\nHost: x\r\n\r\n")
        counts = []
        async with asyncio.timeout(30):
            while counts[-2:] != [1, 0]:
                counts.append(len(server.connections))
                await asyncio.sleep(0.01)
        writer.close()


@pytest.mark.slow
async def test_a_page_that_goes_on_asking_keeps_its_connection() -> None:
    async with served(client_seconds=1.0) as server:
        reader, writer = await server.connect()
        for _ in range(12):
            writer.write(GET)
            await reader.readuntil(b"\r\n\r\nx")
            await asyncio.sleep(0.1)
        assert len(server.connections) == 1
        writer.close()


async def _read_to_its_end(reader: asyncio.StreamReader) -> None:
    try:
        while await reader.read(65536):
            pass
    except ConnectionError:
        pass
