"""What grading costs: responses graded in a CPU-second, the share that the fast path decides, plain
math-verify beside.

    python -m benchmarks.grading [--rows FILE.jsonl]...

Without files the project's own cases are graded, each behind a page of working. FILE: rows with
`response` (or `prediction`), `gold` (or `answer`) and, optionally, `expected` (a verdict) or
`auto_correct` (true or false), against which the verdicts of both are counted. Every grader runs in
a fresh process; the CPU time of its workers counts too.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

CASES = Path(__file__).resolve().parents[1] / "tests" / "shared" / "grading" / "grading_cases.jsonl"
WORKING = "We add \\frac{1}{2} of $18 to 3 × 4 and get **21** for step (a).\n\n" * 30
ROUNDS = 3


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
    grader(rows[:1])
    before = os.times()
    verdicts, asked = grader(rows)
    if name == "stillhouse":
        from shared.grading import worker_pool

        worker_pool.stop()  # a child's CPU time is counted once it has ended
    after = os.times()
    cpu = sum(
        getattr(after, key) - getattr(before, key)
        for key in ("user", "system", "children_user", "children_system")
    )
    judged = [
        (row.expected, verdict)
        for row, verdict in zip(rows, verdicts, strict=True)
        if row.expected is not None
    ]
    return Measured(
        len(rows), cpu, asked, sum(expected == verdict for expected, verdict in judged), len(judged)
    )


def measured_apart(name: str, path: Path | None) -> Measured:
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.grading", "--only", name]
    command += ["--rows", str(path)] if path else []
    ran = subprocess.run(command, check=True, capture_output=True, text=True)
    return Measured(**json.loads(ran.stdout))


def main() -> None:
    """Print one table: rows, grader, graded a CPU-second, share decided at once, agreement with
    the expected.
    """
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--rows",
        type=Path,
        action="append",
        default=[],
        help="JSON lines to grade (may be repeated)",
    )
    parser.add_argument("--only", choices=sorted(GRADERS), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.only:
        rows = [row for path in given.rows for row in read_rows(path)] or read_rows(
            CASES, WORKING
        ) * ROUNDS
        print(json.dumps(asdict(measure(given.only, rows))))
        return
    print(f"{'rows':<34}{'grader':<14}{'graded/CPU s':>13}{'at once':>10}{'agree':>14}")
    for path in given.rows or [None]:
        for name in GRADERS:
            found = measured_apart(name, path)
            rate = found.graded / max(found.cpu_seconds, 1e-9)
            at_once = f"{1 - found.asked / found.graded:.1%}" if name == "stillhouse" else "-"
            agree = f"{found.agreed} of {found.judged}" if found.judged else "-"
            label = path.name if path else "own cases"
            print(f"{label:<34}{name:<14}{rate:>13,.0f}{at_once:>10}{agree:>14}")


if __name__ == "__main__":
    main()
