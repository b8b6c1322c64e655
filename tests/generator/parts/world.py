"""What runs in parts are tried on: a teacher that answers each problem always alike."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.generator.process_runs import Rehearsal, configure, rows

PROBLEMS = 24


@dataclass(frozen=True)
class World:
    """A teacher that answers each problem always alike, and problems for it."""

    teacher: Rehearsal
    problems: Path

    def configure(self, folder: Path, **keys: Any) -> Path:
        source = {"problems__source": str(self.problems), "problems__limit": 0}
        return configure(folder, self.teacher.url, **(source | keys))


def write_files(folder: Path) -> None:
    """`problems.jsonl`, some of them twice but for style, and `answers.jsonl`, one in four wrong."""
    problems = []
    answers = []
    for number in range(PROBLEMS):
        text = f"Ann has {number * 7} stamps and is given {number + 5} more. How many has she?"
        gold = number * 8 + 5
        answer = gold + (number % 4 == 3)
        problems.append({"problem": text, "answer": str(gold)})
        answers.append(
            {"problem": text, "reasoning": f"So {answer}.", "response": f"\\boxed{{{answer}}}"}
        )
    problems += [{**row, "problem": row["problem"].upper()} for row in problems[:5]]
    (folder / "problems.jsonl").write_text("".join(json.dumps(row) + "\n" for row in problems))
    (folder / "answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in answers))


def outcomes(corpus: Path) -> dict[str, str]:
    """Verdicts by id, of a corpus in parts or not; an id that stands twice fails."""
    outcome_by_problem: dict[str, str] = {}
    for folder in (corpus, *sorted(corpus.glob("part-*"))):
        for row in rows(folder):
            assert row["id"] not in outcome_by_problem
            outcome_by_problem[row["id"]] = row["verdict"]
    return outcome_by_problem


def processes_of_part(config: Path, part: str = "") -> list[int]:
    """The processes of this machine that do a part, or any part, of a configuration."""
    pids = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        is_part = part in words if part else "--part" in words
        if is_part and str(config) in words:
            pids.append(int(folder.name))
    return pids
