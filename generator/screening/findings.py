"""What problems share with evaluation sets, on the disk while a data set is screened, and the
evidence for what is left out.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson

from generator.screening.summary import ScreeningSummary
from shared.contamination import Contamination, Hit
from shared.file_writing import open_within
from shared.records import Problem
from shared.shards import whole_length

_HIT_KEYS = ("kind", "evaluation", "evaluation_problem", "similarity", "covered_8", "shared_13")


class FindingFile:
    """The findings of all batches, on the disk: one line a problem that shares anything with an
    evaluation set.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "findings.bin"
        self._excluded = folder / "excluded.jsonl"
        if self._path.exists():  # a killed run may leave a torn line; its batch is done again
            os.truncate(self._path, whole_length(self._path))

    def add(self, problems: list[Problem], findings: list[Contamination]) -> None:
        """Written before the batch's other records, so that a killed run repeats lines rather
        than losing them.
        """
        self.append(finding_lines(problems, findings))

    def append(self, lines: bytes) -> None:
        """Write what `finding_lines` made, on the disk before the batch counts as done: after a
        power cut no finding may be missing that was not made again.
        """
        with open(self._path, "ab", opener=open_within) as file:
            file.write(lines)
            file.flush()
            os.fsync(file.fileno())

    def final(self, summary: ScreeningSummary) -> Iterator[tuple[int, Hit]]:
        """Each problem's hit once, counted in `summary` and written to excluded.jsonl with its
        evidence.
        """
        written_ids: set[str] = set()
        with open(self._excluded, "wb", opener=open_within) as file:
            for identity, shares_8, shares_13, evidence in self._lines():
                if identity in written_ids:
                    continue
                written_ids.add(identity)
                hit = None
                if evidence is not None:
                    hit = Hit(*(evidence[name] for name in _HIT_KEYS))
                summary.count(Contamination(hit, shares_8, shares_13))
                if hit is not None:
                    file.write(orjson.dumps(evidence, option=orjson.OPT_APPEND_NEWLINE))
                    yield int(identity, 16), hit

    def _lines(self) -> Iterator[Any]:
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            for line in file:
                yield orjson.loads(line)


def finding_lines(problems: Sequence[Problem], findings: Sequence[Contamination]) -> bytes:
    """One line a problem that shares anything with an evaluation set."""
    lines = []
    for problem, finding in zip(problems, findings, strict=True):
        if not (finding.shares_8 or finding.hit):
            continue
        evidence = None
        if finding.hit is not None:
            evidence = _evidence_row(problem, finding.hit)
        row = [
            problem.id,
            finding.shares_8,
            finding.shares_13,
            evidence,
        ]
        lines.append(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))
    return b"".join(lines)


def _evidence_row(problem: Problem, hit: Hit) -> dict[str, Any]:
    values = (
        hit.kind,
        hit.evaluation,
        hit.text,
        round(hit.similarity, 4),
        round(hit.covered_8, 4),
        hit.shared_13,
    )
    return {
        "id": problem.id,
        "source": problem.source,
        "problem": problem.text,
        **dict(zip(_HIT_KEYS, values, strict=True)),
        "copy": hit.contaminated,
    }


def evidence_line(problem: Problem, hit: Hit) -> bytes:
    """A line of excluded.jsonl."""
    return orjson.dumps(_evidence_row(problem, hit), option=orjson.OPT_APPEND_NEWLINE)
