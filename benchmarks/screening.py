"""Screening at scale: two million problems; and recall and false alarms on real data where a folder
of it is given.

    python -m benchmarks.screening [--problems 2000000] [--data FOLDER]

FOLDER holds gsm8k/train.jsonl, gsm8k/test.jsonl, math500/test.jsonl, math_train/math_train.jsonl,
aime/aime24.jsonl. Rates are problems a CPU-second of one process; memory is the peak of that
process.
"""

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from benchmarks.disguise import disguise
from benchmarks.made_up import made_up
from generator.config import ProblemsConfig, ScreeningConfig
from generator.intake import Intake
from generator.problems.evaluation_sets import evaluation_texts
from generator.screening.duplicates import DuplicateIndex
from shared.contamination import EvaluationIndex
from shared.contamination.text import tokens
from shared.records import Problem

SETS = ("gsm8k:test", "MATH-500", "aime24")
# made-up problems; the others are these with other numbers and a word of their own, as a Feistel of
# sorts
BASE = 40_000


def many(count: int) -> Iterator[Problem]:
    """`count` problems, one in fifty a duplicate of the one before it in other letters and
    spaces, quickly.
    """
    base = [made_up("training", number) for number in range(min(BASE, count))]
    text = ""
    for number in range(count):
        turn, at = divmod(number, len(base))
        copy = number % 50 == 49
        text = (
            f"  {text.upper()} "
            if copy
            else base[at]
            if turn == 0
            else f"{base[at]} Take round {turn} of {number}."
        )
        yield Problem.of(text, str(number - copy), "made up")


def one_stage(stage: str, count: int) -> None:
    """In a process of its own: one stage over `count` problems; prints a JSON line."""
    evaluation = EvaluationIndex({"made up": [made_up("evaluation", n) for n in range(2000)]})
    problems, spent, done, left_out = many(count), 0.0, 0, 0
    with tempfile.TemporaryDirectory() as folder:
        index = DuplicateIndex(Path(folder), 0.85 if stage == "near" else 0.0)
        while batch := list(islice(problems, 2048)):
            start = time.process_time()
            found = [tokens(problem.text) for problem in batch]
            if stage == "copies":
                for problem, mine in zip(batch, found, strict=True):
                    evaluation.find(problem.text, mine)
            else:
                index.add(batch, found)
            spent += time.process_time() - start
            done += len(batch)
        start = time.process_time()
        if stage != "copies":
            duplicates = index.settle()
            left_out = len(duplicates.losers) + duplicates.repeated_rows
        settle = time.process_time() - start
        disk = sum(path.stat().st_size for path in Path(folder).iterdir())
        index.close()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        json.dumps(
            {
                "rate": done / (spent + settle),
                "settle": settle,
                "mb": peak,
                "disk": disk / 1e6,
                "out": left_out,
            }
        )
    )


def libraries(count: int) -> Iterator[tuple[str, float]]:
    """(name, problems a CPU-second) of near-duplicate search as the libraries offer it, all in
    memory.
    """
    problems = list(many(count))

    def shingles() -> list[list[str]]:
        found = [tokens(problem.text) for problem in problems]
        return [
            [" ".join(mine[at : at + 3]) for at in range(max(1, len(mine) - 2))] for mine in found
        ]

    def with_rensa() -> None:
        from rensa import RMinHash, RMinHashLSH

        lsh = RMinHashLSH(threshold=0.85, num_perm=128, num_bands=16)
        for number, signature in enumerate(
            RMinHash.from_token_sets(shingles(), num_perm=128, seed=1)
        ):
            lsh.query(signature)
            lsh.insert(number, signature)

    def with_datasketch() -> None:
        from datasketch import MinHash, MinHashLSH

        lsh = MinHashLSH(threshold=0.85, num_perm=128)
        for number, mine in enumerate(shingles()):
            signature = MinHash(num_perm=128)
            signature.update_batch([shingle.encode() for shingle in mine])
            lsh.query(signature)
            lsh.insert(number, signature)

    for name, work in (
        ("rensa, its own LSH", with_rensa),
        ("datasketch, its own LSH", with_datasketch),
    ):
        yield name, count / _seconds(work)


def _seconds(work: Callable[[], None]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def scale(count: int) -> None:
    names = ("problems", "a CPU-second", "settle s", "peak MB", "disk MB", "left out")
    print(f"\n{'stage':28}" + "".join(f"{name:>14}" for name in names))
    for stage in ("exact", "near", "copies"):
        command = [
            sys.executable,
            "-m",
            "benchmarks.screening",
            "--stage",
            stage,
            "--problems",
            str(count),
        ]
        row = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        values = (
            f"{row['rate']:,.0f}",
            f"{row['settle']:.1f}",
            f"{row['mb']:.0f}",
            f"{row['disk']:.0f}",
            f"{row['out']:,}",
        )
        print(f"{stage:28}{count:>14,}" + "".join(f"{value:>14}" for value in values))
    sample = min(count, 10_000)
    for name, rate in libraries(sample):
        print(f"{name:28}{sample:>14,}{rate:>14,.0f}")


def real(data: str) -> None:
    sets = {name: evaluation_texts(name, data) for name in SETS}
    index = EvaluationIndex(sets)
    print(f"\nfound of disguised problems {'':8}" + "".join(f"{name:>14}" for name in sets))
    for seed in range(5):
        found = [
            sum(is_copy(index, disguise(text, 7919 * seed + n)) for n, text in enumerate(texts))
            for texts in sets.values()
        ]
        print(
            f"  disguise {seed}{'':24}"
            + "".join(f"{n:>7} of {len(t):>4}" for n, t in zip(found, sets.values(), strict=True))
        )
    hide(data, sets)
    print("\nflagged as copies:  GSM8K train and MATH train against all three")
    for name in ("gsm8k/train.jsonl", "math_train/math_train.jsonl"):
        texts = evaluation_texts(str(Path(data) / name))
        findings = [index.find(text) for text in texts]
        copies = sum(bool(f.hit and f.hit.contaminated) for f in findings)
        others = sum(bool(f.hit and not f.hit.contaminated) for f in findings)
        print(
            f"  {name:30}{copies:>5} of {len(texts)} ({copies / len(texts):.2%}); other numbers"
            f" {others}; sharing one 8-gram {sum(f.shares_8 for f in findings)}, one 13-gram"
            f" {sum(f.shares_13 for f in findings)}"
        )


def is_copy(index: EvaluationIndex, text: str) -> bool:
    hit = index.find(text).hit
    return hit is not None and hit.contaminated


def hide(data: str, sets: dict[str, list[str]]) -> None:
    """GSM8K test and MATH-500, disguised, among 20,000 others, through the whole intake."""
    hidden = [disguise(text, n) for n, text in enumerate([*sets["gsm8k:test"], *sets["MATH-500"]])]
    others = evaluation_texts(str(Path(data) / "gsm8k/train.jsonl")) + evaluation_texts(
        str(Path(data) / "math_train")
    )
    others += [made_up("training", n) for n in range(20_000 - len(others))]
    rows = [(text, True) for text in hidden] + [(text, False) for text in others]
    random.Random(0).shuffle(rows)
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "mixed.jsonl"
        source.write_text(
            "".join(json.dumps({"problem": text, "answer": "1"}) + "\n" for text, _ in rows)
        )
        config = ProblemsConfig(source=str(source), exclude=SETS)
        start = time.process_time()
        passed = {
            p.text
            for p in Intake(config, ScreeningConfig(data=data), Path(folder) / "corpus").open()
        }
        spent = time.process_time() - start
    missed = sum(text in passed for text, copy in rows if copy)
    print(
        f"\nhidden {len(hidden)} among {len(others)}: {len(hidden) - missed} found"
        f" ({1 - missed / len(hidden):.2%}), whole intake {len(rows) / spent:,.0f} problems a"
        " CPU-second"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--problems", type=int, default=200_000)
    parser.add_argument("--data", default="")
    parser.add_argument("--stage", default="", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.stage:
        one_stage(options.stage, options.problems)
        return
    if options.data:
        real(options.data)
    scale(options.problems)


if __name__ == "__main__":
    main()
