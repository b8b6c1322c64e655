"""What the whole generator costs: stream chunks that one CPU-second carries, and memory over time.

    python -m benchmarks.generator [--streams 800] [--rate 40] [--tokens 500] [--rounds 3]
        [--no-sdk] [--flame FILE.svg]

A real `python -m generator run` with screening, lanes, ledger, grading and shards asks a rehearsal
teacher in another process. All its CPU time counts: start-up, imports and the graders' processes
included. The openai SDK's own streaming, which only collects the text, runs against the same server
for comparison. `--flame` draws where the generator's main thread spends twenty seconds of its full
load (needs py-spy: `pip install py-spy`); looking on costs CPU time, so its figures count less.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from benchmarks.streaming import Measured, in_own_process, recorded_answer, rehearsal

SDK_STREAMS = 200  # enough to fill a core with it
CONFIG = """
corpus = "{corpus}"
[problems]
source = "{problems}"
answer_field = "answer"
[[lane]]
name = "local"
base_url = "{url}"
model = "rehearsal-r1"
concurrency = {streams}
[daemon]
port = {port}
"""
FLAME_AFTER_SECONDS = 10  # all streams have begun
FLAME_SECONDS = 20
LAG_METRIC = 'stillhouse_loop_lag_seconds{quantile="0.99"}'
LAG_EVERY_SECONDS = 10  # a page of metrics costs the generator some milliseconds


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the generator. `megabytes`: resident memory of its main process, second by
    second.
    """

    chunks: int
    peak_in_flight: int
    cpu_seconds: float
    wall_seconds: float
    megabytes: list[float]
    lags: list[float]  # p99 of the last minute, seconds, every ten seconds

    @property
    def chunks_per_cpu_second(self) -> float:
        return self.chunks / self.cpu_seconds

    def megabytes_at(self, share: float) -> float:
        return self.megabytes[int(share * (len(self.megabytes) - 1))]


def write_problems(folder: Path, count: int, tokens: int) -> tuple[Path, Path]:
    """`count` problems, and a recording that answers each with about `tokens` tokens."""
    problems, recording = folder / "problems.jsonl", folder / "recording.jsonl"
    with problems.open("w") as asked, recording.open("w") as answers:
        for number in range(count):
            text = f"Add {number} and {number * 7 % 1000}."
            gold = number + number * 7 % 1000
            words = " ".join(f"and {(number + step) % 10}" for step in range(tokens // 2))
            asked.write(json.dumps({"problem": text, "answer": str(gold)}) + "\n")
            answers.write(
                json.dumps(
                    {"problem": text, "reasoning": words, "response": f"So \\boxed{{{gold}}}."}
                )
                + "\n"
            )
    return problems, recording


def run_generator(
    folder: Path, url: str, problems: Path, streams: int, flame: Path | None = None
) -> Run:
    """Run it to its end and account for it and all its children."""
    config = folder / "config.toml"
    port = _free_port()
    config.write_text(
        CONFIG.format(
            corpus=folder / "corpus", problems=problems, url=url, streams=streams, port=port
        )
    )
    before, start = _stats(url)["tokens"], time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "generator", "run", str(config)], stdout=subprocess.DEVNULL
    )
    megabytes: list[float] = []
    lags: list[float] = []
    painter: subprocess.Popen[bytes] | None = None
    while True:
        pid, status, used = os.wait4(process.pid, os.WNOHANG)
        if pid:
            break
        resident = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1]) * os.sysconf(
            "SC_PAGESIZE"
        )
        megabytes.append(resident / 1e6)
        if flame is not None and len(megabytes) == FLAME_AFTER_SECONDS:
            painter = drawn_flame_graph(process.pid, flame)
        if len(megabytes) % LAG_EVERY_SECONDS == 0:
            lags += _loop_lag(port)
        time.sleep(1)
    process.returncode = os.waitstatus_to_exitcode(status)
    if painter is not None:
        painter.wait()
    if process.returncode:
        raise SystemExit(f"the generator ended with {process.returncode}")
    stats = _stats(url)
    wall = time.perf_counter() - start
    return Run(
        stats["tokens"] - before,
        stats["peak_in_flight"],
        used.ru_utime + used.ru_stime,
        wall,
        megabytes,
        lags,
    )


def drawn_flame_graph(pid: int, path: Path) -> "subprocess.Popen[bytes]":
    """py-spy, which looks at a process for a while, beside it."""
    words = ["--pid", str(pid), "--duration", str(FLAME_SECONDS), "--output", str(path)]
    return subprocess.Popen(["py-spy", "record", "--native", *words], stdout=subprocess.DEVNULL)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _loop_lag(port: int) -> list[float]:
    """The event loop's p99 of the last minute, in seconds, by /metrics; none where it is ending."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as reply:
            lines = reply.read().decode().splitlines()
    except OSError:
        return []
    return [float(line.split()[-1]) for line in lines if line.startswith(LAG_METRIC)]


def _stats(url: str) -> dict[str, int]:
    with urllib.request.urlopen(url.removesuffix("/v1") + "/stats", timeout=60) as reply:
        return dict(json.load(reply))


def table(run: Run, sdk: Measured | None) -> str:
    lines = [
        f"{'client':<28}{'chunks':>11}{'in flight':>11}{'CPU s':>8}{'wall s':>8}{'MB':>6}{'chunks per CPU s':>18}"
    ]
    rows = [
        (
            "the whole generator",
            run.chunks,
            run.peak_in_flight,
            run.cpu_seconds,
            run.wall_seconds,
            max(run.megabytes),
            run.chunks_per_cpu_second,
        )
    ]
    if sdk:
        rows.append(
            (
                "openai SDK, stream=True",
                sdk.chunks,
                SDK_STREAMS,
                sdk.cpu_seconds,
                sdk.wall_seconds,
                sdk.peak_megabytes,
                sdk.chunks_per_cpu_second,
            )
        )
    for name, chunks, flight, cpu, wall, megabytes, rate in rows:
        lines.append(
            f"{name:<28}{chunks:>11,}{flight:>11,}{cpu:>8.1f}{wall:>8.1f}{megabytes:>6.0f}{rate:>18,.0f}"
        )
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m benchmarks.generator", description=__doc__)
    parser.add_argument("--streams", type=int, default=800)
    parser.add_argument("--rate", type=float, default=40.0, help="tokens a second of one stream")
    parser.add_argument("--tokens", type=int, default=500, help="of one answer")
    parser.add_argument("--rounds", type=int, default=3, help="answers for each stream")
    parser.add_argument("--no-sdk", action="store_true")
    parser.add_argument("--flame", type=Path, help="draw the main thread's flame graph into it")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        problems, recording = write_problems(folder, args.streams * args.rounds, args.tokens)
        with rehearsal("--tokens-per-second", str(args.rate), "--replay", str(recording)) as url:
            run = run_generator(folder, url, problems, args.streams, args.flame)
        sdk = None
        if not args.no_sdk:
            with rehearsal(
                "--tokens-per-second", str(args.rate), "--replay", str(recorded_answer(folder, 200))
            ) as url:
                sdk = in_own_process("sdk", url, SDK_STREAMS)
    print(f"{args.streams} streams of {args.rate:g} tokens/s")
    print(table(run, sdk))
    shares = ", ".join(
        f"{run.megabytes_at(share):.0f} MB at {share:.0%}" for share in (0.25, 0.5, 0.75, 1.0)
    )
    print(f"memory of the generator over the run: {shares}")
    lags = ", ".join(f"{lag * 1000:.0f}" for lag in run.lags)
    print(f"p99 of the event loop's lag over the last minute, every ten seconds: {lags} ms")
    if sdk:
        times = run.chunks_per_cpu_second / sdk.chunks_per_cpu_second
        print(f"the generator carries {times:.1f} times as much as the SDK")
    return 0


if __name__ == "__main__":
    sys.exit(main())
