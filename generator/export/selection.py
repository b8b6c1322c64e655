"""Which traces of a corpus are exported. Two passes: short notes on every kept trace, then the
lines that were chosen.

Memory: about 300 bytes a kept trace. The order of the export is the order of the shards.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import orjson

from shared.errors import InputError
from shared.holdout import held_out_problems
from shared.records import Trace
from shared.shards import sealed_files

Pick = Literal["all", "first", "shortest", "longest", "mixed"]
PICKS: tuple[Pick, ...] = get_args(Pick)

_IDENTITY = re.compile(rb'"problem_id":"([0-9a-f]{16})"')
# quotes inside a JSON text are escaped, so this is the key itself
_VERDICT = re.compile(rb'"verdict":"(\w+)"')
# verdicts that say the teacher did not get there
_TEACHER_FAILURES = frozenset({b"incorrect", b"no_answer", b"truncated"})


@dataclass(frozen=True, slots=True)
class ExportChoice:
    """What to export. Lengths are completion tokens; a limit of 0 is none."""

    sources: frozenset[str] = frozenset()  # full names, or what stands after the last "/"
    min_tokens: int = 0
    max_tokens: int = 0
    pass_rate: tuple[float, float] = (0.0, 1.0)
    pick: Pick = "all"
    drop_flags: frozenset[str] = frozenset()
    unverifiable: bool = False
    held_out: float = 0.0  # share of the problems
    seed: int = 0

    def takes_source(self, source: str) -> bool:
        """Whether traces of this source are exported, as far as the source goes."""
        names = {source, source.rpartition("/")[2]}
        return not self.sources or not names.isdisjoint(self.sources)


class _Note(NamedTuple):
    shard: int  # the how many-th; comparing a million paths would take longer than reading them
    offset: int
    sample: int
    tokens: int


@dataclass
class ShardNotes:
    """What one shard of the kept pile comes to, before problems are looked at as a whole."""

    # (problem id, offset, sample, completion tokens) of what the choice takes so far
    candidates: list[tuple[str, int, int, int]] = field(default_factory=list)
    correct: Counter[str] = field(default_factory=Counter)  # samples by problem
    left: Counter[str] = field(default_factory=Counter)  # traces, by reason


@dataclass
class Chosen:
    """The outcome: where the chosen lines stand, and why others were left."""

    # shard, offset, and the problem's pass rate where it has one; in order
    notes: list[tuple[Path, int, float | None]] = field(default_factory=list)
    held_out: list[str] = field(default_factory=list)  # problem ids
    left: Counter[str] = field(default_factory=Counter)  # traces, by reason
    pass_rates: dict[str, float] = field(default_factory=dict)
    problems: int = 0


def notes_of(file: Path, choice: ExportChoice) -> ShardNotes:
    """Read one shard of the kept pile. Errors: `InputError` with file and line."""
    notes = ShardNotes()
    for offset, trace in _traces_in(file):
        if trace.verdict == "correct":
            notes.correct[trace.problem_id] += 1
        reason = _why_left(trace, choice)
        if reason:
            notes.left[reason] += 1
        else:
            tokens = trace.usage.completion_tokens
            notes.candidates.append((trace.problem_id, offset, trace.sample, tokens))
    return notes


def choose(
    choice: ExportChoice,
    kept_shards: Iterable[tuple[Path, ShardNotes]],
    failures: Iterable["Counter[str]"],
) -> Chosen:
    """Decide by the notes of every kept shard, in order, and the failures in every other one."""
    chosen = Chosen()
    notes: dict[str, list[_Note]] = defaultdict(list)  # by problem
    correct: Counter[str] = Counter()
    files: list[Path] = []
    for number, (file, shard) in enumerate(kept_shards):
        files.append(file)
        correct.update(shard.correct)
        chosen.left.update(shard.left)
        for problem, offset, sample, tokens in shard.candidates:
            notes[problem].append(_Note(number, offset, sample, tokens))
    wrong: Counter[str] = Counter()
    for each in failures:
        wrong.update(each)
    for problem, count in correct.items():
        chosen.pass_rates[problem] = count / (count + wrong[problem])
    low, high = choice.pass_rate
    for problem in list(notes):
        if not low <= chosen.pass_rates.get(problem, 0.0) <= high:
            chosen.left["pass rate"] += len(notes.pop(problem))
    if choice.held_out:
        chosen.held_out = held_out_problems(notes, choice.held_out, choice.seed)
    for problem in chosen.held_out:
        chosen.left["held out"] += len(notes.pop(problem))
    _pick_samples(notes, files, choice.pick, chosen)
    return chosen


def _pick_samples(
    notes: Mapping[str, list[_Note]], files: Sequence[Path], pick: Pick, chosen: Chosen
) -> None:
    lines: list[tuple[int, int, float | None]] = []
    others = 0
    for problem, candidates in notes.items():
        picked_notes = _pick(candidates, pick, problem)
        others += len(candidates) - len(picked_notes)
        pass_rate = chosen.pass_rates.get(problem)
        lines += [(note.shard, note.offset, pass_rate) for note in picked_notes]
    lines.sort()  # no two start at one place
    chosen.notes = [(files[shard], offset, pass_rate) for shard, offset, pass_rate in lines]
    chosen.problems = len(notes)
    chosen.left["another sample of the problem"] = others
    chosen.left = +chosen.left  # without the reasons that left none


def kept_traces(corpus: Path) -> Iterator[Trace]:
    """Every trace in the sealed shards of the kept pile."""
    for path in sealed_files(corpus, "traces"):
        for _, trace in _traces_in(path):
            yield trace


def _traces_in(path: Path) -> Iterator[tuple[int, Trace]]:
    """(offset, trace) of every line of a shard."""
    offset = 0
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            yield offset, _parsed(line, f"{path}:{number}")
            offset += len(line)


def traces_at(path: Path, offsets: Sequence[int]) -> Iterator[Trace]:
    """The traces that start at these bytes of a shard."""
    with path.open("rb") as file:
        for offset in offsets:
            file.seek(offset)
            yield _parsed(file.readline(), str(path))


def failures_in(path: Path) -> "Counter[str]":
    """Samples by problem, in one shard of what was rejected, that the teacher answered and did not
    get right.
    """
    counts: Counter[str] = Counter()
    with path.open("rb") as lines:
        for line in lines:
            identity = _IDENTITY.search(line)
            verdict = _VERDICT.search(line)
            if identity and verdict and verdict[1] in _TEACHER_FAILURES:
                counts[identity[1].decode()] += 1
    return counts


def rejected_by_id(corpus: Path, ids: frozenset[str]) -> Iterator[Trace]:
    """The rejected traces with these ids."""
    for path in sealed_files(corpus, "rejected"):
        with path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                head = re.match(rb'\{"schema":\d+,"id":"([^"]+)"', line)
                if head and head[1].decode() in ids:
                    yield _parsed(line, f"{path}:{number}")


def _parsed(line: bytes, place: str) -> Trace:
    try:
        return Trace.from_row(orjson.loads(line))
    except (orjson.JSONDecodeError, InputError) as error:
        raise InputError(f"{place}: {error}: `python -m generator check` looks further") from None


def _why_left(trace: Trace, choice: ExportChoice) -> str:
    tokens = trace.usage.completion_tokens
    verdicts = {"correct", "unverifiable"} if choice.unverifiable else {"correct"}
    if trace.verdict not in verdicts:
        return f"verdict {trace.verdict}"
    if not choice.takes_source(trace.source):
        return "source"
    flags = choice.drop_flags.intersection(trace.flags)
    if flags:
        return f"flag: {min(flags)}"
    if tokens < choice.min_tokens or (choice.max_tokens and tokens > choice.max_tokens):
        return "length"
    return ""


def _pick(notes: list[_Note], pick: Pick, problem: str) -> list[_Note]:
    if pick == "all":
        return notes
    if pick == "mixed":
        # half of the problems, by their ids, give their shortest sample, the others their longest
        pick = "shortest" if int(problem[-1], 16) % 2 else "longest"
    keys = {
        "first": lambda note: note.sample,
        "shortest": lambda note: (note.tokens, note.sample),
        "longest": lambda note: (-note.tokens, note.sample),
    }
    return [min(notes, key=keys[pick])]
