"""Resident memory of a training process by the number of traces: tokens are in files, not in it.

    .venv/trainer/bin/python -m benchmarks.trainer_memory --traces 10000,100000,1000000

Made-up short traces (a word problem each; 130 drawn tokens, since tokenizing a million is not what
is measured), in files of 10,000 as the trainer writes them. Each row is a process of its own: it
makes the selection (columns, duplicates, cap) and the run's order, then reads the examples of STEPS
steps in that order, as a run does. No model, no torch.
"""

import argparse
import os
import random
import subprocess
import sys
import threading
from array import array
from pathlib import Path

import numpy as np

from shared.contamination import EvaluationIndex
from tests.trainer.corpora import trace
from trainer.data.data_order import run_order
from trainer.data.examples import Tokens
from trainer.data.sieve import Sieve
from trainer.data.token_shards import TokenShard, open_token_shard, write_token_shard
from trainer.data.token_table import TokenTable

A_FILE = 10_000
STEPS = 2000
BATCH = 16


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--traces", default="10000,100000")
    parser.add_argument("--folder", type=Path, default=Path("/tmp/stillhouse-memory"))
    parser.add_argument("--one", type=int, default=0, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        measure(given.folder, given.one)
        return
    print(
        "| traces | MB on disk | MiB at the selection's peak | after it | after 2,000 steps |"
        " tokens read |\n|---:|---:|---:|---:|---:|---:|"
    )
    for count in map(int, given.traces.split(",")):
        subprocess.run(
            [
                *(sys.executable, "-m", "benchmarks.trainer_memory"),
                *("--one", str(count), "--folder", str(given.folder)),
            ],
            check=True,
        )


def measure(folder: Path, count: int) -> None:
    """Print one row."""
    for start in range(0, count, A_FILE):
        write_part(folder, start)
    before = resident()
    sampler = Sampler()
    shards = [opened(folder, start) for start in range(0, count, A_FILE)]
    table = TokenTable(shards, [0] * len(shards))
    sieve = Sieve(table, EvaluationIndex({}))
    sieve.pass_verdicts({"correct"})
    sieve.pass_distinct()
    sieve.pass_sound(4096)
    sieve.pass_cap(4)
    examples = table.examples(sieve.kept)
    order = np.array(run_order([len(examples)], (), 1, 0), dtype=np.int64)
    selected = resident()
    peak = sampler.end()
    tokens = 0
    for place in order[: STEPS * BATCH]:
        tokens += len(examples[int(place)])
    size = sum(shard.path.stat().st_size for shard in shards)
    print(
        f"| {count:,} | {size / 1e6:,.0f} | {peak - before:.0f} | {selected - before:.0f} |"
        f" {resident() - before:.0f} | {tokens:,} |",
        flush=True,
    )


def write_part(folder: Path, start: int) -> None:
    """The file of the traces from `start` on; made once, in a process whose memory is not counted."""
    path = folder / f"{start}.tokens"
    if not path.exists():
        child = os.fork()
        if not child:
            folder.mkdir(parents=True, exist_ok=True)
            rng = random.Random(start)
            traces = (trace(i) for i in range(start, start + A_FILE))
            write_token_shard(
                path,
                ((t, Tokens(array("i", rng.choices(range(500), k=130)), 60)) for t in traces),
            )
            os._exit(0)
        os.waitpid(child, 0)


def opened(folder: Path, start: int) -> TokenShard:
    shard = open_token_shard(folder / f"{start}.tokens")
    assert shard
    return shard


class Sampler(threading.Thread):
    """The most memory of this process, looked at every few milliseconds."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._peak = 0.0
        self._ended = threading.Event()
        self.start()

    def run(self) -> None:
        while not self._ended.wait(0.005):
            self._peak = max(self._peak, resident())

    def end(self) -> float:
        """MiB."""
        self._ended.set()
        self.join()
        return self._peak


def resident() -> float:
    """MiB of this process that are not mapped files."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) / 1024 for line in lines if line.startswith("RssAnon"))


if __name__ == "__main__":
    main()
