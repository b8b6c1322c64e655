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

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from itertools import islice
from pathlib import Path
from typing import Any

import orjson

from generator.screening.duplicates import DuplicateIndex, Duplicates
from generator.screening.exclusive import alone_in
from generator.screening.findings import FindingFile
from generator.screening.left_out import LeftOut, Screen, can_load
from generator.screening.pass_one import (
    measure,
    piece_facts,
    piece_path,
    piece_paths,
    read_piece,
    write_piece,
)
from generator.screening.passing import passing_screen
from generator.screening.summary import (
    COPY,
    DUPLICATE,
    OTHER_NUMBERS,
    ScreeningSummary,
)
from shared.contamination import EvaluationIndex, Hit
from shared.errors import CannotWrite
from shared.file_writing import (
    make_corpus_folder,
    make_folder_within,
    write_atomically,
)
from shared.folder_lock import NAME as LOCK_NAME
from shared.records import Problem

BATCH = 2048
LEFT_OUT_NAME = "left-out.npy"


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
        self._left_out = LeftOut.of({})
        self._repeated: frozenset[int] = frozenset()
        self.summary = ScreeningSummary(evaluation_problems=len(self._evaluation))

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
        state = self._begin(fingerprint)
        if not state["settled"]:
            try:
                state = self._screen_all(open_rows, self._full(fingerprint), on_rows)
            except OSError as error:
                raise _cannot_write(self._folder, error) from None
        self._load(state)

    def is_settled(self, fingerprint: str) -> bool:
        """Whether it is decided what is left out of this data."""
        state = _read_state(self._folder / "state.json")
        if state.get("fingerprint") != self._full(fingerprint) or not state["settled"]:
            return False
        return can_load(self._folder / LEFT_OUT_NAME)

    def alone(self) -> AbstractContextManager[None]:
        """One process at a time; the others wait."""
        return alone_in(self._folder)

    def pass_one(
        self,
        piece: int,
        pieces: int,
        problems: Iterator[Problem],
        facts: Callable[[], Mapping[str, Any]],
        fingerprint: str,
    ) -> None:
        """Do one piece of pass one; done before, it stays. `facts`: what `read_piece_facts` is to
        give of it, asked when the problems are at their end.
        """
        path = piece_path(self._folder, piece, pieces)
        if piece_facts(path, self._full(fingerprint)) is not None:
            return
        batches = _batches(problems)
        measured = [measure(batch, self._evaluation, self._near) for batch in batches]
        write_piece(path, self._full(fingerprint), facts(), measured)

    def begin(self, fingerprint: str) -> None:
        """Make room for the pieces of pass one of this data, and forget what was about other."""
        self._begin(fingerprint)

    def facts(self, pieces: int, fingerprint: str) -> list[Mapping[str, Any] | None]:
        """The facts of each piece; None for those that are to be done."""
        full_fingerprint = self._full(fingerprint)
        return [
            piece_facts(piece_path(self._folder, piece, pieces), full_fingerprint)
            for piece in range(pieces)
        ]

    def settle(self, pieces: int, fingerprint: str) -> None:
        """Decide what is left out, by the pieces of pass one, and remove them. Errors:
        `CannotWrite`.
        """
        try:
            _remove_records(self._folder)
            index = DuplicateIndex(self._folder, self._near)
            findings = FindingFile(self._folder)
            for piece in range(pieces):
                measured = read_piece(piece_path(self._folder, piece, pieces))
                findings.append(measured.findings)
                if measured.records:  # none for a piece without a problem
                    index.append(measured.records)
            state = self._settle_index(index, findings, self._full(fingerprint))
        except OSError as error:
            raise _cannot_write(self._folder, error) from None
        self._load(state)

    def _full(self, fingerprint: str) -> str:
        return f"{fingerprint} {self._settings}"

    def _begin(self, fingerprint: str) -> dict[str, Any]:
        """The state of this data's screening; what lies there of another is removed."""
        make_corpus_folder(self._folder.parent)
        make_folder_within(self._folder)
        full_fingerprint = self._full(fingerprint)
        state = _read_state(self._folder / "state.json")
        is_lost = bool(state.get("settled")) and not can_load(self._folder / LEFT_OUT_NAME)
        if state.get("fingerprint") != full_fingerprint or is_lost:
            state = {"fingerprint": full_fingerprint, "settled": False, "summary": None}
            for file in self._folder.iterdir():
                if file.name != LOCK_NAME:
                    file.unlink()
            write_atomically(self._folder / "state.json", orjson.dumps(state))
        return state

    def _load(self, state: Mapping[str, Any]) -> None:
        self.summary = ScreeningSummary.read(state["summary"])
        self._repeated = frozenset(state["repeated"])
        self._left_out = LeftOut.read(self._folder / LEFT_OUT_NAME)

    @property
    def has_repeats(self) -> bool:
        """Whether some row of the prepared data stands twice: then the screen remembers what
        passed.
        """
        return bool(self._repeated)

    def prepared(self) -> Screen:
        """A screen for one pass over prepared data: a lookup. Ids of repeated rows pass once."""
        return self._left_out.screen(self._repeated)

    def passing(self) -> Screen:
        """A screen for one pass over a stream, 100 bytes a problem: the first of equal texts
        passes.
        """
        self.summary = ScreeningSummary(evaluation_problems=len(self._evaluation))
        make_corpus_folder(self._folder.parent)
        make_folder_within(self._folder)
        return passing_screen(self._folder, self._evaluation, self.summary, self._reason)

    def _reason(self, hit: Hit) -> str:
        if hit.contaminated:
            return COPY
        return OTHER_NUMBERS if self._exclude_other_numbers else ""

    def _screen_all(
        self,
        open_rows: Callable[[], Iterator[Problem]],
        fingerprint: str,
        on_rows: Callable[[int], None] | None,
    ) -> dict[str, Any]:
        index = DuplicateIndex(self._folder, self._near)
        findings = FindingFile(self._folder)
        rows = islice(open_rows(), index.rows, None)
        for batch in _batches(rows):
            measured = measure(batch, self._evaluation, self._near)
            findings.append(measured.findings)
            index.append(measured.records)
            if on_rows:
                on_rows(index.rows)
        return self._settle_index(index, findings, fingerprint)

    def _settle_index(
        self, index: DuplicateIndex, findings: FindingFile, fingerprint: str
    ) -> dict[str, Any]:
        duplicates = index.settle()
        index.close()
        state = self._settle(duplicates, findings)
        state["fingerprint"] = fingerprint
        write_atomically(self._folder / "state.json", orjson.dumps(state))
        _remove_records(self._folder)
        for path in piece_paths(self._folder):
            path.unlink()
        return state

    def _settle(self, duplicates: Duplicates, findings: FindingFile) -> dict[str, Any]:
        summary = ScreeningSummary(
            rows=duplicates.rows,
            evaluation_problems=len(self._evaluation),
            near_duplicates=self._near,
        )
        reasons = duplicates.reasons()
        for number, hit in findings.final(summary):
            reason = self._reason(hit)
            if reason:
                reasons[number] = (reason, 0)
        LeftOut.of(reasons).write(self._folder / LEFT_OUT_NAME)
        summary.left_out = Counter(reason for reason, _ in reasons.values())
        summary.left_out[DUPLICATE] += duplicates.repeated_rows
        return {
            "settled": True,
            "summary": summary.row(),
            "repeated": duplicates.repeated.tolist(),
        }


def _batches(problems: Iterator[Problem]) -> Iterator[list[Problem]]:
    while True:
        batch = list(islice(problems, BATCH))
        if not batch:
            return
        yield batch


def _read_state(path: Path) -> dict[str, Any]:
    try:
        state = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return {}
    return state if isinstance(state, dict) else {}


def _remove_records(folder: Path) -> None:
    for path in folder.glob("*.bin"):
        path.unlink()


def _cannot_write(folder: Path, error: OSError) -> CannotWrite:
    return CannotWrite(f"{folder}: {error.strerror or error}: free some space, then run again")
