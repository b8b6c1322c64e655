"""What one size of each stage costs, in processes of its own."""

import json
import multiprocessing
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import resume
from benchmarks.parts import made_up_rows, trace_of
from benchmarks.peers.environments import PEERS
from benchmarks.peers.running import measured, run
from benchmarks.peers.worlds import World
from generator.corpus import Ledger
from shared.shard_writer import ShardWriter

Point = dict[str, float]
ROWS = 2000  # that are added to a corpus of so many
STREAM_TOKENS = 600  # of an answer: twenty seconds at 30 tokens/s
SHARD_MEGABYTES = 64


def in_a_child(work: Callable[..., object], *arguments: object) -> None:
    """Run it in a new process: a peak of memory is inherited by what is started later. Errors:
    `RuntimeError`.
    """
    child = multiprocessing.get_context("spawn").Process(target=work, args=arguments)
    child.start()
    child.join()
    if child.exitcode:
        raise RuntimeError(f"{work.__name__} ended with {child.exitcode}")


def screening(folder: Path, size: int) -> Point:
    """`generator screen` of a JSONL file that was never seen."""
    problems = folder / "problems.jsonl"
    in_a_child(resume.write_problems, problems, size)
    config = folder / "config.toml"
    config.write_text(resume.CONFIG.format(corpus=folder / "corpus", problems=problems))
    measures = measured([sys.executable, "-m", "generator", "screen", str(config)], folder, None)
    _must_be_whole(measures.note)
    return {
        "wall_seconds": measures.wall_seconds,
        "cpu_seconds": measures.cpu_seconds,
        "megabytes": measures.peak_megabytes,
    }


def settling(folder: Path, size: int) -> Point:
    """Which of so many problems are duplicates, by their records."""
    words = [sys.executable, "-m", "benchmarks.growth.settling", str(size), str(folder / "index")]
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(done.stdout))


def starting(folder: Path, size: int) -> Point:
    """A run that finds all of them finished; the place before which that is so is noted, as it is
    by every run that came through.
    """
    in_a_child(resume.build, folder, size)
    config = folder / f"config-{size}.toml"
    words = [sys.executable, "-m", "generator", "run", str(config)]
    _must_be_whole(measured(words, folder, None).note)  # screens the file, notes the place
    measures = measured(words, folder, None)
    _must_be_whole(measures.note)
    ledger = sum(file.stat().st_size for file in (folder / f"corpus-{size}").glob("ledger*"))
    return {
        "wall_seconds": measures.wall_seconds,
        "cpu_seconds": measures.cpu_seconds,
        "megabytes": measures.peak_megabytes,
        "ledger_bytes": ledger / size,
    }


def storing(folder: Path, size: int) -> Point:
    """One more trace, in the shard and in a ledger of so many samples."""
    in_a_child(resume.build, folder, size)
    corpus = folder / f"corpus-{size}"
    texts = made_up_rows()
    traces = [trace_of(texts[number % len(texts)], number + 1) for number in range(ROWS)]
    writer = ShardWriter(corpus, "traces", ROWS + 1, SHARD_MEGABYTES)
    began = time.process_time()
    positions = [writer.append(trace.to_line()) for trace in traces]
    shard_seconds = time.process_time() - began
    writer.close()
    ledger = Ledger(corpus / "ledger.sqlite")
    began = time.process_time()
    for trace, position in zip(traces, positions, strict=True):
        ledger.add_sample(trace, position)
    ledger.commit()
    ledger_seconds = time.process_time() - began
    ledger.close()
    return {
        "ledger_microseconds": 1e6 * ledger_seconds / ROWS,
        "shard_microseconds": 1e6 * shard_seconds / ROWS,
    }


def streaming(folder: Path, size: int) -> Point:
    """A whole run of so many streams, two answers each."""
    world = World(
        "growth",
        "streams at once",
        rows=2 * size,
        streams=size,
        tokens=STREAM_TOKENS,
        rate=30.0,
        latency=0.2,
    )
    account = run(PEERS[0], world, 0, folder / "run")
    _must_be_whole(account.note)
    return {
        "cpu_milliseconds_a_call": 1000 * account.cpu / account.calls,
        "chunks_a_cpu_second": account.chunks_a_cpu_second,
        "megabytes": account.megabytes,
        "peak_in_flight": account.peak_in_flight,
        "server_busiest": account.server_busiest,
    }


def _must_be_whole(note: str) -> None:
    if note:
        raise SystemExit(f"error: the run {note}")
