"""Screening before a call is spent: duplicates of other problems, copies of evaluation problems.

Two ways to the same answers. Local data is screened once as a whole (`Screening.prepare`):
near-duplicates too, whatever the order of the rows, and what was decided lies in
`CORPUS/screening/`, so that a run that goes on only looks it up. A stream without an end in sight
(a hub, synthetic problems) is screened as it comes (`Screening.passing`): exact duplicates of what
came before, and copies of evaluation problems.

    CORPUS/screening/state.json         fingerprint of data and settings, rows done, counts
    CORPUS/screening/left-out.npy       sorted ids that are left out, with the reason and the id that stays instead
    CORPUS/screening/excluded.jsonl     every copy of an evaluation problem with the evidence (also those only reported)
"""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from generator.screening.duplicates import DuplicateIndex, Duplicates, text_key
from shared.contamination import EvaluationIndex, Finding, Hit
from shared.contamination.text import tokens
from shared.errors import CannotWrite
from shared.records import Problem
from shared.shards import (
    make_corpus_folder,
    make_folder_within,
    open_within,
    whole_length,
    write_atomically,
)

BATCH = 2048
DUPLICATE = "duplicate"
NEAR_DUPLICATE = "near-duplicate"
COPY = "copy of an evaluation problem"
OTHER_NUMBERS = "evaluation problem with other numbers"
REASONS = (DUPLICATE, NEAR_DUPLICATE, COPY, OTHER_NUMBERS)

_LEFT_OUT = np.dtype([("id", "<u8"), ("reason", "u1"), ("instead", "<u8")])

Screen = Callable[[Problem], str]


@dataclass
class Summary:
    """Counts of one screening, as `plan`, the report and a data card show them."""

    rows: int = 0
    left_out: Counter[str] = field(
        default_factory=Counter
    )  # by reason, ids for copies and rows for duplicates
    copies: Counter[str] = field(default_factory=Counter)  # "gsm8k:test, near text": problems
    other_numbers: Counter[str] = field(
        default_factory=Counter
    )  # by evaluation set; left out only if asked to
    sharing_8: int = 0  # problems with one 8-gram in common: what open-r1's rule would drop
    sharing_13: int = 0
    evaluation_problems: int = 0
    near_duplicates: float = 0.0  # the threshold in force, 0: not looked for

    def count(self, finding: Finding) -> None:
        self.sharing_8 += finding.shares_8
        self.sharing_13 += finding.shares_13
        if finding.hit is None:
            return
        if finding.hit.contaminated:
            self.copies[f"{finding.hit.evaluation}, {finding.hit.kind}"] += 1
        else:
            self.other_numbers[finding.hit.evaluation] += 1

    def row(self) -> dict[str, Any]:
        """As JSON-ready data (`dataclasses.asdict` makes a Counter count its own items)."""
        values = {name.name: getattr(self, name.name) for name in fields(self)}
        return {
            name: dict(value) if isinstance(value, Counter) else value
            for name, value in values.items()
        }

    @classmethod
    def read(cls, row: Mapping[str, Any]) -> "Summary":
        counters = {name: Counter(row[name]) for name in ("left_out", "copies", "other_numbers")}
        return cls(**{**row, **counters})


class Screening:
    """The screening of one corpus. Owns `CORPUS/screening/`."""

    def __init__(
        self,
        folder: Path,
        evaluation: Mapping[str, list[str]],
        near_duplicates: float = 0.0,
        overlap: float = 0.7,
        exclude_other_numbers: bool = False,
    ) -> None:
        """`evaluation`: name of a set -> its texts. `overlap`: see `EvaluationIndex`."""
        self._folder = folder
        self._evaluation = EvaluationIndex(evaluation, overlap)
        self._near = near_duplicates
        self._exclude_other_numbers = exclude_other_numbers
        self._settings = (
            f"{near_duplicates} {overlap} {exclude_other_numbers} {self._evaluation.fingerprint}"
        )
        self._left_out: NDArray[Any] = np.empty(0, _LEFT_OUT)
        self._repeated: frozenset[int] = frozenset()
        self.summary = Summary(evaluation_problems=len(self._evaluation))

    def prepare(
        self,
        open_rows: Callable[[], Iterator[Problem]],
        fingerprint: str,
        on_rows: Callable[[int], None] | None = None,
    ) -> None:
        """Screen a whole data set, or load what was decided about the same one before; a killed run
        goes on.

        `open_rows` gives every problem in a fixed order, from the start; `fingerprint` changes when
        that data does. `on_rows` is told the number of rows done now and then. Blocks: about 10,000
        to 20,000 problems a second.
        """
        make_corpus_folder(self._folder.parent)
        make_folder_within(self._folder)
        wanted = f"{fingerprint} {self._settings}"
        state = _read_state(self._folder / "state.json")
        if state.get("fingerprint") != wanted:
            state = {"fingerprint": wanted, "settled": False, "summary": None}
            for left in self._folder.iterdir():
                left.unlink()
            write_atomically(self._folder / "state.json", orjson.dumps(state))
        if not state["settled"]:
            try:
                state = self._screen_all(open_rows, wanted, on_rows)
            except OSError as error:
                raise CannotWrite(
                    f"{self._folder}: {error.strerror or error}: free some space, then run again"
                ) from None
        self.summary = Summary.read(state["summary"])
        self._repeated = frozenset(state["repeated"])
        self._left_out = np.load(self._folder / "left-out.npy")

    @property
    def has_repeats(self) -> bool:
        """Whether some row of the prepared data stands twice: then the screen remembers what
        passed.
        """
        return bool(self._repeated)

    def prepared(self) -> Screen:
        """A screen for one pass over prepared data: a lookup. Ids of repeated rows pass once."""
        ids = self._left_out["id"]
        reasons = self._left_out["reason"]
        seen: set[int] = set()

        def screen(problem: Problem) -> str:
            number = int(problem.id, 16)
            at = int(np.searchsorted(ids, np.uint64(number)))
            if at < len(ids) and ids[at] == number:
                return REASONS[reasons[at]]
            if number in self._repeated:
                if number in seen:
                    return DUPLICATE
                seen.add(number)
            return ""

        return screen

    def passing(self) -> Screen:
        """A screen for one pass over a stream, 100 bytes a problem: the first of equal texts
        passes.
        """
        seen: set[int] = set()
        self.summary = Summary(evaluation_problems=len(self._evaluation))
        make_corpus_folder(self._folder.parent)
        make_folder_within(self._folder)
        (self._folder / "excluded.jsonl").unlink(missing_ok=True)

        def screen(problem: Problem) -> str:
            self.summary.rows += 1
            found = tokens(problem.text)
            key = text_key(found) ^ (text_key(tokens(problem.gold)) if problem.gold else 0)
            if key in seen:
                self.summary.left_out[DUPLICATE] += 1
                return DUPLICATE
            seen.add(key)
            finding = self._evaluation.find(problem.text, found)
            self.summary.count(finding)
            if finding.hit is None:
                return ""
            with open(self._folder / "excluded.jsonl", "ab", opener=open_within) as file:
                file.write(_evidence(problem, finding.hit))
            reason = self._reason(finding.hit)
            self.summary.left_out[reason] += bool(reason)
            return reason

        return screen

    def _reason(self, hit: Hit) -> str:
        return COPY if hit.contaminated else OTHER_NUMBERS if self._exclude_other_numbers else ""

    def _screen_all(
        self,
        open_rows: Callable[[], Iterator[Problem]],
        wanted: str,
        on_rows: Callable[[int], None] | None,
    ) -> dict[str, Any]:
        index = DuplicateIndex(self._folder, self._near)
        findings = _Findings(self._folder)
        rows = islice(open_rows(), index.rows, None)
        while batch := list(islice(rows, BATCH)):
            found = [tokens(problem.text) for problem in batch]
            if len(self._evaluation):
                findings.add(
                    batch,
                    [self._evaluation.find(p.text, f) for p, f in zip(batch, found, strict=True)],
                )
            index.add(batch, found)
            if on_rows:
                on_rows(index.rows)
        duplicates = index.settle()
        index.close()
        state = self._settle(duplicates, findings)
        state["fingerprint"] = wanted
        write_atomically(self._folder / "state.json", orjson.dumps(state))
        for path in self._folder.glob("*.bin"):
            path.unlink()
        return state

    def _settle(self, duplicates: Duplicates, findings: "_Findings") -> dict[str, Any]:
        summary = Summary(
            rows=duplicates.rows,
            evaluation_problems=len(self._evaluation),
            near_duplicates=self._near,
        )
        reasons: dict[int, tuple[str, int]] = {}
        for loser, winner, near in zip(
            duplicates.losers.tolist(), duplicates.winners.tolist(), duplicates.near, strict=True
        ):
            reasons[loser] = (NEAR_DUPLICATE if near else DUPLICATE, winner)
        for number, finding in findings.final(summary):
            if reason := self._reason(finding):
                reasons[number] = (reason, 0)
        left_out = np.array(
            [
                (number, REASONS.index(reason), instead)
                for number, (reason, instead) in sorted(reasons.items())
            ],
            _LEFT_OUT,
        )
        with open(self._folder / "left-out.npy", "wb", opener=open_within) as file:
            np.save(file, left_out)
        summary.left_out = Counter(reason for reason, _ in reasons.values())
        summary.left_out[DUPLICATE] += duplicates.repeated_rows
        return {"settled": True, "summary": summary.row(), "repeated": duplicates.repeated.tolist()}


class _Findings:
    """What was found in batches, on the disk: one line a problem that shares anything with an
    evaluation set.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "findings.bin"
        self._excluded = folder / "excluded.jsonl"
        if self._path.exists():  # a killed run may leave a torn line; its batch is done again
            os.truncate(self._path, whole_length(self._path))

    def add(self, problems: list[Problem], found: list[Finding]) -> None:
        """Written before the batch's other records, so that a killed run repeats lines rather
        than losing them.
        """
        lines = []
        for problem, finding in zip(problems, found, strict=True):
            if finding.shares_8 or finding.hit:
                hit = None if finding.hit is None else _evidence_row(problem, finding.hit)
                lines.append(
                    orjson.dumps([problem.id, finding.shares_8, finding.shares_13, hit]) + b"\n"
                )
        with open(self._path, "ab", opener=open_within) as file:
            file.writelines(lines)

    def final(self, summary: Summary) -> Iterator[tuple[int, Hit]]:
        """Each problem's hit once, counted in `summary` and written to excluded.jsonl with its
        evidence.
        """
        seen: set[str] = set()
        with open(self._excluded, "wb", opener=open_within) as excluded:
            for identity, shares_8, shares_13, evidence in self._lines():
                if identity in seen:
                    continue
                seen.add(identity)
                hit = None if evidence is None else Hit(*(evidence[name] for name in _HIT_KEYS))
                summary.count(Finding(hit, shares_8, shares_13))
                if hit is not None:
                    excluded.write(orjson.dumps(evidence, option=orjson.OPT_APPEND_NEWLINE))
                    yield int(identity, 16), hit

    def _lines(self) -> Iterator[Any]:
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            for line in file:
                yield orjson.loads(line)


_HIT_KEYS = ("kind", "evaluation", "evaluation_problem", "similarity", "covered_8", "shared_13")


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


def _evidence(problem: Problem, hit: Hit) -> bytes:
    return orjson.dumps(_evidence_row(problem, hit), option=orjson.OPT_APPEND_NEWLINE)


def _read_state(path: Path) -> dict[str, Any]:
    try:
        state = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return {}
    return state if isinstance(state, dict) else {}
