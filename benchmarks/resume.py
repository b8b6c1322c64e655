"""How a run starts on a corpus with a million finished samples: seconds until it has seen that
nothing is left, memory.

    python -m benchmarks.resume [--samples 1000000]

The problems are a JSONL file; each has one finished sample in the ledger. The first run also
screens the file, the second one is what a user waits for at every later start. A run on an empty
corpus is beside them: what Python and the libraries take by themselves.
"""

import argparse
import json
import multiprocessing
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from generator.corpus import Ledger
from shared.records import problem_id

CONFIG = """
corpus = "{corpus}"
[problems]
source = "{problems}"
answer_field = "answer"
[[lane]]
name = "nowhere"
base_url = "http://127.0.0.1:9/v1"
model = "none"
concurrency = 1000
[daemon]
port = 0
"""


def build(folder: Path, samples: int) -> Path:
    """A problem file and a corpus in which every problem has its one sample. Returns the
    configuration.
    """
    problems, corpus = folder / f"problems-{samples}.jsonl", folder / f"corpus-{samples}"
    corpus.mkdir()
    write_problems(problems, samples)
    Ledger(corpus / "ledger.sqlite").close()
    with sqlite3.connect(corpus / "ledger.sqlite") as ledger:
        ledger.execute("PRAGMA synchronous = OFF")
        ledger.executemany(
            "INSERT INTO samples VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)", sorted(_rows(samples))
        )
        ledger.executemany(
            "INSERT INTO shards VALUES (0, ?)", ((number,) for number in range(samples // 2000))
        )
    ledger.close()
    config = folder / f"config-{samples}.toml"
    config.write_text(CONFIG.format(corpus=corpus, problems=problems))
    return config


def write_problems(path: Path, count: int) -> None:
    """So many problems as JSON Lines."""
    with path.open("w") as lines:
        for number in range(count):
            lines.write(json.dumps({"problem": _text(number), "answer": str(number % 97)}) + "\n")


def _text(number: int) -> str:
    return (
        f"A mill grinds {number} sacks on Monday and {number * 7 % 1000} on Tuesday. How many sacks"
        " does it grind?"
    )


def _rows(samples: int) -> Iterator[tuple[object, ...]]:
    for number in range(samples):
        where = (0, number // 2000, number % 2000 * 30_000, 30_000)
        rest = ("correct", "stop", "lane", 1, 100, 8000, 0.0, "2026-01-01T00:00:00.000+00:00")
        yield (problem_id(_text(number)), 0, *where, *rest)


def start(config: Path) -> tuple[float, float, float]:
    """(seconds, CPU seconds, peak MB) of a run that finds nothing to do."""
    begun = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-m", "generator", "run", str(config)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        said = process.stdout.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode or "no call was made" not in said:
        raise SystemExit(f"exit {process.returncode}: {said}")
    return time.perf_counter() - begun, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m benchmarks.resume", description=__doc__)
    parser.add_argument("--samples", type=int, default=1_000_000)
    args = parser.parse_args(argv)
    print(f"{'start':<34}{'s':>8}{'CPU s':>8}{'MB':>7}")
    with tempfile.TemporaryDirectory() as name:
        for samples in (10, args.samples):
            config = Path(name) / f"config-{samples}.toml"
            # In a process of its own: what is started later inherits the peak of this one.
            child = multiprocessing.get_context("spawn").Process(
                target=build, args=(Path(name), samples)
            )
            child.start()
            child.join()
            for which in ("first", "later"):
                seconds, cpu, megabytes = start(config)
                print(
                    f"{f'{samples:,} finished samples, {which}':<34}{seconds:>8.1f}{cpu:>8.1f}{megabytes:>7.0f}"
                )
            size = sum(file.stat().st_size for file in Path(name).glob(f"corpus-{samples}/ledger*"))
            print(f"  ledger: {size / 1e6:,.0f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
