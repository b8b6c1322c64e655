"""The aiohttp application: routes, the check in front of every one of them, and its life."""

import asyncio
import errno
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any, Protocol

import orjson
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from generator.monitor.loop_lag import LoopLag
from generator.monitor.server.access import Access, is_loopback
from generator.monitor.server.connections import BACKLOG, Connections
from generator.monitor.server.history import SAMPLE_SECONDS, History
from generator.monitor.server.metrics import exposition
from generator.monitor.server.page import page, page_policy
from generator.monitor.status import RunStatus
from shared.errors import InputError
from shared.records import Trace

TRACE_CHARACTERS = 40_000  # of a trace's reasoning and response each, for the eye
PASSWORD_PROMPT = 'Basic realm="stillhouse", charset="UTF-8"'
NEXT_PORTS = 20  # tried on loopback where the port is taken, as by another run

SAFETY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Controls(Protocol):
    """What a person may do to a run."""

    def pause(self, lane: str = "") -> None:
        """No call starts, on one lane or anywhere. Errors: KeyError for an unknown lane."""
        ...

    def resume(self, lane: str = "") -> None:
        """Calls start again. Errors: KeyError for an unknown lane."""
        ...

    def drain(self, why: str) -> None:
        """Start nothing more and end when the calls in flight have ended."""
        ...

    def reload(self) -> list[str]:
        """Read the configuration again; sentences about what needs a restart. Errors:
        InputError.
        """
        ...


class Routes:
    """What is served, and the history that is sampled meanwhile."""

    def __init__(
        self,
        status: Callable[[], RunStatus],
        traces: Callable[[], Iterable[Trace]],
        controls: Controls,
    ) -> None:
        self._status = status
        self._traces = traces
        self._controls = controls
        self._loop_lag = LoopLag()
        self._metrics = exposition(status, self._loop_lag)
        self._history = History()
        self._next_sample: asyncio.TimerHandle | None = None

    def add_to(self, app: web.Application) -> None:
        """Add every route."""
        pages = {
            "/": self.dashboard,
            "/status": self.status,
            "/history": self.history,
            "/traces": self.traces,
            "/metrics": self.metrics,
            "/healthz": self.health,
            "/readyz": self.ready,
        }
        for path, handler in pages.items():
            app.router.add_get(path, handler, expect_handler=_expects_nothing)
        for path in (
            "/{action:pause|resume|drain|reload}",
            "/lanes/{lane}/{action:pause|resume}",
        ):
            app.router.add_post(path, self.control, expect_handler=_expects_nothing)
        app.router.add_route("*", "/{path:.*}", _nothing_here, expect_handler=_expects_nothing)

    def start_sampling(self) -> None:
        """Sample the status for the history, now and every `SAMPLE_SECONDS`, and the loop's lag."""
        self._loop_lag.start()
        self._sample()

    def _sample(self) -> None:
        self._history.add(time.time(), self._status())
        self._next_sample = asyncio.get_running_loop().call_later(SAMPLE_SECONDS, self._sample)

    def stop_sampling(self) -> None:
        """Take no further sample."""
        self._loop_lag.stop()
        if self._next_sample:
            self._next_sample.cancel()

    async def dashboard(self, request: web.Request) -> web.Response:
        """GET /: the page."""
        return web.Response(body=page(), content_type="text/html", charset="utf-8")

    async def status(self, request: web.Request) -> web.Response:
        """GET /status: the run now."""
        return _json(self._status().as_dict())

    async def history(self, request: web.Request) -> web.Response:
        """GET /history?since=SECONDS: samples of the last half hour."""
        try:
            since = float(request.query.get("since", "0"))
        except ValueError:
            return _json({"error": "since: a number of seconds since 1970"}, 400)
        return _json({"every_seconds": SAMPLE_SECONDS, "samples": self._history.since(since)})

    async def traces(self, request: web.Request) -> web.Response:
        """GET /traces: the latest, newest first, their texts cut."""
        return _json([_summary(trace) for trace in self._traces()])

    async def metrics(self, request: web.Request) -> web.Response:
        """GET /metrics, for Prometheus."""
        headers = {"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        return web.Response(body=self._metrics(), headers=headers)

    async def health(self, request: web.Request) -> web.Response:
        """GET /healthz: 200 while the process serves."""
        return _json({"alive": True})

    async def ready(self, request: web.Request) -> web.Response:
        """GET /readyz: 503 where the run takes no work, as while it drains."""
        status = self._status()
        is_ready = status.phase in ("running", "idle")
        reply = {"ready": is_ready, "phase": status.phase, "note": status.note}
        return _json(reply, 200 if is_ready else 503)

    async def control(self, request: web.Request) -> web.Response:
        """POST /pause, /resume, /drain, /reload, /lanes/LANE/pause and /lanes/LANE/resume."""
        action = request.match_info["action"]
        lane = request.match_info.get("lane", "")
        try:
            if action == "reload":
                return _json({"done": "reload", "notes": self._controls.reload()})
            if action == "drain":
                self._controls.drain("asked for over HTTP")
            elif action == "pause":
                self._controls.pause(lane)
            else:
                self._controls.resume(lane)
        except KeyError:
            return _json({"error": f"no lane is called {lane!r}"}, 404)
        except InputError as error:
            return _json({"error": str(error)}, 400)
        target = {"lane": lane} if lane else {}
        return _json({"done": action, **target})


async def _expects_nothing(request: web.Request) -> None:
    """No request here has a body worth waiting for. aiohttp's own answer to an `Expect` that it
    does not know quotes it, and fails with 500 where it is no text.
    """


async def _nothing_here(request: web.Request) -> web.StreamResponse:
    """Any other path: 404, or 405 where another method would do. A route of ours, or `Expect`
    would be aiohttp's again.
    """
    methods: set[str] = set()
    for resource in request.app.router.resources():
        _, allowed_methods = await resource.resolve(request)
        methods |= allowed_methods - {"*"}
    if methods:
        raise web.HTTPMethodNotAllowed(request.method, methods)
    raise web.HTTPNotFound


@asynccontextmanager
async def dashboard_server(
    host: str,
    port: int,
    access: Access,
    status: Callable[[], RunStatus],
    traces: Callable[[], Iterable[Trace]],
    controls: Controls,
) -> AsyncIterator[str]:
    """Serve while the block runs; yields the address. `traces`: the latest, newest first.

    On loopback the next free port is taken where `port` is not free. Errors: InputError where none
    can be had.
    """
    routes = Routes(status, traces, controls)
    connections = Connections(lambda: new_handler())  # known once the application is set up
    app = application(access, connections, routes)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    assert runner.server is not None
    new_handler = runner.server
    listener: asyncio.Server | None = None
    try:
        listener, bound_port = await _bind(connections, host, port)
        address = "127.0.0.1" if host in ("0.0.0.0", "::") else host
        routes.start_sampling()
        yield (
            f"http://[{address}]:{bound_port}/"
            if ":" in address
            else f"http://{address}:{bound_port}/"
        )
    finally:
        routes.stop_sampling()
        if listener is not None:
            listener.close()
        await runner.cleanup()


def application(access: Access, connections: Connections, routes: Routes) -> web.Application:
    """What answers on a connection."""
    app = web.Application(middlewares=[_guard(access, connections)], client_max_size=1024)
    routes.add_to(app)
    logging.getLogger("aiohttp.server").addFilter(_is_our_fault)
    return app


def _is_our_fault(record: logging.LogRecord) -> bool:
    """Whether an error of the server is ours. A request that is no HTTP is answered with 400, and
    its traceback says nothing to whoever reads the run's log.
    """
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, HttpProcessingError)


async def _bind(connections: Connections, host: str, port: int) -> tuple[asyncio.Server, int]:
    """The listener, and its port."""
    loop = asyncio.get_running_loop()
    last_port = port + NEXT_PORTS if is_loopback(host) else port
    for candidate in range(port, min(last_port, 65535) + 1):
        try:
            return await loop.create_server(
                connections, host, candidate, backlog=BACKLOG
            ), candidate
        except (OSError, UnicodeError) as error:  # a host that is no name at all
            if getattr(error, "errno", None) != errno.EADDRINUSE:
                reason = getattr(error, "strerror", None) or error
                raise InputError(
                    f"daemon.host {host[:80]}: {reason}: give an address of this machine"
                ) from None
    raise InputError(f"daemon.port {port} is taken: set another one, or 0 for no server")


def _guard(
    access: Access, connections: Connections
) -> Callable[..., Awaitable[web.StreamResponse]]:
    """Every request passes here first, and every reply takes these headers."""

    @web.middleware
    async def guard(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        connections.note_request(request.protocol)
        reply: web.StreamResponse
        refusal = access.check(request.method, request.path, request.headers)
        if refusal is not None:
            reply = _json({"error": refusal.message}, refusal.status)
            if refusal.status == 401:
                is_post = request.method == "POST"
                reply.headers["WWW-Authenticate"] = "Bearer" if is_post else PASSWORD_PROMPT
        else:
            try:
                reply = await handler(request)
            except web.HTTPException as error:
                reply = _json({"error": error.reason}, error.status)
        reply.headers["Content-Security-Policy"] = page_policy()
        reply.headers.update(SAFETY_HEADERS)
        return reply

    return guard


def _json(value: Any, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(value), status=status, content_type="application/json")


def _summary(trace: Trace) -> dict[str, Any]:
    return {
        "id": trace.id,
        "source": trace.source,
        "problem": trace.problem[:TRACE_CHARACTERS],
        "gold": trace.gold,
        "reasoning": trace.reasoning[:TRACE_CHARACTERS],
        "response": trace.response[:TRACE_CHARACTERS],
        "reasoning_characters": len(trace.reasoning),
        "final_answer": trace.final_answer,
        "verdict": trace.verdict,
        "reason": trace.reason,
        "finish_reason": trace.finish_reason,
        "lane": trace.lane,
        "model": trace.model_returned or trace.model,
        "attempts": trace.attempts,
        "tokens": trace.usage.completion_tokens,
        "seconds": trace.timing.get("total_seconds"),
        "finished_at": trace.finished_at,
    }
