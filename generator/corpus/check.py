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
    SealedShard,
    describe,
    open_files,
    read_lines,
    sealed_files,
)

T = TypeVar("T")

MOST_FAULTS_A_SHARD = 5  # one damaged file should not print a million lines


@dataclass(slots=True)
class Findings:
    """What a check saw. `faults` are sentences that name the place; none of them: the corpus is
    whole.
    """

    shards: int = 0
    rows: dict[Pile, int] = field(default_factory=lambda: dict.fromkeys(PILES, 0))
    faults: list[str] = field(default_factory=list)


def check(corpus: Path) -> Findings:
    """Read all of a corpus and compare. While a run holds it, its open shards are left to the run.

    Errors: `InputError` where there is no corpus. Memory: about 100 bytes a row.
    """
    if not any((corpus / pile).is_dir() for pile in PILES):
        raise InputError(
            f"{corpus}: no corpus here (it has neither traces/ nor rejected/): correct the path"
        )
    found = Findings()
    running = holder(corpus) is not None
    manifest = _or_fault(lambda: read_manifest(corpus), found)
    ledger = _or_fault(lambda: Ledger(corpus / "ledger.sqlite", read_only=True), found)
    noted_as_sealed = ledger.shards() if ledger else set()
    seen: dict[int, str] = {}
    for pile, file in _files(corpus, with_open=not running):
        name = f"{pile}/{file.name.removesuffix(OPEN)}"
        if running and name not in noted_as_sealed:
            continue  # the run has sealed it this moment and is about to note it
        found.shards += 1
        faults = _Faults(file, found)
        _check_rows(file, name, pile, ledger, seen, faults)
        if manifest is not None and not file.name.endswith(OPEN):
            _check_manifest(corpus, file, manifest.pop(name, None), faults, running)
    found.faults += [
        f"{corpus}/{name}: in the manifest, but there is no such file" for name in manifest or ()
    ]
    if ledger:
        noted = sum(total.samples for total in ledger.totals())
        if noted > len(seen) and not running:
            found.faults.append(
                f"{corpus}/ledger.sqlite: {noted - len(seen)} samples stand in no shard: run"
                " `reindex`"
            )
        ledger.close()
    return found


def _or_fault(read: Callable[[], T], found: Findings) -> T | None:
    try:
        return read()
    except Stopped as error:
        found.faults.append(str(error))
        return None


class _Faults:
    """Collects the faults of one file, the first few by name."""

    def __init__(self, file: Path, found: Findings) -> None:
        self._file = file
        self._found = found
        self._count = 0

    def add(self, line: int, what: str) -> None:
        self._count += 1
        if self._count <= MOST_FAULTS_A_SHARD:
            self._found.faults.append(f"{self._file}{f':{line}' if line else ''}: {what}")
        elif self._count == MOST_FAULTS_A_SHARD + 1:
            self._found.faults.append(f"{self._file}: and more")

    def count_row(self, pile: Pile) -> None:
        self._found.rows[pile] += 1


def _files(corpus: Path, with_open: bool) -> Iterator[tuple[Pile, Path]]:
    for pile in PILES:
        for file in sealed_files(corpus, pile) + (open_files(corpus, pile) if with_open else []):
            yield pile, file


def _check_rows(
    file: Path, name: str, pile: Pile, ledger: Ledger | None, seen: dict[int, str], faults: _Faults
) -> None:
    noted = (
        {trace_id(problem, sample): at for problem, sample, at in ledger.positions(name)}
        if ledger
        else {}
    )
    for number, offset, line in read_lines(file):
        if not line.endswith(b"\n"):
            faults.add(
                number,
                "torn line (the next run cuts it)" if file.name.endswith(OPEN) else "torn line",
            )
            continue
        try:
            trace = Trace.from_row(orjson.loads(line))
        except (orjson.JSONDecodeError, InputError, AttributeError) as error:
            faults.add(number, str(error))
            continue
        faults.count_row(pile)
        if what := _wrong_with(trace, pile):
            faults.add(number, what)
        key = hash(trace.id)
        if key in seen:
            faults.add(number, f"id {trace.id} stands in {seen[key]} as well")
        seen[key] = name
        position = noted.pop(trace.id, None)
        if ledger and position is None:
            faults.add(
                number, f"{trace.id} is not in the ledger (the next run, or `reindex`, notes it)"
            )
        elif position and (position.offset, position.length) != (offset, len(line)):
            faults.add(number, f"{trace.id} stands elsewhere by the ledger: run `reindex`")
    for lost in noted:
        faults.add(0, f"{lost} should be here by the ledger, but is not")


def _wrong_with(trace: Trace, pile: Pile) -> str:
    if trace.problem_id != problem_id(trace.problem) or trace.id != trace_id(
        trace.problem_id, trace.sample
    ):
        return f"id {trace.id} does not belong to this problem and sample"
    kept = trace.verdict in ("correct", "unverifiable")
    return (
        f"verdict {trace.verdict!r} among the kept traces" if pile == "traces" and not kept else ""
    )


def _check_manifest(
    corpus: Path, file: Path, entry: SealedShard | None, faults: _Faults, running: bool
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
