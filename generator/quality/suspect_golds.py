"""Suspect gold: problems whose samples agree with each other and not with the gold.

    {"problem_id": "0c3a…", "source": "…", "problem": "…", "gold": "12", "agreed": "14", "agreeing": 4, "samples": 4,
     "lanes": ["modelscope"], "answers": {"14": 4}, "traces": ["0c3a…:0", …]}

A teacher that is right nine times in ten agrees with itself on a wrong answer far less often than
data sets are wrong: three agreeing samples (or two of four, or two from different models) with none
on the gold side are enough for a list. One sample that comes to the gold by itself takes a problem
off it: hard problems have wrong answers in common.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson

from shared.file_writing import write_atomically
from shared.grading import grade_fast
from shared.shards import open_files, sealed_files

FILE = "suspect_gold.jsonl"
AGREEING = 3
AGREEING_MODELS = 2
# two that agree are enough where two others are wrong as well
FEW_AGREEING = 2
MANY_SAMPLES = 4
AGREEING_SHARE = 0.5  # of the samples that gave an answer
_PROBLEM_ID = re.compile(rb'"problem_id":"([0-9a-f]{16})"')


@dataclass(frozen=True, slots=True)
class Suspect:
    """One problem on the list, with its evidence."""

    problem_id: str
    source: str
    problem: str
    gold: str
    agreed: str
    agreeing: int
    samples: int  # that gave an answer
    lanes: list[str]
    answers: dict[str, int]
    traces: list[str]  # ids of the agreeing samples


@dataclass(frozen=True, slots=True)
class _Answer:
    """What one wrong sample answered."""

    text: str
    trace: str  # its id
    lane: str
    model: str


@dataclass
class _Wrong:
    """Wrong samples of one problem: answers as given, one entry a sample."""

    source: str
    problem: str
    gold: str
    answers: list[_Answer]


def find_suspects(corpus: Path) -> Iterator[Suspect]:
    """The suspects of a corpus, from its shards (open ones too). Memory: the wrong samples'
    problems and answers.
    """
    wrong: dict[str, _Wrong] = {}
    for row in _rows(corpus, "rejected", b'"verdict":"incorrect"'):
        if row["gold"] and row["final_answer"]:
            unseen_problem = _Wrong(
                source=row["source"],
                problem=row["problem"],
                gold=row["gold"],
                answers=[],
            )
            problem = wrong.setdefault(row["problem_id"], unseen_problem)
            answer = _Answer(
                text=row["final_answer"],
                trace=row["id"],
                lane=row["lane"],
                model=row["model"],
            )
            problem.answers.append(answer)
    solved_ids = _kept_among(corpus, wrong.keys())
    for identity, problem in sorted(wrong.items()):
        if identity in solved_ids:
            continue
        suspect = _judge(identity, problem)
        if suspect is not None:
            yield suspect


def write_suspects(corpus: Path) -> list[Suspect]:
    """Find the suspects and put them in `CORPUS/suspect_gold.jsonl`. Errors: `CannotWrite`."""
    suspects = list(find_suspects(corpus))
    lines = []
    for suspect in suspects:
        row = asdict(suspect)
        lines.append(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))
    write_atomically(corpus / FILE, b"".join(lines))
    return suspects


def _judge(identity: str, problem: _Wrong) -> Suspect | None:
    samples = len(problem.answers)
    groups = _groups(answer.text for answer in problem.answers)
    common_answer, agreeing = groups.most_common(1)[0]
    agreeing_answers = [answer for answer in problem.answers if _same(answer.text, common_answer)]
    models = {answer.model for answer in agreeing_answers}
    lanes = {answer.lane for answer in agreeing_answers}
    if agreeing < AGREEING_SHARE * samples:
        return None
    needed = AGREEING
    if len(models) >= AGREEING_MODELS or samples >= MANY_SAMPLES:
        needed = FEW_AGREEING
    if agreeing < needed:
        return None
    return Suspect(
        identity,
        problem.source,
        problem.problem,
        problem.gold,
        common_answer,
        agreeing,
        samples,
        sorted(lanes),
        dict(groups.most_common()),
        [answer.trace for answer in agreeing_answers],
    )


def _groups(answers: Iterable[str]) -> "Counter[str]":
    """How often each answer was given, equal ones counted together under their first spelling."""
    counts: Counter[str] = Counter()
    for answer in answers:
        equal_spellings = (spelling for spelling in counts if _same(answer, spelling))
        counts[next(equal_spellings, answer)] += 1
    return counts


def _same(answer: str, gold: str) -> bool:
    if answer == gold:
        return True
    verdict, request = grade_fast(f"\\boxed{{{answer}}}", gold)
    return request is None and verdict.verdict == "correct"


def _kept_among(corpus: Path, problem_ids: Iterable[str]) -> set[str]:
    """Which of these problems have a correct sample. Reads the beginning of each kept line only."""
    ids = {identity.encode() for identity in problem_ids}
    solved_ids: set[bytes] = set()
    if ids:
        for path in _files(corpus, "traces"):
            with path.open("rb") as lines:
                for line in lines:
                    match = _PROBLEM_ID.search(line, 0, 300)
                    if match and match[1] in ids:
                        solved_ids.add(match[1])
    return {identity.decode() for identity in solved_ids}


def _rows(corpus: Path, pile: str, marker: bytes) -> Iterator[Mapping[str, Any]]:
    for path in _files(corpus, pile):
        with path.open("rb") as lines:
            for line in lines:
                if marker in line and line.endswith(b"\n"):
                    row: dict[str, Any] = orjson.loads(line)
                    if row["verdict"] == "incorrect":
                        yield row


def _files(corpus: Path, pile: Any) -> list[Path]:
    return [*sealed_files(corpus, pile), *open_files(corpus, pile)]
