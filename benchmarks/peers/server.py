"""The fake provider: OpenAI's path and DeepSeek's dialect, streaming or not, with books of what it
was asked and what it gave.

    python -m benchmarks.peers.server WORLD SEED

It has to be faster than whatever is measured against it. So nothing is put together while a stream
runs: every event of a token is equally long and was written at the start, and what is due of all
streams is cut from that block by one timer. GET /books has the counts and the server's own CPU.
"""

import argparse
import asyncio
import json
import re
import resource
import sys
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

import orjson
import uvloop
from aiohttp import web

from benchmarks.peers.worlds import (
    MOST_TOKENS,
    RING,
    TEXT,
    WORD_CHARACTERS,
    World,
    fate,
    reasoning,
    response,
)

TURN_SECONDS = 0.005  # between two looks at what is due
NUMBER = re.compile(r"Add (\d+) and")
TORN_SHARE = 0.5  # of an answer, after which the socket closes


def event(delta: dict[str, Any], finish: str | None = None, usage: Any = None) -> bytes:
    """An event of a stream, framed as one chunk of HTTP."""
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    chunk = {"id": "bench", "object": "chat.completion.chunk", "created": 1_764_000_000}
    body = chunk | {"model": "r1", "choices": [choice]} | ({"usage": usage} if usage else {})
    return framed(b"data: " + orjson.dumps(body) + b"\n\n")


def framed(data: bytes) -> bytes:
    """One chunk of HTTP's chunked encoding."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def thought(word: str) -> bytes:
    """The event of one token of reasoning."""
    return event({"content": None, "reasoning_content": word})


EVENT_BYTES = len(thought("word "))
_RING_EVENTS = b"".join(
    thought(TEXT[at * WORD_CHARACTERS : (at + 1) * WORD_CHARACTERS]) for at in range(RING)
)
THOUGHTS = memoryview(_RING_EVENTS * (MOST_TOKENS // RING + 2))


@dataclass(slots=True, eq=False)
class Stream:
    """One answer on its way: a part of `THOUGHTS`, then an ending of its own."""

    transport: asyncio.WriteTransport
    first: int  # event of THOUGHTS
    thoughts: int
    ending: bytes
    start: float  # loop time of the first token
    done: asyncio.Future[None]
    sent: int = 0

    def serve(self, now: float, rate: float) -> None:
        """Write what is due."""
        if self.transport.is_closing():
            self.done.set_result(None)
            return
        due = self.thoughts
        if rate:
            due = min(due, int((now - self.start) * rate))
        if due > self.sent:
            begin = (self.first + self.sent) * EVENT_BYTES
            end = (self.first + due) * EVENT_BYTES
            self.transport.write(THOUGHTS[begin:end])
            self.sent = due
        if self.sent == self.thoughts:
            self.transport.write(self.ending)
            self.done.set_result(None)


class Bucket:
    """A limit of calls a minute, as a bucket that fills steadily."""

    def __init__(self, per_minute: int, burst: int) -> None:
        self._rate = per_minute / 60
        self._burst = burst
        self._calls = float(burst)
        self._filled = time.monotonic()

    def admits(self) -> bool:
        """Whether there is room for another call; if so, it is taken."""
        now = time.monotonic()
        self._calls = min(self._burst, self._calls + (now - self._filled) * self._rate)
        self._filled = now
        if self._calls < 1:
            return False
        self._calls -= 1
        return True


class Provider:
    """Answers calls and keeps the books of one world."""

    def __init__(self, world: World, seed: int) -> None:
        self._world = world
        self._seed = seed
        self._bucket = Bucket(world.per_minute, world.burst) if world.per_minute else None
        self._attempts: Counter[int] = Counter()
        self._books: Counter[str] = Counter()
        self._in_flight = 0
        self._streams: set[Stream] = set()
        self._first_call = 0.0
        self._first_cpu = 0.0
        self._busiest = 0.0  # share of a core, of the busiest second
        self._last_look = (time.monotonic(), time.process_time())

    def application(self) -> web.Application:
        """The routes."""
        app = web.Application(client_max_size=64 << 20)
        app.router.add_post("/v1/chat/completions", self._completions)
        app.router.add_get("/v1/models", self._models)
        app.router.add_get("/books", self._show_books)
        app.on_startup.append(self._start)
        return app

    async def _start(self, app: web.Application) -> None:
        loop = asyncio.get_running_loop()
        loop.call_later(TURN_SECONDS, self._turn)
        loop.call_later(1.0, self._look)

    def _turn(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        for stream in list(self._streams):
            if not stream.done.done():
                stream.serve(now, self._world.rate)
        loop.call_later(TURN_SECONDS, self._turn)

    def _look(self) -> None:
        """Once a second: the share of a core that the last second took."""
        before, cpu_before = self._last_look
        now = time.monotonic()
        cpu = time.process_time()
        self._last_look = (now, cpu)
        if self._first_call and before >= self._first_call:
            self._busiest = max(self._busiest, (cpu - cpu_before) / (now - before))
        asyncio.get_running_loop().call_later(1.0, self._look)

    async def _models(self, request: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": "r1", "object": "model"}]})

    async def _show_books(self, request: web.Request) -> web.Response:
        seconds = time.monotonic() - self._first_call if self._first_call else 0.0
        used = time.process_time() - self._first_cpu
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        own = {"seconds": seconds, "cpu": used, "busiest": self._busiest, "megabytes": peak}
        return web.json_response({**self._books, **own})

    async def _completions(self, request: web.Request) -> web.StreamResponse:
        body = orjson.loads(await request.read())
        number = number_in(body)
        if number is None:
            self._books["probes"] += 1
            return error(400, "there is no such problem")
        if not self._first_call:
            self._first_call = time.monotonic()
            self._first_cpu = time.process_time()
        self._books["calls"] += 1
        self._in_flight += 1
        self._books["peak_in_flight"] = max(self._books["peak_in_flight"], self._in_flight)
        try:
            return await self._answer(request, body, number)
        finally:
            self._in_flight -= 1

    async def _answer(
        self, request: web.Request, body: dict[str, Any], number: int
    ) -> web.StreamResponse:
        if self._bucket and not self._bucket.admits():
            self._books["429"] += 1
            return error(429, "Rate limit reached for requests")
        self._attempts[number] += 1
        kind = fate(self._world, self._seed, number, self._attempts[number])
        self._books[kind or "whole"] += 1
        if kind.isdigit():
            return error(int(kind), "failed on purpose")
        self._books["paid"] += 1
        if body.get("stream"):
            return await self._stream(request, number, kind)
        return await self._whole(request, number, kind)

    async def _stream(self, request: web.Request, number: int, kind: str) -> web.StreamResponse:
        reply = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        reply.enable_chunked_encoding()
        await reply.prepare(request)
        transport = request.transport
        if transport is None:
            return reply  # the client is gone already
        thoughts = self._world.tokens_of(number) - 1
        ending = ending_of(number, kind, thoughts)
        if kind == "torn":
            thoughts = int(thoughts * TORN_SHARE)
        loop = asyncio.get_running_loop()
        start = loop.time() + self._world.latency
        stream = Stream(transport, number % RING, thoughts, ending, start, loop.create_future())
        if not self._world.rate:
            await asyncio.sleep(self._world.latency)
            stream.serve(loop.time(), 0.0)
        self._streams.add(stream)
        try:
            await stream.done
        finally:
            self._streams.discard(stream)
            self._books["tokens"] += stream.sent
        if kind == "torn":
            transport.abort()
        elif not transport.is_closing():
            self._books["tokens"] += 1
            await reply.write_eof()
        return reply

    async def _whole(self, request: web.Request, number: int, kind: str) -> web.StreamResponse:
        tokens = self._world.tokens_of(number)
        rate = self._world.rate
        body = body_of(number, kind, tokens)
        share = TORN_SHARE if kind == "torn" else 1.0
        await asyncio.sleep(self._world.latency + (share * tokens / rate if rate else 0.0))
        self._books["tokens"] += int(tokens * share)
        if kind != "torn":
            return web.Response(body=body, content_type="application/json")
        headers = {"Content-Type": "application/json", "Content-Length": str(len(body))}
        reply = web.StreamResponse(headers=headers)
        await reply.prepare(request)
        await reply.write(body[: len(body) // 2])
        if request.transport is not None:
            request.transport.abort()
        return reply


def number_in(body: dict[str, Any]) -> int | None:
    """The number of the problem that is asked; None where there is none."""
    for message in reversed(body.get("messages") or []):
        match = NUMBER.search(str(message.get("content")))
        if match:
            return int(match[1])
    return None


def said(number: int, kind: str) -> str:
    """The response of a call with this fate."""
    if kind == "empty":
        return ""
    whole = response(number)
    return whole[: len(whole) - 4] if kind == "truncated" else whole


def usage_of(tokens: int) -> dict[str, Any]:
    """As DeepSeek counts."""
    details = {"reasoning_tokens": tokens - 1}
    counts = {"prompt_tokens": 20, "completion_tokens": tokens, "total_tokens": 20 + tokens}
    return counts | {"completion_tokens_details": details}


def finish_of(kind: str) -> str:
    """Why the answer ends."""
    return "length" if kind == "truncated" else "stop"


def ending_of(number: int, kind: str, thoughts: int) -> bytes:
    """What follows the reasoning in a stream."""
    if kind == "torn":
        return b""
    answer = event({"content": said(number, kind), "reasoning_content": None})
    last = event({"content": ""}, finish_of(kind), usage_of(thoughts + 1))
    return answer + last + framed(b"data: [DONE]\n\n")


def body_of(number: int, kind: str, tokens: int) -> bytes:
    """The reply to a call that does not stream."""
    message = {
        "role": "assistant",
        "content": said(number, kind),
        "reasoning_content": reasoning(number, tokens - 1),
    }
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish_of(kind)}
    head = {"id": "bench", "object": "chat.completion", "created": 1_764_000_000, "model": "r1"}
    return orjson.dumps({**head, "choices": [choice], "usage": usage_of(tokens)})


def error(status: int, message: str) -> web.Response:
    """A refusal in OpenAI's form."""
    body = {"error": {"message": message, "type": "error", "param": None, "code": str(status)}}
    return web.json_response(body, status=status)


async def serve(provider: Provider) -> None:
    """Listen on a free port, say where, and serve for ever."""
    runner = web.AppRunner(provider.application(), access_log=None, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=4096).start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    await asyncio.Event().wait()


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("world", type=json.loads, help="the fields of a World")
    parser.add_argument("seed", type=int)
    args = parser.parse_args(argv)
    world = World(**args.world)
    uvloop.run(serve(Provider(world, args.seed)))


if __name__ == "__main__":
    main(sys.argv[1:])
