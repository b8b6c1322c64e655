"""Is a quota spent where the student is weak spent better? One round, measured, with the ordinary
programs.

    make demo && .venv/generator/bin/python -m benchmarks.weak_round          # about 20 minutes on two cores

The demo's student failed some of its 100 held-out problems. `python -m evaluation weak` takes their
nearest neighbours from a pool of fresh problems; a control takes as many of the pool at random.
Both are answered by the rehearsal teacher, the demo's student is trained on each a little further,
and all three answer 300 problems nobody has seen.
"""

import argparse
import json
import random
import subprocess
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from generator.problems import synthetic
from shared.records import problem_id, read_traces

KIND, POOL_SEED, JUDGE_SEED = "first-steps", 77, 1_000_003
POOL, JUDGED = 6000, 300


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, default=Path("runs/weak-round"))
    parser.add_argument("--neighbours", type=int, default=16, help="of each failed problem")
    given = parser.parse_args()
    work: Path = given.work
    work.mkdir(parents=True, exist_ok=True)
    known = {trace.problem_id for trace in read_traces("data/demo")}
    pool = list(islice(fresh(POOL_SEED, known), POOL))
    known |= {problem_id(row["problem"]) for row in pool}
    write(work / "pool.jsonl", pool)
    write(work / "judge.jsonl", list(islice(fresh(JUDGE_SEED, known), JUDGED)))
    run(
        "evaluation",
        "weak",
        "runs/demo/evaluation",
        "--source",
        f"{work}/pool.jsonl",
        "--neighbours",
        str(given.neighbours),
        "--out",
        f"{work}/weak.jsonl",
    )
    count = len((work / "weak.jsonl").read_text().splitlines())
    write(work / "random.jsonl", random.Random(0).sample(pool, count))
    for arm in ("weak", "random"):
        teach(arm, work)
    models = ["runs/demo/merged", *(f"{work}/{arm}-run/merged" for arm in ("weak", "random"))]
    run(
        "evaluation",
        "run",
        "configs/demo-evaluate.toml",
        *sets(
            models=models,
            benchmarks=[f"{work}/judge.jsonl"],
            limit=0,
            out=f"{work}/evaluation",
            **{"generation.max_new_tokens": 128},
        ),
    )
    print(f"{count} problems each; {work}/evaluation/report.html")


def fresh(seed: int, known: set[str]) -> Iterator[dict[str, str]]:
    """Problems that are not among `known` ids, each once."""
    seen = set(known)
    for text, gold in synthetic.problems(seed, KIND):
        if (key := problem_id(text)) not in seen:
            seen.add(key)
            yield {"problem": text, "answer": str(gold)}


def teach(arm: str, work: Path) -> None:
    """Traces for one arm's problems, and the demo's student trained further on them."""
    corpus, source = f"{work}/{arm}-traces", f"{work}/{arm}.jsonl"
    limit = len(Path(source).read_text().splitlines())
    run(
        "generator",
        "run",
        "configs/demo-generate.toml",
        *sets(
            corpus=corpus,
            **{"problems.source": source, "problems.limit": limit},
        ),
    )
    run(
        "trainer",
        "run",
        "configs/demo-train.toml",
        *sets(
            model="runs/demo/merged",
            run=f"{work}/{arm}-run",
            corpora=[corpus],
            **{
                "train.epochs": 1,
                "train.holdout": 0.0,
                "train.learning_rate": 5e-4,
                "probe.problems": 0,
            },
        ),
    )


def sets(**values: object) -> list[str]:
    return [
        part for key, value in values.items() for part in ("--set", f"{key}={json.dumps(value)}")
    ]


def run(program: str, *words: str) -> None:
    """One program in its own environment; it speaks for itself."""
    subprocess.run([f".venv/{program}/bin/python", "-m", program, *words], check=True)


def write(path: Path, rows: list[dict[str, str]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


if __name__ == "__main__":
    main()
