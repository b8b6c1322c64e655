"""A real HTTP server in the test's own event loop that says exactly what a test tells it to,
byte for byte.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web

Reply = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Script:
    """What the server saw, and what it says next: `replies` in order, the last one for ever."""

    replies: list[Reply] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    peers: set[Any] = field(default_factory=set)  # one for each connection
    url: str = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.bodies.append(orjson.loads(await request.read()))
        self.headers.append(dict(request.headers))
        assert request.transport is not None
        self.peers.add(request.transport.get_extra_info("peername"))
        reply = self.replies[min(len(self.bodies), len(self.replies)) - 1]
        return await reply(request)


@asynccontextmanager
async def scripted(*replies: Reply) -> AsyncIterator[Script]:
    script = Script(list(replies))
    app = web.Application()
    app.router.add_post("/v1/chat/completions", script.handle)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    script.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    try:
        yield script
    finally:
        await runner.cleanup()


def says(
    pieces: Sequence[bytes],
    content_type: str = "text/event-stream",
    closes: bool = True,
    aborts: bool = False,
    headers: dict[str, str] | None = None,
    gap_seconds: float = 0.0,
) -> Reply:
    """HTTP 200 with these pieces, a write each. Not `closes`: silence after the last; `aborts`:
    a torn socket.
    """

    async def reply(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": content_type, **(headers or {})})
        await response.prepare(request)
        for piece in pieces:
            await response.write(piece)
            await asyncio.sleep(gap_seconds)
        if aborts:
            assert request.transport is not None
            request.transport.abort()
        if not closes:
            await asyncio.Event().wait()
        return response

    return reply


def refuses(
    status: int, body: bytes | dict[str, Any] = b"", headers: dict[str, str] | None = None
) -> Reply:
    raw = body if isinstance(body, bytes) else orjson.dumps(body)

    async def reply(request: web.Request) -> web.StreamResponse:
        return web.Response(status=status, body=raw, headers=headers)

    return reply


def floods(piece: bytes, gap_seconds: float, first: Sequence[bytes] = ()) -> Reply:
    """HTTP 200 and `piece` for ever, after `first`."""

    async def reply(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for each in first:
            await response.write(each)
        while True:
            await response.write(piece)
            await asyncio.sleep(gap_seconds)

    return reply
