"""Is a corpus whole? Hashes of sealed shards, every line, unique ids, the ledger against the
shards.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import orjson

from generator.corpus.ledger import Ledger
from generator.corpus.manifest import read_manifest
from shared.errors import InputError, Stopped
from shared.folder_lock import holder
from shared.records import Trace, problem_id, trace_id
from shared.shards import (
    OPEN,
    PILES,
    Pile,
    Position,
    SealedShard,
    describe,
    open_files,
    read_lines,
    sealed_files,
    strangers,
)

T = TypeVar("T")

MOST_FAULTS_A_SHARD = 5  # one damaged file should not print a million lines


@dataclass(slots=True)
class CheckReport:
    """What a check saw. `faults` are sentences that name the place; none of them: the corpus is
    whole.
    """

    shards: int = 0
    rows: dict[Pile, int] = field(default_factory=lambda: dict.fromkeys(PILES, 0))
    faults: list[str] = field(default_factory=list)

    def text(self, corpus: Path) -> str:
        """What `check` prints: the faults, then how the corpus stands."""
        rows = ", ".join(f"{count:,} rows in {pile}" for pile, count in self.rows.items())
        state = "whole"
        if self.faults:
            state = "1 fault" if len(self.faults) == 1 else f"{len(self.faults):,} faults"
        return "\n".join([*self.faults, f"{corpus}: {self.shards} shards, {rows}: {state}"])


def check(
    corpus: Path, is_foreign: Callable[[str], bool] = lambda problem_id: False
) -> CheckReport:
    """Read all of a corpus and compare. While a run holds it, its open shards are left to the run.

    `is_foreign`: whether the problem with this id belongs to another part.

    Errors: `InputError` where there is no corpus. Memory: about 100 bytes a row.
    """
    if not any((corpus / pile).is_dir() for pile in PILES):
        raise InputError(
            f"{corpus}: no corpus here (it has neither traces/ nor rejected/): correct the path"
        )
    report = CheckReport()
    running = holder(corpus) is not None
    manifest = _or_fault(lambda: read_manifest(corpus), report)
    ledger = _or_fault(lambda: Ledger(corpus / "ledger.sqlite", read_only=True), report)
    sealed_names = ledger.shards() if ledger else set()
    shard_by_id: dict[int, str] = {}  # by the hash of a trace's id
    for pile, file in _files(corpus, with_open=not running):
        name = f"{pile}/{file.name.removesuffix(OPEN)}"
        if running and name not in sealed_names:
            continue  # the run has sealed it this moment and is about to note it
        report.shards += 1
        faults = _FaultList(file, report)
        try:
            _check_rows(file, name, pile, ledger, shard_by_id, is_foreign, faults)
            if manifest is not None and not file.name.endswith(OPEN):
                _check_manifest(corpus, file, manifest.pop(name, None), faults, running)
        except InputError as error:  # it cannot be read
            report.faults.append(str(error))
    report.faults += _strangers(corpus)
    report.faults += [
        f"{corpus}/{name}: in the manifest, but there is no such file" for name in manifest or ()
    ]
    if ledger:
        missing = sum(total.samples for total in ledger.totals()) - len(shard_by_id)
        if missing > 0 and not running:
            report.faults.append(
                f"{corpus}/ledger.sqlite: {missing} samples stand in no shard: run `reindex`"
            )
        ledger.close()
    return report


def _strangers(corpus: Path) -> list[str]:
    return [
        # in quotes: a name may hold line ends, and bytes that are no text
        f"{str(path)!r}: named like a shard, and none: take it away, or {pile}/*.jsonl cannot be"
        " read"
        for pile in PILES
        for path in strangers(corpus, pile)
    ]


def _or_fault(reader: Callable[[], T], report: CheckReport) -> T | None:
    try:
        return reader()
    except Stopped as error:
        report.faults.append(str(error))
        return None


class _FaultList:
    """Collects the faults of one file, the first few by name."""

    def __init__(self, file: Path, report: CheckReport) -> None:
        self._file = file
        self._report = report
        self._count = 0

    def add(self, line: int, what: str) -> None:
        """Note a fault at a line; 0 is the file as a whole."""
        self._count += 1
        if self._count <= MOST_FAULTS_A_SHARD:
            place = f"{self._file}:{line}" if line else str(self._file)
            self._report.faults.append(f"{place}: {what}")
        elif self._count == MOST_FAULTS_A_SHARD + 1:
            self._report.faults.append(f"{self._file}: and more")

    def count_row(self, pile: Pile) -> None:
        """Count a whole row."""
        self._report.rows[pile] += 1


def _files(corpus: Path, with_open: bool) -> Iterator[tuple[Pile, Path]]:
    for pile in PILES:
        files = sealed_files(corpus, pile)
        if with_open:
            files += open_files(corpus, pile)
        for file in files:
            yield pile, file


def _check_rows(
    file: Path,
    name: str,
    pile: Pile,
    ledger: Ledger | None,
    shard_by_id: dict[int, str],
    is_foreign: Callable[[str], bool],
    faults: _FaultList,
) -> None:
    positions: dict[str, Position] = {}
    if ledger:
        for problem, sample, position in ledger.positions(name):
            positions[trace_id(problem, sample)] = position
    for number, offset, line in read_lines(file):
        if not line.endswith(b"\n"):
            is_open = file.name.endswith(OPEN)
            faults.add(number, "torn line (the next run cuts it)" if is_open else "torn line")
            continue
        try:
            trace = Trace.from_row(orjson.loads(line))
        except (orjson.JSONDecodeError, InputError, AttributeError) as error:
            faults.add(number, str(error))
            continue
        faults.count_row(pile)
        fault = _wrong_with(trace, pile)
        if fault:
            faults.add(number, fault)
        if is_foreign(trace.problem_id):
            faults.add(number, f"{trace.id} belongs to another part")
        key = hash(trace.id)
        if key in shard_by_id:
            faults.add(number, f"id {trace.id} stands in {shard_by_id[key]} as well")
        shard_by_id[key] = name
        noted_position = positions.pop(trace.id, None)
        actual_position = Position(name, offset, len(line))
        if ledger and noted_position is None:
            faults.add(
                number, f"{trace.id} is not in the ledger (the next run, or `reindex`, notes it)"
            )
        elif noted_position and noted_position != actual_position:
            faults.add(number, f"{trace.id} stands elsewhere by the ledger: run `reindex`")
    for missing_id in positions:
        faults.add(0, f"{missing_id} should be here by the ledger, but is not")


def _wrong_with(trace: Trace, pile: Pile) -> str:
    own_problem_id = problem_id(trace.problem)
    own_id = trace_id(own_problem_id, trace.sample)
    if trace.problem_id != own_problem_id or trace.id != own_id:
        return f"id {trace.id} does not belong to this problem and sample"
    is_kept = trace.verdict in ("correct", "unverifiable")
    if pile == "traces" and not is_kept:
        return f"verdict {trace.verdict!r} among the kept traces"
    return ""


def _check_manifest(
    corpus: Path, file: Path, entry: SealedShard | None, faults: _FaultList, running: bool
) -> None:
    actual = describe(corpus, file)
    if entry is None:
        if not running:  # a run may have sealed it since the manifest was read
            faults.add(0, "sealed, but not in the manifest (the next run lists it)")
    elif entry.sha256 != actual.sha256:
        faults.add(
            0,
            f"sha256 is {actual.sha256[:12]}…, the manifest says {entry.sha256[:12]}…: the file was"
            " changed",
        )
    elif entry != actual:
        faults.add(
            0,
            f"{actual.rows} rows and {actual.bytes} bytes, the manifest says {entry.rows} and"
            f" {entry.bytes}",
        )
