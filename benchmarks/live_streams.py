"""Thousands of live streams on one core: added latency of a token, and memory of a stream.

    python -m benchmarks.live_streams [--streams 5000] [--rate 30] [--seconds 20] [--cores 0,1]
        [--together 1]

A server of nothing but prepared bytes runs on the second core, the client on the first. Each token
is the moment when it was sent, so the answers say for themselves how long each token waited until
it was read. The server says how late it was itself: what it is late is not the client's; where its
core is too slow for a write a token, `--together 2` sends two with each write. Then the
same with a tenth of the streams: the difference in memory, less the text, is what a stream takes.
"""

import argparse
import asyncio
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import ClassVar, cast

WATCHED_STREAMS = 200  # whose tokens are looked at one by one
TICK_SECONDS = 0.001
STAMP = b"%011d "  # microseconds of the monotonic clock, a token of constant length
HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n"
    b"Connection: close\r\n\r\n"
)
BEFORE = (
    b'data: {"id":"0123456789abcdef","object":"chat.completion.chunk","created":1795829759,'
    b'"model":"r1","system_fingerprint":"fp_live","choices":[{"index":0,"delta":'
    b'{"content":null,"reasoning_content":"'
)
BEHIND = b'"},"logprobs":null,"finish_reason":null}]}\n\n'
LAST = (
    b'data: {"model":"r1","choices":[{"index":0,"delta":{"content":"4"},"finish_reason":"stop"}]}'
    b"\n\ndata: [DONE]\n\n"
)


@dataclass(frozen=True, slots=True)
class Live:
    """What a client's run took. Seconds; bytes of the process beyond what it had at its start.
    `p99_live`: of the tokens that were read once every watched stream had begun, so without the
    seconds in which thousands of connections are opened.
    """

    tokens: int
    cpu_seconds: float
    wall_seconds: float
    p50: float
    p99: float
    longest: float
    p99_live: float
    memory: int
    text: int


def http_chunk(data: bytes) -> bytes:
    """Data as one chunk of a chunked transfer."""
    return b"%x\r\n%b\r\n" % (len(data), data)


class Server(asyncio.Protocol):
    """Answers any request with a stream that the wheel writes."""

    streams: ClassVar[list[list[tuple[asyncio.WriteTransport, int]]]] = []  # by their slots
    tokens: ClassVar[int] = 0
    count: ClassVar[int] = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the request."""
        self._transport = cast(asyncio.WriteTransport, transport)  # uvloop's are of no such class
        self._request = b""

    def data_received(self, data: bytes) -> None:
        """The request, or a part of it; the stream begins when its body has come."""
        self._request += data
        if not self._request.endswith(b"}"):
            return
        self._transport.write(HEAD)
        slot = Server.count % len(Server.streams)
        Server.count += 1
        Server.streams[slot].append((self._transport, Server.tokens))


def write(transport: asyncio.WriteTransport, data: bytes) -> None:
    """Write with one system call where nothing waits; the loop's own way costs twice as much."""
    if not transport.get_write_buffer_size():
        with suppress(BlockingIOError):
            data = data[os.write(transport.get_extra_info("socket").fileno(), data) :]
    if data:
        transport.write(data)


async def turn(rate: float, together: int, lateness: list[float]) -> None:
    """Write to each stream `rate` times a second, the streams spread over that time; each write is
    of so many tokens, which are sent `together` and have one stamp.
    """
    slots = Server.streams
    start = time.monotonic()
    number = 0
    while True:
        number += 1
        due = start + number / (rate * len(slots))
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        lateness.append(time.monotonic() - due)
        stamp = STAMP % int(time.monotonic() * 1e6)
        token = http_chunk(BEFORE + stamp + BEHIND) * together
        slot = slots[number % len(slots)]
        for index, (transport, tokens) in enumerate(slot):
            if tokens and not transport.is_closing():
                write(transport, token)
            elif tokens == 0:
                transport.write(http_chunk(LAST) + b"0\r\n\r\n")
            slot[index] = (transport, tokens - 1)
        slot[:] = [each for each in slot if each[1] >= 0]


async def serve(rate: float, seconds: float, together: int) -> None:
    """Serve `rate` writes a second to each stream until the parent closes our input, then say how
    late the server was.
    """
    Server.streams = [[] for _ in range(max(1, round(1 / rate / TICK_SECONDS)))]
    Server.tokens = int(rate * seconds)
    lateness: list[float] = []
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Server, "127.0.0.1", 0, backlog=8192)
    print(server.sockets[0].getsockname()[1], flush=True)
    turning = asyncio.create_task(turn(rate, together, lateness))
    await loop.run_in_executor(None, sys.stdin.read)
    turning.cancel()
    lateness.sort()
    usage = resource.getrusage(resource.RUSAGE_SELF)
    late = lateness[round(0.99 * (len(lateness) - 1))]
    print(json.dumps({"cpu_seconds": usage.ru_utime + usage.ru_stime, "late_p99": late}))


async def ask(url: str, streams: int) -> Live:
    """Hold so many streams to their ends."""
    from shared.chat_api import ChatClient, Clocks
    from shared.chat_api.request import Request

    request = Request([{"role": "user", "content": "Count."}], "r1", 0.6, 0.95, 32768)
    arrivals_and_waits: list[tuple[float, float]] = []
    text = 0
    tokens = 0
    all_begun = 0.0
    memory = _resident()
    peak = memory

    async def one(client: ChatClient, is_watched: bool) -> None:
        nonlocal text, tokens, all_begun
        blocks: list[tuple[float, int]] = []

        def note(count: int) -> None:
            blocks.append((time.monotonic(), count))

        completion = await client.call(request, note if is_watched else lambda count: None)
        stamps = [int(word) / 1e6 for word in completion.reasoning.split()]
        tokens += len(stamps)
        text += len(completion.reasoning)
        arrivals = [moment for moment, count in blocks for _ in range(count)]
        if blocks:
            all_begun = max(all_begun, arrivals[0])
        arrivals_and_waits.extend(
            (moment, moment - stamp) for moment, stamp in zip(arrivals, stamps, strict=False)
        )

    async def watch_memory() -> None:
        nonlocal peak
        while True:
            peak = max(peak, _resident())
            await asyncio.sleep(0.5)

    watching = asyncio.create_task(watch_memory())
    before = resource.getrusage(resource.RUSAGE_SELF)
    start = time.monotonic()
    every = max(1, streams // WATCHED_STREAMS)
    async with ChatClient(url, clocks=Clocks(connect=60)) as client, asyncio.TaskGroup() as group:
        for number in range(streams):
            group.create_task(one(client, number % every == 0))
            if number % 50 == 49:
                await asyncio.sleep(0.02)  # a run reaches its concurrency over seconds
    watching.cancel()
    after = resource.getrusage(resource.RUSAGE_SELF)
    waits = sorted(wait for _, wait in arrivals_and_waits)
    live_waits = sorted(wait for arrival, wait in arrivals_and_waits if arrival > all_begun)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Live(
        tokens,
        cpu,
        time.monotonic() - start,
        quantile(waits, 0.5),
        quantile(waits, 0.99),
        waits[-1],
        quantile(live_waits, 0.99),
        peak - memory,
        text,
    )


def quantile(ordered: list[float], share: float) -> float:
    """The value below which so much of an ordered list lies."""
    return ordered[round(share * (len(ordered) - 1))]


def _resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


@contextmanager
def served(rate: float, seconds: float, together: int, core: str) -> Iterator[str]:
    """The server on its core; its own lateness is printed at the end. Gives its URL."""
    flags = ["--serve", "--rate", str(rate), "--seconds", str(seconds)]
    flags += ["--together", str(together)]
    with subprocess.Popen(
        ["taskset", "-c", core, sys.executable, "-m", "benchmarks.live_streams", *flags],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdout is not None
        yield f"http://127.0.0.1:{server.stdout.readline().strip()}/v1"
        report = json.loads(server.communicate()[0])
        print(
            f"the server itself: {report['cpu_seconds']:.1f} CPU s,"
            f" p99 late by {report['late_p99'] * 1000:.0f} ms"
        )


def measured(streams: int, args: argparse.Namespace) -> Live:
    """A run of the client in a process of its own, on its core."""
    client_core, server_core = args.cores.split(",")
    with served(args.rate, args.seconds, args.together, server_core) as url:
        flags = ["--ask", url, "--streams", str(streams)]
        command = [sys.executable, "-m", "benchmarks.live_streams", *flags]
        done = subprocess.run(
            ["taskset", "-c", client_core, *command], stdout=subprocess.PIPE, check=True
        )
    live = Live(**json.loads(done.stdout))
    print(
        f"{streams:,} streams of {args.rate:g} tokens/s: {live.tokens:,} tokens in"
        f" {live.wall_seconds:.1f} s, {live.cpu_seconds:.1f} CPU s; a token waits"
        f" {live.p50 * 1000:.0f} ms (median), {live.p99 * 1000:.0f} ms (p99),"
        f" {live.longest * 1000:.0f} ms (at most), {live.p99_live * 1000:.0f} ms (p99) once all had"
        f" begun; {live.memory / 1e6:.0f} MB"
    )
    return live


def main(argv: list[str] | None = None) -> int:
    """Serve, ask, or measure both."""
    parser = argparse.ArgumentParser("python -m benchmarks.live_streams", description=__doc__)
    parser.add_argument("--streams", type=int, default=5000)
    parser.add_argument("--rate", type=float, default=30.0, help="tokens a second of a stream")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each stream")
    parser.add_argument("--together", type=int, default=1, help="tokens of one write")
    parser.add_argument("--cores", default="0,1", help="the client's and the server's")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--ask", help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard_limit, hard_limit))
    import uvloop

    if args.serve:
        uvloop.run(serve(args.rate / args.together, args.seconds, args.together))
        return 0
    if args.ask:
        from generator.pipeline import look_for_garbage_seldom

        look_for_garbage_seldom()
        print(json.dumps(asdict(uvloop.run(ask(args.ask, args.streams)))))
        return 0
    many = measured(args.streams, args)
    few = measured(args.streams // 10, args)
    more_streams = args.streams - args.streams // 10
    beyond_text = (many.memory - many.text) - (few.memory - few.text)
    print(f"a stream takes {beyond_text / more_streams / 1000:.1f} KB beyond its text")
    return 0


if __name__ == "__main__":
    sys.exit(main())
