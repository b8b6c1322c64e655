"""What grading costs: responses graded in a CPU-second, the share that the fast path decides, plain
math-verify beside.

    python -m benchmarks.grading [--rows FILE.jsonl]...

Without files: whole traces whose answers are like GSM8K's and like MATH's (`made_up_answers`), and
the project's own cases, each behind a page of working: those are the hard ones. FILE: rows with
`response` (or `prediction`), `gold` (or `answer`) and, optionally, `expected` (a verdict) or
`auto_correct` (true or false), against which the verdicts of both are counted. Every grader runs in
a fresh process; the CPU time of its workers, their start included, counts too.
"""

import argparse
import json
import resource
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.made_up_answers import MadeUpAnswer, gsm8k_like, math_like

CASES = Path(__file__).resolve().parents[1] / "tests" / "shared" / "grading" / "grading_cases.jsonl"
WORKING = "We add \\frac{1}{2} of $18 to 3 × 4 and get **21** for step (a).\n\n" * 30
ROUNDS = 3
MADE_UP_ROWS = 6_000
MATH_VERIFY_ROWS = 600  # at the most: it takes a hundred times as long


@dataclass(frozen=True, slots=True)
class Row:
    """One response to grade; `expected` is whether it is correct, None where nobody said."""

    response: str
    gold: str
    problem: str | None
    expected: bool | None


@dataclass(frozen=True, slots=True)
class Measured:
    """One grader's run over all rows; `asked` counts the rows that needed a worker."""

    graded: int
    cpu_seconds: float
    asked: int
    agreed: int
    judged: int  # rows with an expected verdict


def read_rows(path: Path, working: str = "") -> list[Row]:
    """The rows of a file that have a gold answer."""
    rows = []
    for line in path.read_text("utf-8").splitlines():
        row: dict[str, Any] = json.loads(line)
        gold = row.get("gold") or row.get("answer")
        expected = row.get("auto_correct")
        if "expected" in row:
            expected = row["expected"] == "correct"
        if gold:
            response = working + (row["response"] if "response" in row else row["prediction"])
            rows.append(Row(response, gold, row.get("problem") or row.get("question"), expected))
    return rows


def own_cases() -> list[Row]:
    """The project's table of hard ones."""
    return read_rows(CASES, WORKING) * ROUNDS


def made_up_rows(answer: Callable[[int], MadeUpAnswer]) -> list[Row]:
    """As many traces of one kind as are needed to forget a worker's start."""
    answers = map(answer, range(MADE_UP_ROWS))
    return [Row(each.response, each.gold, each.problem, each.is_right) for each in answers]


OWN_ROWS: dict[str, Callable[[], list[Row]]] = {
    "GSM8K-like": lambda: made_up_rows(gsm8k_like),
    "MATH-like": lambda: made_up_rows(math_like),
    "own cases": own_cases,
}


def with_ours(rows: list[Row]) -> tuple[list[bool], int]:
    """(correct or not for each row, how many a worker had to decide)."""
    from shared.grading import grade, grade_fast

    asked = 0
    verdicts = []
    for row in rows:
        verdict, request = grade_fast(row.response, row.gold, row.problem)
        if request is not None:
            asked += 1
            verdict = grade(row.response, row.gold, row.problem)
        verdicts.append(verdict.verdict == "correct")
    return verdicts, asked


def with_math_verify(rows: list[Row]) -> tuple[list[bool], int]:
    """math-verify as its page advises: both sides parsed and verified, its own time limits on."""
    import logging

    import math_verify

    logging.disable(logging.CRITICAL)
    verdicts = []
    for row in rows:
        answer = math_verify.parse(row.response.rpartition("</think>")[2])
        gold = math_verify.parse(f"\\boxed{{{row.gold}}}")
        verdicts.append(bool(math_verify.verify(gold, answer)))
    return verdicts, 0


GRADERS: dict[str, Callable[[list[Row]], tuple[list[bool], int]]] = {
    "stillhouse": with_ours,
    "math-verify": with_math_verify,
}


def measure(name: str, rows: list[Row]) -> Measured:
    """CPU seconds of this process and its ended children over the rows, imports warmed up by
    the first row.
    """
    grader = GRADERS[name]
    if name == "math-verify":
        rows = rows[:MATH_VERIFY_ROWS]
    grader(rows[:1])
    before = cpu_seconds()
    verdicts, asked = grader(rows)
    if name == "stillhouse":
        from shared.grading import worker_pool

        worker_pool.stop()  # a child's CPU time is counted once it has ended
    cpu = cpu_seconds() - before
    judged = [
        (row.expected, verdict)
        for row, verdict in zip(rows, verdicts, strict=True)
        if row.expected is not None
    ]
    return Measured(
        len(rows), cpu, asked, sum(expected == verdict for expected, verdict in judged), len(judged)
    )


def cpu_seconds() -> float:
    """Of this process and its ended children."""
    usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def measured_apart(name: str, rows: str) -> Measured:
    """`rows`: a key of `OWN_ROWS`, or a file."""
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.grading", "--as-json"]
    command += ["--only", name, "--rows", rows]
    ran = subprocess.run(command, check=True, capture_output=True, text=True)
    return Measured(**json.loads(ran.stdout))


def main() -> None:
    """Print one table: rows, grader, graded a CPU-second, share decided at once, agreement with
    the expected.
    """
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--rows",
        action="append",
        default=[],
        metavar="FILE",
        help=f"JSON lines to grade, or one of {', '.join(OWN_ROWS)} (may be repeated)",
    )
    parser.add_argument("--only", choices=sorted(GRADERS), help="this grader alone")
    parser.add_argument("--as-json", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.as_json:
        (name,) = args.rows
        rows = OWN_ROWS[name]() if name in OWN_ROWS else read_rows(Path(name))
        print(json.dumps(asdict(measure(args.only, rows))))
        return
    print(f"{'rows':<34}{'grader':<14}{'graded/CPU s':>13}{'at once':>10}{'agree':>14}")
    for name in args.rows or OWN_ROWS:
        for grader in [args.only] if args.only else GRADERS:
            print(table_row(Path(name).name, grader, measured_apart(grader, name)), flush=True)


def table_row(label: str, grader: str, figures: Measured) -> str:
    """One line of the table."""
    rate = figures.graded / max(figures.cpu_seconds, 1e-9)
    at_once = f"{1 - figures.asked / figures.graded:.1%}" if grader == "stillhouse" else "-"
    agree = f"{figures.agreed} of {figures.judged}" if figures.judged else "-"
    return f"{label:<34}{grader:<14}{rate:>13,.0f}{at_once:>10}{agree:>14}"


if __name__ == "__main__":
    main()
