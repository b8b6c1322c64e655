"""The demo on a corpus made elsewhere: OpenR1-Math's shape imported, trained on, evaluated.

    make demo && .venv/generator/bin/python -m benchmarks.imported_demo        # about 12 minutes more on two idle cores
    .venv/generator/bin/python -m benchmarks.imported_demo --arms add-box,leave-out   # and what a box is worth

The demo's traces, wrong ones among them, are written as OpenR1-Math writes them; every ninth answer
loses its box, as 61 of 554 real ones of R1 had none. `python -m generator import` makes a corpus of
them, which is trained on and judged with the demo's settings.
"""

import argparse
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.weak_round import run, sets, write
from shared import thinking
from shared.records import Trace, read_traces
from shared.shards import sealed_files

UNBOXED_EVERY = 9
BOX = re.compile(r"\\boxed\{([^{}]*)\}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--demo", type=Path, default=Path("data/demo"))
    parser.add_argument("--model", default=".cache/models/smollm2-135m")
    parser.add_argument("--work", type=Path, default=Path("runs/imported-demo"))
    parser.add_argument("--arms", default="add-box", help="of data.unboxed, one training each")
    parser.add_argument("--limit", type=int, default=100, help="held-out problems asked")
    parser.add_argument("--max-steps", type=int, default=0, help="0: as the demo")
    given = parser.parse_args()
    work: Path = given.work
    work.mkdir(parents=True, exist_ok=True)
    corpus = f"{work}/corpus"
    if not Path(corpus).exists():
        write(work / "openr1.jsonl", list(openr1_rows(given.demo)))
        run("generator", "import", f"{work}/openr1.jsonl", corpus, "--model", "rehearsal-brief")
    arms = given.arms.split(",")
    for arm in arms:
        keys = {"data.unboxed": arm, "train.max_steps": given.max_steps}
        tables = sets(model=given.model, run=f"{work}/{arm}", corpora=[corpus], **keys)
        run("trainer", "run", "configs/demo-train.toml", *tables)
    models = [given.model, *(f"{work}/{arm}/merged" for arm in arms)]
    evaluation = sets(
        models=models,
        benchmarks=[f"held-out:{corpus}"],
        limit=given.limit,
        out=f"{work}/evaluation",
    )
    run("evaluation", "run", "configs/demo-evaluate.toml", *evaluation)
    print(f"{work}/evaluation/report.html")


def openr1_rows(demo: Path) -> Iterator[dict[str, Any]]:
    """The demo's traces as rows of OpenR1-Math-220k."""
    for number, trace in enumerate(traces_of(demo)):
        response = trace.response
        if number % UNBOXED_EVERY == 0:
            response = BOX.sub(r"\1", response)
        yield {
            "problem": trace.problem,
            "solution": f"The answer is \\boxed{{{trace.gold}}}.",
            "answer": trace.gold,
            "problem_type": "Algebra",
            "source": trace.source,
            "uuid": trace.id,
            "generations": [thinking.join(trace.reasoning, response)],
            "is_reasoning_complete": [True],
            "correctness_math_verify": [trace.verdict == "correct"],
        }


def traces_of(demo: Path) -> Iterator[Trace]:
    """Kept and rejected ones; those that ended without an answer are no rows of a data set."""
    yield from read_traces(str(demo))
    for path in sealed_files(demo, "rejected"):
        for line in path.read_text(encoding="utf-8").splitlines():
            trace = Trace.from_row(json.loads(line))
            if trace.verdict == "incorrect":
                yield trace


if __name__ == "__main__":
    main()
