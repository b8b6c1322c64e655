"""What two processes gain over one: flags, regrade, export and screen on `local:2`, and a trace's flags.

    python -m benchmarks.parts [--traces 700000] [--problems 1600000] [--runs 3] [--real FILE.jsonl]

FILE has rows of question, gold, reasoning, response (real R1 traces); without it the traces are made
up. The defaults take one process more than a minute each. Medians of `--runs`, one and two
processes in turn; exit code 1 where two are less than 1.6 times as fast, or write something else.
"""

import argparse
import hashlib
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.made_up import made_up
from generator.corpus import reindex
from generator.quality.flags import flags_of
from shared.records import Trace, Usage, problem_id, trace_id
from shared.shard_writer import ShardWriter
from shared.shards import PILES

WANTED = 1.6
SHARD_ROWS = 2000
SHARD_MEGABYTES = 64
LONG_CHARACTERS = 80_000
WRONG_EVERY = 10
ALL = ("flags", "regrade", "export", "screen")

CONFIG = """
corpus = "{corpus}"
[problems]
source = "{source}"
[[lane]]
name = "none"
base_url = "http://127.0.0.1:9/v1"
model = "none"
"""


@dataclass(frozen=True, slots=True)
class Row:
    """A recorded answer."""

    question: str
    gold: str
    reasoning: str
    response: str


def main() -> int:
    """Measure everything; the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--traces", type=int, default=700_000)
    parser.add_argument("--problems", type=int, default=1_600_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--real", type=Path)
    parser.add_argument("--only", nargs="*", default=ALL, choices=ALL)
    args = parser.parse_args()
    rows = read_rows(args.real) if args.real else made_up_rows()
    measure_flags(rows)
    with tempfile.TemporaryDirectory(prefix="parts-") as name:
        folder = Path(name)
        if set(args.only) - {"screen"}:
            write_corpus(folder / "corpus", rows, args.traces)
        if "screen" in args.only:
            write_problems(folder / "problems.jsonl", args.problems)
        print(f"{'command':<10}{'one, s':>10}{'two, s':>10}{'times':>8}  same files")
        good = [measure(name, folder, args.runs) for name in args.only]
    return int(not all(good))


def measure(name: str, folder: Path, runs: int) -> bool:
    """One line of the table; whether it is as wanted."""
    seconds: dict[int, list[float]] = {1: [], 2: []}
    digests = set()
    for _ in range(runs):
        for processes in (1, 2):
            out = folder / "out"
            command, result = COMMANDS[name](folder, out, processes)
            began = time.monotonic()
            subprocess.run(command, check=True, capture_output=True)
            seconds[processes].append(time.monotonic() - began)
            digests.add(digest(result))
            remove(out)
    one, two = (statistics.median(seconds[processes]) for processes in (1, 2))
    is_same = len(digests) == 1
    print(f"{name:<10}{one:>10.1f}{two:>10.1f}{one / two:>8.2f}  {is_same}", flush=True)
    return is_same and one / two >= WANTED


def rewrite(name: str) -> Callable[[Path, Path, int], tuple[list[str], list[Path]]]:
    """`flags` or `regrade`: the shards that come out are compared."""

    def command(folder: Path, out: Path, processes: int) -> tuple[list[str], list[Path]]:
        words = [name, folder / "corpus", out, "--on", f"local:{processes}"]
        return generator(*words), [out / pile for pile in PILES]

    return command


def export(folder: Path, out: Path, processes: int) -> tuple[list[str], list[Path]]:
    """To Parquet; one process is the command as it is without `--on`."""
    words: list[object] = ["export", folder / "corpus", out / "rows.parquet"]
    if processes > 1:
        words += ["--on", f"local:{processes}"]
    return generator(*words), [out]


def screen(folder: Path, out: Path, processes: int) -> tuple[list[str], list[Path]]:
    """One process is the command as it is without `--parts`."""
    config = folder / "config.toml"
    config.write_text(CONFIG.format(corpus=out, source=folder / "problems.jsonl"))
    words: list[object] = ["screen", config]
    if processes > 1:
        words += ["--parts", 16, "--on", f"local:{processes}"]
    return generator(*words), [out / "screening"]


COMMANDS = {
    "flags": rewrite("flags"),
    "regrade": rewrite("regrade"),
    "export": export,
    "screen": screen,
}


def measure_flags(rows: list[Row]) -> None:
    """CPU a trace, for traces as they are and for long ones."""
    for characters in (0, LONG_CHARACTERS):
        traces = [trace_of(row, 0) for row in rows[:300]]
        if characters:
            text = "\n\n".join(row.reasoning for row in rows)
            text *= 1 + 2 * characters // len(text)
            traces = [
                replace(one, reasoning=text[number * 97 :][:characters])
                for number, one in enumerate(traces)
            ]
        began = time.process_time()
        for one in traces:
            flags_of(one)
        milliseconds = 1000 * (time.process_time() - began) / len(traces)
        mean = sum(len(one.reasoning) for one in traces) / len(traces)
        print(f"flags of a trace of {mean:,.0f} characters: {milliseconds:.3f} ms of CPU")


def read_rows(path: Path) -> list[Row]:
    """Recorded answers."""
    with path.open() as lines:
        rows = [json.loads(line) for line in lines]
    return [Row(row["question"], row["gold"], row["reasoning"], row["response"]) for row in rows]


def made_up_rows() -> list[Row]:
    """Answers to made-up problems that talk as long as R1 does."""
    rows = []
    for number in range(500):
        question = made_up("training", number)
        steps = [made_up("training", 1000 * number + step) for step in range(20)]
        reasoning = f"Okay. {' So '.join(steps)} That gives {number}."
        rows.append(Row(question, str(number), reasoning, f"It is \\boxed{{{number}}}."))
    return rows


def write_corpus(corpus: Path, rows: list[Row], count: int) -> None:
    """A corpus of so many traces, one in ten with a wrong verdict."""
    writers = {pile: ShardWriter(corpus, pile, SHARD_ROWS, SHARD_MEGABYTES) for pile in PILES}
    for number in range(count):
        other = rows[(7 * number + 1) % len(rows)]
        trace = trace_of(rows[number % len(rows)], number, f"\n\n{other.reasoning}")
        writer = writers["traces" if trace.kept else "rejected"]
        writer.append(trace.to_line())
        if writer.full:
            writer.seal()
    for writer in writers.values():
        writer.seal()
    reindex(corpus, lambda lane: lane)


def trace_of(row: Row, number: int, more_reasoning: str = "") -> Trace:
    """The trace number `number`, whose answer is that of a row."""
    problem = f"{row.question} (case {number})" if number else row.question
    identity = problem_id(problem)
    return Trace(
        id=trace_id(identity, 0),
        problem_id=identity,
        sample=0,
        source="benchmark",
        problem=problem,
        gold=row.gold,
        messages=[{"role": "user", "content": problem}],
        reasoning=row.reasoning + more_reasoning,
        response=row.response,
        final_answer=row.gold,
        verdict="incorrect" if number % WRONG_EVERY == 1 else "correct",
        reason="an old grader",
        checked_by="exact",
        finish_reason="stop",
        lane="lane",
        model="model",
        model_returned="model",
        params={},
        usage=Usage(100, len(row.reasoning) // 4, 0),
        cost_usd=0.001,
        timing={"first_token_seconds": 1.0, "total_seconds": 2.0},
        attempts=1,
        started_at="2026-01-01T00:00:00.000+00:00",
        finished_at="2026-01-01T00:00:02.000+00:00",
    )


def write_problems(path: Path, count: int) -> None:
    """So many problems, one in fifty a duplicate in other letters."""
    base = [made_up("training", number) for number in range(min(40_000, count))]
    with path.open("w") as file:
        for number in range(count):
            text = f"{base[number % len(base)]} Take case {number}."
            if number % 50 == 49:
                text = text.replace(str(number), str(number - 1)).upper()
            file.write(json.dumps({"problem": text, "answer": str(number)}) + "\n")


def digest(places: list[Path]) -> str:
    """Of all files in some folders, locks aside."""
    total = hashlib.sha256()
    for path in files_in(places):
        with path.open("rb") as file:
            total.update(hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()


def files_in(places: list[Path]) -> Iterator[Path]:
    """In order."""
    for place in places:
        yield from sorted(
            path for path in place.rglob("*") if path.is_file() and path.name != ".lock"
        )


def remove(folder: Path) -> None:
    """What a run left."""
    shutil.rmtree(folder, ignore_errors=True)


def generator(*words: object) -> list[str]:
    """A command of the generator."""
    return [sys.executable, "-m", "generator", *map(str, words)]


if __name__ == "__main__":
    sys.exit(main())
