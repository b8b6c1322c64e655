"""`regrade` and `flags`: every trace of a corpus again, into a new corpus. The source is only read.

A part is one sealed shard. Of the source's shard number 12 the destination has at most two:

    DEST/traces/shard-000012.jsonl   DEST/rejected/shard-000012.jsonl
    DEST/.rewrite/000012.json        what it came to: written last, it says that the part is whole
"""

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson

from generator.parts.tasks import Task, Values
from generator.parts.transforms import TRANSFORMS, Rewritten
from shared.errors import InputError
from shared.file_writing import make_folder_within, open_within, write_atomically, writing
from shared.records import Trace
from shared.shards import PILES, Pile, Position, SealedShard, read_rows, sealed_files, shard_name

NOTES = ".rewrite"
MOST_EXAMPLES = 3  # of each kind of change, from one shard


@dataclass(frozen=True, slots=True)
class Example:
    """A trace that changed."""

    id: str
    gold: str | None
    answer: str | None
    before: str
    after: str
    reason: str


def tasks_for(
    source: Path, destination: Path, kind: str, keep_unverifiable: bool
) -> Iterator[Task]:
    """A task for each sealed shard of one folder of shards: a corpus, or a part of one."""
    files = [(pile, file) for pile in PILES for file in sealed_files(source, pile)]
    for number, (pile, file) in enumerate(files):
        values = {
            "kind": kind,
            "file": str(file.resolve()),
            "pile": pile,
            "number": number,
            "destination": str(destination.resolve()),
            "keep_unverifiable": keep_unverifiable,
        }
        yield Task("rewrite", number, values)


def perform(values: Values) -> Values:
    """The task of a worker: one shard. Done before, it stays. The outcome is in its note."""
    note = note_path(Path(values["destination"]), values["number"])
    if not note.exists():
        rewriting = _Rewriting(values)
        rewriting.read()
        outcome = rewriting.write()
        write_atomically(note, orjson.dumps(outcome))
    return {}


def note_path(destination: Path, number: int) -> Path:
    """Where it stands what a part came to."""
    return destination / NOTES / f"{number:06d}.json"


class _Rewriting:
    """One shard on its way."""

    def __init__(self, values: Values) -> None:
        self._file = Path(values["file"])
        self._number: int = values["number"]
        self._destination = Path(values["destination"])
        self._was_kept = values["pile"] == "traces"
        self._keep_unverifiable: bool = values["keep_unverifiable"]
        self._transform = TRANSFORMS[values["kind"]]
        self._lines: dict[Pile, list[bytes]] = {pile: [] for pile in PILES}
        self._offsets: dict[Pile, int] = dict.fromkeys(PILES, 0)
        self._samples: list[list[Any]] = []
        self._changes: dict[str, int] = {}
        self._examples: dict[str, list[Example]] = {}

    def read(self) -> None:
        """Every trace of the source. Errors: `InputError` with file and line."""
        for number, row in read_rows(self._file):
            try:
                trace = Trace.from_row(row)
            except InputError as error:
                raise InputError(f"{self._file}:{number}: {error}") from None
            self._add(self._transform(trace, self._was_kept, self._keep_unverifiable))

    def write(self) -> dict[str, Any]:
        """The destination's shards, whole; what they came to."""
        shards = []
        for pile, lines in self._lines.items():
            shard = self._write_shard(pile, lines)
            if shard is not None:
                shards.append(asdict(shard))
        return {
            "shards": shards,
            "samples": self._samples,
            "changes": self._changes,
            "examples": {
                kind: [asdict(example) for example in examples]
                for kind, examples in self._examples.items()
            },
        }

    def _add(self, rewritten: Rewritten) -> None:
        pile: Pile = "traces" if rewritten.is_kept else "rejected"
        line = rewritten.trace.to_line()
        name = shard_name(pile, self._number)
        position = Position(name, self._offsets[pile], len(line))
        self._lines[pile].append(line)
        self._offsets[pile] += len(line)
        self._samples.append(_sample_row(rewritten.trace, position))
        change = f"{rewritten.before} → {rewritten.after}"
        self._changes[change] = self._changes.get(change, 0) + 1
        examples = self._examples.setdefault(change, [])
        if rewritten.before != rewritten.after and len(examples) < MOST_EXAMPLES:
            examples.append(_example(rewritten))

    def _write_shard(self, pile: Pile, lines: list[bytes]) -> SealedShard | None:
        if not lines:
            return None
        name = shard_name(pile, self._number)
        path = self._destination / name
        data = b"".join(lines)
        temporary = path.with_name(f".{path.name}.new")
        with writing(path):
            with open(temporary, "wb", opener=open_within) as file:
                file.write(data)
            temporary.replace(path)
        return SealedShard(name, len(lines), len(data), hashlib.sha256(data).hexdigest())


def _sample_row(trace: Trace, position: Position) -> list[Any]:
    """What the ledger notes of a sample, and whose calls it took."""
    return [
        trace.problem_id,
        trace.sample,
        position.shard,
        position.offset,
        position.length,
        trace.verdict,
        trace.finish_reason,
        trace.lane,
        trace.attempts,
        trace.usage.prompt_tokens,
        trace.usage.completion_tokens,
        trace.cost_usd,
        trace.finished_at,
    ]


def _example(rewritten: Rewritten) -> Example:
    trace = rewritten.trace
    return Example(
        trace.id, trace.gold, trace.final_answer, rewritten.before, rewritten.after, trace.reason
    )


def make_folders(destination: Path) -> None:
    """The folders of a destination. Errors: `OSError`."""
    for name in (*PILES, NOTES):
        make_folder_within(destination / name)
