"""Who is connected to the server: few at a time and none for long, so that the descriptors stay
the teacher's.

A connection may be silent, or busy with one request, for `CLIENT_SECONDS`; a page that asks every
two seconds keeps its own as long as it likes. Beyond `CLIENTS_MAX` the one that has been silent
longest makes room: a crowd that says nothing shuts nobody out.
"""

import asyncio
from collections.abc import Callable
from typing import cast

from aiohttp import web

CLIENTS_MAX = 32
CLIENT_SECONDS = 30.0
BACKLOG = 32  # connections that the kernel holds before they are taken up

Handler = web.RequestHandler  # aiohttp's protocol of one connection


class Connections:
    """The connections of one server, by the silence of each."""

    def __init__(
        self,
        new_handler: Callable[[], Handler],
        clients_max: int = CLIENTS_MAX,
        client_seconds: float = CLIENT_SECONDS,
    ) -> None:
        self._new_handler = new_handler
        self._clients_max = clients_max
        self._client_seconds = client_seconds
        # in order of their last request, or of their beginning where there was none
        self._connections: dict[Handler, _Connection] = {}

    def __call__(self) -> asyncio.Protocol:
        """The protocol of a new connection, for `loop.create_server`."""
        return _Connection(self, self._new_handler())

    def __len__(self) -> int:
        return len(self._connections)

    def note_request(self, handler: Handler) -> None:
        """A request came on this connection: its time begins anew."""
        connection = self._connections.pop(handler, None)
        if connection is not None:
            self._connections[handler] = connection
            connection.has_asked = True
            connection.allow(self._client_seconds)

    def let_in(self, connection: "_Connection") -> None:
        """Take up a connection, and make room for it."""
        if len(self._connections) >= self._clients_max:
            silent = min(self._connections.values(), key=lambda each: each.has_asked)
            self.let_out(silent)
            silent.abort()
        self._connections[connection.handler] = connection
        connection.allow(self._client_seconds)

    def let_out(self, connection: "_Connection") -> None:
        """Forget a connection. Idempotent."""
        self._connections.pop(connection.handler, None)
        connection.end()


class _Connection(asyncio.Protocol):
    """One connection: hands everything on to aiohttp's protocol, and is ended in time."""

    def __init__(self, connections: Connections, handler: Handler) -> None:
        self.handler = handler
        self.has_asked = False
        self._connections = connections
        self._transport: asyncio.Transport | None = None
        self._deadline: asyncio.TimerHandle | None = None

    def allow(self, seconds: float) -> None:
        """Let it live for so long from now."""
        self.end()
        self._deadline = asyncio.get_running_loop().call_later(seconds, self.abort)

    def end(self) -> None:
        """No deadline any more."""
        if self._deadline is not None:
            self._deadline.cancel()

    def abort(self) -> None:
        """Close it at once, whatever has not been sent."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are of no class of asyncio
        self._connections.let_in(self)
        self.handler.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        self.handler.data_received(data)

    def eof_received(self) -> bool | None:
        self.handler.eof_received()
        return None

    def pause_writing(self) -> None:
        self.handler.pause_writing()

    def resume_writing(self) -> None:
        self.handler.resume_writing()

    def connection_lost(self, error: Exception | None) -> None:
        self._connections.let_out(self)
        self.handler.connection_lost(error)
