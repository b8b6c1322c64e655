"""What streaming costs: chunks that one CPU-second carries, our teacher call beside the openai
SDK's own streaming.

    python -m benchmarks.streaming [--streams 800] [--tokens 200] [--rate 30]

The rehearsal teacher runs in a process of its own, each client in a fresh one; only the client's
CPU time counts, from the first connection to the last token, imports left out.
"""

import argparse
import asyncio
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

QUESTION = "Please count aloud."


@dataclass(frozen=True, slots=True)
class Measured:
    """One client's run."""

    chunks: int
    cpu_seconds: float
    wall_seconds: float
    peak_megabytes: float

    @property
    def chunks_per_cpu_second(self) -> float:
        return self.chunks / self.cpu_seconds


@contextmanager
def rehearsal(*flags: str) -> Iterator[str]:
    """A rehearsal teacher in its own process. Gives its base URL."""
    command = [sys.executable, "-m", "generator.rehearsal", "--port", "0", "--with-parent", *flags]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield server.stdout.readline().split()[-1]
        finally:
            server.terminate()


def recorded_answer(folder: Path, tokens: int) -> Path:
    """A recording for `--replay` whose answer to `QUESTION` has about `tokens` tokens, most of
    them reasoning.
    """
    words = " and".join(f" {number % 10}" for number in range(tokens // 3))
    row = {"question": QUESTION, "reasoning": words.strip(), "response": "Done: \\boxed{1}"}
    path = folder / "recording.jsonl"
    path.write_text(json.dumps(row) + "\n")
    return path


def measure(run: Callable[[], Awaitable[int]]) -> Measured:
    """Run a client's coroutine on uvloop; it returns the number of chunks that it took."""
    import uvloop

    before, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()

    async def main() -> int:
        return await run()

    chunks = uvloop.run(main())
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Measured(chunks, cpu, wall, after.ru_maxrss / 1024)


async def with_teacher(url: str, streams: int) -> int:
    from shared.chat_api import ChatClient
    from shared.chat_api.request import Request

    request = Request([{"role": "user", "content": QUESTION}], "rehearsal-r1", 0.6, 0.95, 32768)
    chunks = 0

    def count(more: int) -> None:
        nonlocal chunks
        chunks += more

    async with ChatClient(url) as teacher, asyncio.TaskGroup() as group:
        for _ in range(streams):
            group.create_task(teacher.call(request, count))
    return chunks


async def with_sdk(url: str, streams: int) -> int:
    import openai

    limits = openai.DefaultAsyncHttpxClient(limits=openai.DEFAULT_CONNECTION_LIMITS)
    client = openai.AsyncOpenAI(
        api_key="none", base_url=url, max_retries=0, timeout=600, http_client=limits
    )

    async def one() -> int:
        stream = await client.chat.completions.create(
            model="rehearsal-r1",
            messages=[{"role": "user", "content": QUESTION}],
            max_tokens=32768,
            stream=True,
        )
        chunks, reasoning, response = 0, [], []
        async for chunk in stream:
            delta = chunk.choices[0].delta if chunk.choices else None
            thought = getattr(delta, "reasoning_content", None)
            said = delta.content if delta else None
            if thought:
                reasoning.append(thought)
            if said:
                response.append(said)
            chunks += bool(thought or said)
        return chunks

    async with client, asyncio.TaskGroup() as group:
        tasks = [group.create_task(one()) for _ in range(streams)]
    return sum(task.result() for task in tasks)


CLIENTS = {"teacher": with_teacher, "sdk": with_sdk}
NAMES = {"teacher": "teacher call (ours)", "sdk": "openai SDK, stream=True"}


def in_own_process(client: str, url: str, streams: int) -> Measured:
    command = [
        sys.executable,
        "-m",
        "benchmarks.streaming",
        "--client",
        client,
        "--url",
        url,
        "--streams",
        str(streams),
    ]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return Measured(**json.loads(done.stdout))


def compare(streams: int, tokens: int, rate: float) -> dict[str, Measured]:
    """Every client against the same server, one after the other."""
    with tempfile.TemporaryDirectory() as folder:
        replay = recorded_answer(Path(folder), tokens)
        with rehearsal("--tokens-per-second", str(rate), "--replay", str(replay)) as url:
            return {client: in_own_process(client, url, streams) for client in CLIENTS}


def table(rows: dict[str, Measured]) -> str:
    lines = [
        f"{'client':<28}{'chunks':>9}{'CPU s':>8}{'wall s':>8}{'MB':>6}{'chunks per CPU s':>18}"
    ]
    for name, row in rows.items():
        lines.append(
            f"{NAMES.get(name, name):<28}{row.chunks:>9,}{row.cpu_seconds:>8.2f}{row.wall_seconds:>8.1f}"
            f"{row.peak_megabytes:>6.0f}{row.chunks_per_cpu_second:>18,.0f}"
        )
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m benchmarks.streaming", description=__doc__)
    parser.add_argument("--streams", type=int, default=800)
    parser.add_argument("--tokens", type=int, default=200, help="of one answer")
    parser.add_argument(
        "--rate", type=float, default=30.0, help="tokens a second of one stream; 0: at once"
    )
    parser.add_argument("--client", choices=list(CLIENTS), help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.client:
        client = CLIENTS[args.client]
        if args.client == "sdk":
            import openai  # noqa: F401 - before the clock starts
        else:
            import shared.chat_api  # noqa: F401
        print(json.dumps(asdict(measure(lambda: client(args.url, args.streams)))))
        return 0
    rows = compare(args.streams, args.tokens, args.rate)
    print(f"{args.streams} streams of {args.rate:g} tokens/s")
    print(table(rows))
    times = rows["teacher"].chunks_per_cpu_second / rows["sdk"].chunks_per_cpu_second
    print(f"the teacher call carries {times:.1f} times as much")
    return 0


if __name__ == "__main__":
    sys.exit(main())
