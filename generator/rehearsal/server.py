"""The rehearsal teacher over HTTP: OpenAI's paths, DeepSeek's dialect, faults and limits as asked
for.

POST /v1/chat/completions   streaming or not
GET  /v1/models
GET  /stats                 calls by status and by fault, in flight, peak, answers delivered
"""

import asyncio
import math
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web

from generator.rehearsal import solver
from generator.rehearsal.batch_files import BatchManner
from generator.rehearsal.batches import BatchDesk
from generator.rehearsal.faults import AccountLimits, Fate, Faults
from generator.rehearsal.replay import Replay, Row
from generator.rehearsal.stream import DONE, Event, Reply, flood, json_event, plain, tokens
from generator.rehearsal.wheel import Wheel
from shared.records import problem_id

MODEL = "rehearsal-r1"
BRIEF_MODEL = "rehearsal-brief"  # the steps alone: short traces, for students trained on a CPU


@dataclass(frozen=True, slots=True)
class Manner:
    """How the teacher behaves, beyond its limits."""

    tokens_per_second: float = 0.0  # of one stream; 0: as fast as the socket takes it
    latency_seconds: float = 0.0  # before the first token
    seed: int = 0
    faults: Faults = field(default_factory=Faults)
    key: str = ""  # the only key accepted; "" accepts any and none
    model: str = ""  # the only model name accepted; "" accepts any
    # seconds after the start between which connections are dropped
    outage: tuple[float, float] = (0.0, 0.0)


class RehearsalTeacher:
    """Answers calls and keeps count. One for each server."""

    def __init__(
        self,
        manner: Manner,
        limits: AccountLimits,
        replay: Replay | None,
        batches: BatchManner | None = None,
    ) -> None:
        self._manner = manner
        self._limits = limits
        self._replay = replay
        self._desk = BatchDesk(batches or BatchManner(), manner.seed, self._answer_line)
        self._started = time.monotonic()
        self._wheel: Wheel | None = None
        self._calls_by_problem: Counter[str] = Counter()  # those that reached the solver
        self._delivered: Counter[str] = Counter()
        self._statuses: Counter[str] = Counter()
        self._fates: Counter[str] = Counter()
        self._in_flight = 0
        self._peak = 0
        self._calls = 0
        self._tokens = 0

    def application(self) -> web.Application:
        """The routes, for whoever serves them."""
        app = web.Application(client_max_size=64 << 20)
        app.router.add_post("/v1/chat/completions", self._completions)
        app.router.add_get("/v1/models", self._models)
        app.router.add_get("/stats", self._stats)
        self._desk.add_routes(app)
        return app

    async def _models(self, request: web.Request) -> web.Response:
        names = [self._manner.model] if self._manner.model else [MODEL, BRIEF_MODEL]
        models = [{"id": name, "object": "model", "owned_by": "rehearsal"} for name in names]
        return web.json_response({"object": "list", "data": models})

    async def _stats(self, request: web.Request) -> web.Response:
        repeats = [count for count in self._delivered.values() if count > 1]
        return web.json_response(
            {
                "calls": self._calls,
                "by_status": dict(self._statuses),
                "by_fault": dict(self._fates),
                "in_flight": self._in_flight,
                "peak_in_flight": self._peak,
                "problems": len(self._calls_by_problem),
                "delivered": self._delivered.total(),
                "delivered_more_than_once": len(repeats),
                "tokens": self._tokens,
                "batch": self._desk.stats(),
                "seconds": round(time.monotonic() - self._started, 3),
            }
        )

    async def _completions(self, request: web.Request) -> web.StreamResponse:
        self._calls += 1
        age = time.monotonic() - self._started
        if self._manner.outage[0] <= age < self._manner.outage[1]:
            return self._drop(request)
        self._in_flight += 1
        self._peak = max(self._peak, self._in_flight)
        try:
            return await self._answer(request, await request.read())
        finally:
            self._in_flight -= 1

    async def _answer(self, request: web.Request, raw: bytes) -> web.StreamResponse:
        key = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if self._manner.key and key != self._manner.key:
            # some providers repeat the whole key, so this one does
            return self._error(401, f"Authentication Fails, Your api key: {key} is invalid")
        try:
            body = orjson.loads(raw)
            prompt = str(body["messages"][-1]["content"])
        except (orjson.JSONDecodeError, KeyError, IndexError, TypeError) as error:
            return self._error(400, f"Failed to deserialize the JSON body: {error!r}")
        if self._manner.model and body.get("model") != self._manner.model:
            return self._error(404, f"The model `{body.get('model')}` does not exist")
        refusal = self._limits.admit(time.time(), self._in_flight - 1)
        if refusal is not None:
            return self._error(refusal.status, refusal.message, refusal.retry_after_seconds)
        problem = problem_id(prompt)
        rng, fate = self._draw(problem)
        if fate.status is not None:
            seconds = self._manner.faults.retry_after_seconds if fate.status in (429, 503) else None
            return self._error(fate.status, "Failed on purpose, as --faults asked", seconds or None)
        row = self._replay.find(prompt) if self._replay else None
        if row is not None and row.status != 200:
            return self._error(row.status, row.response)
        reply = _compose(body, row, fate, rng, self._calls)
        self._statuses["200"] += 1
        self._tokens += len(reply.reasoning) + len(reply.response)
        if fate.kind == "empty" and rng.random() < 0.5:
            headers = self._limits.headers(time.time())
            return web.Response(body=b"", content_type="text/event-stream", headers=headers)
        if not body.get("stream"):
            return await self._send_whole(request, reply, fate, problem)
        include_usage = bool((body.get("stream_options") or {}).get("include_usage"))
        events = _faulty_events(reply.as_events(include_usage), fate, rng)
        return await self._send_stream(request, events, fate, rng, problem)

    def _answer_line(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """(status, body) for one line of a batch. Faults of a connection do not reach it."""
        prompt = str(body["messages"][-1]["content"])
        rng, fate = self._draw(problem_id(prompt))
        row = self._replay.find(prompt) if self._replay else None
        status = fate.status or (row.status if row is not None else 200)
        if status != 200:
            error = {"message": "Failed on purpose, as --faults asked", "code": status}
            return status, {"error": error}
        reply = _compose(body, row, fate, rng, self._calls)
        self._tokens += len(reply.reasoning) + len(reply.response)
        return 200, dict(orjson.loads(reply.as_body()))

    def _draw(self, problem: str) -> tuple[random.Random, Fate]:
        """The dice of the problem's next call, and what they bring it."""
        rng = random.Random(f"{self._manner.seed}:{problem}:{self._calls_by_problem[problem]}")
        self._calls_by_problem[problem] += 1
        fate = self._manner.faults.draw(rng)
        if fate.kind:
            self._fates[fate.kind] += 1
        if fate.wrong:
            self._fates["wrong"] += 1
        if fate.keepalive:
            self._fates["keepalive"] += 1
        return rng, fate

    async def _send_stream(
        self,
        request: web.Request,
        events: list[Event],
        fate: Fate,
        rng: random.Random,
        problem: str,
    ) -> web.StreamResponse:
        headers = self._limits.headers(time.time())
        response = web.StreamResponse(headers={"Cache-Control": "no-cache", **headers})
        response.content_type = "text/event-stream"
        response.enable_chunked_encoding()
        await response.prepare(request)
        transport = request.transport
        if transport is None:  # the client is gone already
            return response
        loop = asyncio.get_running_loop()
        self._wheel = self._wheel or Wheel(loop, self._manner.tokens_per_second)
        await self._wheel.play(
            transport, events, self._manner.latency_seconds, fate.kind == "stall"
        )
        if fate.kind == "cut":
            if rng.random() < 0.5:
                transport.close()
            else:
                transport.abort()
        elif not transport.is_closing():
            if fate.kind in ("", "length"):
                self._delivered[problem] += 1
            await response.write_eof()
        return response

    async def _send_whole(
        self, request: web.Request, reply: Reply, fate: Fate, problem: str
    ) -> web.StreamResponse:
        headers = self._limits.headers(time.time())
        count = len(reply.reasoning) + len(reply.response)
        rate = self._manner.tokens_per_second
        await asyncio.sleep(self._manner.latency_seconds + (count / rate if rate else 0.0))
        if fate.kind == "stall":
            await asyncio.Event().wait()  # the server cancels this when the client is gone
        if fate.kind in ("cut", "stall"):
            return self._drop(request)
        if fate.kind == "error_event":
            return self._error(500, "Failed on purpose, as --faults asked")
        self._delivered[problem] += 1
        return web.Response(body=reply.as_body(), content_type="application/json", headers=headers)

    def _error(
        self, status: int, message: str, retry_after_seconds: float | None = None
    ) -> web.Response:
        self._statuses[str(status)] += 1
        headers = self._limits.headers(time.time())
        if retry_after_seconds is not None:
            headers["Retry-After"] = str(max(1, math.ceil(retry_after_seconds)))
        error = {
            "error": {"message": message, "type": "rehearsal_error", "param": None, "code": status}
        }
        return web.Response(
            status=status,
            body=orjson.dumps(error),
            content_type="application/json",
            headers=headers,
        )

    def _drop(self, request: web.Request) -> web.Response:
        self._statuses["dropped"] += 1
        if request.transport is not None:
            request.transport.abort()
        return web.Response()


def _faulty_events(events: list[Event], fate: Fate, rng: random.Random) -> list[Event]:
    if fate.keepalive:
        events = flood(events, rng)
    if fate.kind in ("stall", "cut", "error_event"):
        events = events[: rng.randrange(1, len(events) - 3)]  # before the finish_reason
    if fate.kind == "error_event":
        message = "Failed on purpose, as --faults asked"
        error = {"message": message, "type": "server_error", "code": 500}
        events += [json_event({"error": error}), plain(DONE)]
    return events


def _compose(body: Any, row: Row | None, fate: Fate, rng: random.Random, number: int) -> Reply:
    """The reply to the call of this number: of a recorded row, or of the solver."""
    prompt = str(body["messages"][-1]["content"])
    if row is not None:
        reasoning_text = row.reasoning
        response_text = row.response
        finish_reason = row.finish_reason
    else:
        voice: solver.Voice = "brief" if body.get("model") == BRIEF_MODEL else "r1"
        reasoning_text, response_text = solver.solve(prompt, rng, fate.wrong, voice)
        finish_reason = "stop"
    reasoning = tokens(reasoning_text)
    response = [] if fate.kind == "empty" else tokens(response_text)
    max_tokens = int(body.get("max_tokens") or body.get("max_completion_tokens") or 1 << 30)
    if fate.kind == "length":
        max_tokens = min(max_tokens, rng.randrange(1, max(2, len(reasoning))))
    if len(reasoning) + len(response) > max_tokens:
        response = response[: max(0, max_tokens - len(reasoning))]
        reasoning = reasoning[:max_tokens]
        finish_reason = "length"
    return Reply(
        id=f"rehearsal-{number:08d}",
        model=str(body.get("model")),
        created=int(time.time()),
        reasoning=reasoning,
        response=response,
        finish_reason=finish_reason,
        prompt_tokens=len(prompt) // 4 + 1,
    )
