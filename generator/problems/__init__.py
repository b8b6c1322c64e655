"""Where problems come from: files, folders, hubs and the synthetic kind, all as one streamed
iterator of `Problem`.

    stream = open_problems(config.problems)
    for problem in stream: ...
    stream.tally.skipped      # {"a proof, not an answer": 1200, …}

Local files are scanned when the stream is opened, before anything is spent. The order depends on
the seed alone, so a run that goes on meets the same problems. Memory does not grow with the data.
"""

import difflib
import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from generator.problems import numina
from generator.problems.files import Row, column_names, data_files, open_files
from generator.problems.golds import MISSING, NO_ANSWER, SENTENCE, SEVERAL
from generator.problems.hub import MODELSCOPE, is_hub_name, open_hub
from generator.problems.rows import BadRow, RowShape, Skipped
from shared.errors import InputError
from shared.records import Problem

__all__ = [
    "BadRow",
    "ProblemStream",
    "Settings",
    "Tally",
    "fingerprint",
    "local_path",
    "open_problems",
    "whole_data_set",
]

SYNTHETIC = "synthetic:"
MOST_SOURCES = 12  # named in a line
WITHOUT_GOLD = frozenset(
    {MISSING, NO_ANSWER, SENTENCE, SEVERAL, numina.NO_GOLD}
)  # reasons to skip a row
PATIENCE_ROWS = (
    1_000  # of a hub's stream without a gold answer, before it is taken for one that has none
)
# As data sets call them: {"question": …, "final_answer": …}, {"query": …, "response": …}.
ANSWER_COLUMNS = (
    "answer",
    "final_answer",
    "gold",
    "gold_answer",
    "ground_truth",
    "expected_answer",
    "reference_answer",
    "target",
    "label",
    "result",
    "numerical_answer",
    "correct_answer",
    "reward_model",
)
SOLUTION_COLUMNS = (
    "solution",
    "response",
    "output",
    "completion",
    "generation",
    "rationale",
    "explanation",
    "generated_solution",
    "worked_solution",
    "r1_solution_1",
)
_SHARD = re.compile(r"-\d+-of-\d+$")  # train-00000-of-00005.parquet is a part of train

# Says why a problem is left out, "" to take it: screening, wired in by the pipeline.
Screen = Callable[[Problem], str]


class Settings(Protocol):
    """The keys of `[problems]` that are read here."""

    @property
    def source(self) -> str: ...
    @property
    def split(self) -> str: ...
    @property
    def problem_field(self) -> str: ...
    @property
    def answer_field(self) -> str: ...
    @property
    def solution_field(self) -> str: ...
    @property
    def only_sources(self) -> tuple[str, ...]: ...
    @property
    def limit(self) -> int: ...
    @property
    def seed(self) -> int: ...
    @property
    def on_bad_line(self) -> str: ...


@dataclass
class Tally:
    """What became of the rows read so far. read = taken + skipped + bad rows of a hub."""

    read: int = 0
    taken: int = 0
    without_gold: int = 0  # of those taken
    by_source: Counter[str] = field(default_factory=Counter)  # taken
    skipped: Counter[str] = field(default_factory=Counter)  # by reason
    skipped_by_source: Counter[tuple[str, str]] = field(default_factory=Counter)  # (source, reason)
    files: str = ""  # a line on the files of the split, where a folder has others
    bad_rows: int = 0
    bad: list[str] = field(default_factory=list)  # the first ones, "file:line: why"

    def in_words(self) -> list[str]:
        """What was taken by source, and what was left out and why; one line each, nothing where
        there is nothing.
        """
        lines = [self.files] if self.files else []
        if len(self.by_source) > 1:
            taken = ", ".join(
                f"{source} {count:,}" for source, count in self.by_source.most_common(MOST_SOURCES)
            )
            lines.append(f"of which {taken}")
        if self.without_gold:
            lines.append(
                f"without a gold answer {self.without_gold:,}: their samples will be unverifiable"
            )
        if self.skipped:
            reasons = ", ".join(
                f"{reason} {count:,}" for reason, count in self.skipped.most_common()
            )
            lines.append(f"left out of {self.read:,}: {reasons}")
        if self.bad_rows:
            lines.append(
                f"bad lines {self.bad_rows:,}, the first:"
                f" {self.bad[0] if self.bad else 'in the hub data set'}"
            )
        return lines

    def skip(self, source: str, reason: str) -> None:
        self.skipped[reason] += 1
        self.skipped_by_source[source, reason] += 1


class ProblemStream(Iterator[Problem]):
    """The problems one by one, `limit` of them at most (0: all); `tally` says what was left out
    so far and why.
    """

    def __init__(
        self,
        items: Iterable[Problem | Skipped | BadRow],
        limit: int,
        screen: Screen | None,
        tally: Tally,
    ) -> None:
        self._items = iter(items)
        self._limit = limit
        self._screen = screen
        self.tally = tally

    def __next__(self) -> Problem:
        if self._limit and self.tally.taken >= self._limit:
            raise StopIteration
        for item in self._items:
            if (problem := self._taken(item)) is not None:
                return problem
        raise StopIteration

    def _taken(self, item: Problem | Skipped | BadRow) -> Problem | None:
        tally = self.tally
        tally.read += 1
        if isinstance(item, BadRow):
            tally.bad_rows += 1
            return None
        if isinstance(item, Problem):
            reason = self._screen(item) if self._screen else ""
            if not reason:
                tally.taken += 1
                tally.without_gold += item.gold is None
                tally.by_source[item.source] += 1
                return item
            tally.skip(item.source, reason)
        else:
            tally.skip(item.source, item.reason)
        return None


def open_problems(
    config: Settings,
    screen: Screen | None = None,
    read: int = 0,
    taken: int = 0,
    needs_gold: bool = False,
) -> ProblemStream:
    """The problems that `[problems]` describes, ready to be pulled. `limit` counts what the screen
    lets through.

    `needs_gold`: rows without a gold answer are skipped, and a source where no row has one is
    refused.

    `read` and `taken` are where the tally of an earlier stream over the same local data stood: it
    goes on from there.

    Errors: `InputError` (naming file and line where there is one) for a source that cannot be read,
    before the first problem comes; a hub that fails later raises it from the iteration.
    """
    tally = Tally(read=read, taken=taken)
    if config.source.startswith(SYNTHETIC):
        return ProblemStream(_synthetic(config), config.limit, screen, tally)
    if (path := local_path(config.source)) is not None:
        return ProblemStream(
            _local(config, path, tally, config.seed, needs_gold), config.limit, screen, tally
        )
    shape = _shape(config, config.source.removeprefix(MODELSCOPE), needs_gold)
    _check_numina_sources(config)
    rows = open_hub(config.source, config.split, config.seed)
    return ProblemStream(_from_hub(rows, shape, config), config.limit, screen, tally)


def local_path(source: str) -> Path | None:
    """The file or folder that `problems.source` means, whether it exists or not; None for a hub or
    synthetic source.

    FOLDER:CONFIG is the folder of one configuration, as hubs name it.
    """
    path = Path(source).expanduser()
    if source.startswith(SYNTHETIC):
        return None
    folder, _, configuration = source.rpartition(":")
    if configuration and not path.exists() and (Path(folder).expanduser() / configuration).is_dir():
        return Path(folder).expanduser() / configuration
    return (
        path
        if path.exists() or path.suffix in {".jsonl", ".parquet"} or not is_hub_name(source)
        else None
    )


def whole_data_set(config: Settings, path: Path, needs_gold: bool = False) -> ProblemStream:
    """Every problem of local data in the order of the files, whatever `limit` and `seed` say.
    Errors: `InputError`.
    """
    tally = Tally()
    return ProblemStream(_local(config, path, tally, None, needs_gold), 0, None, tally)


def fingerprint(config: Settings, path: Path, needs_gold: bool = False) -> str:
    """Changes when the local data or the way that it is read changes. Errors: `InputError`
    where there is none.
    """
    digest = hashlib.sha256(f"{_shape(config, '', needs_gold)} {config.on_bad_line}".encode())
    for file in data_files(path, config.split)[0]:
        facts = file.stat()
        digest.update(f"{file} {facts.st_size} {facts.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]


def _synthetic(config: Settings) -> Iterator[Problem]:
    kind = config.source.removeprefix(SYNTHETIC)
    from generator.problems import synthetic

    if kind not in synthetic.KINDS:
        known = " or ".join(f'"{SYNTHETIC}{name}"' for name in synthetic.KINDS)
        raise InputError(f"{config.source}: no such synthetic kind: problems.source is {known}")
    return (
        Problem.of(text, gold, config.source)
        for text, gold in synthetic.problems(config.seed, kind)
    )


def _local(
    config: Settings, path: Path, tally: Tally, seed: int | None, needs_gold: bool
) -> Iterator[Problem | Skipped | BadRow]:
    shape = _shape(config, path.name, needs_gold)
    files, tally.files = data_files(path, config.split)
    golds = _GoldSearch(shape)
    scan, rows = open_files(
        files, golds.check, shape.columns(), config.on_bad_line, seed, tally.read
    )
    tally.bad_rows = scan.bad_rows
    tally.bad = scan.bad
    if scan.rows:
        _check_answer_field(config, path, scan.fields)
        if golds.in_vain:
            raise golds.refusal(path, scan.fields | column_names(files))
    for name in config.only_sources:
        if name not in scan.subsets:
            raise InputError(
                f"problems.only_sources: no row of {path} has source"
                f" {name!r}{_near(name, scan.subsets)}"
            )
    names = _data_set_names(path, files)
    return (shape.read(row, names[file]) for file, row in rows)


class _GoldSearch:
    """Looks for the first row with a gold answer; from then on it costs nothing."""

    def __init__(self, shape: RowShape) -> None:
        self._shape = shape
        self._seen = not shape.needs_gold
        self.rows_without = 0
        self._first_reason = ""

    @property
    def in_vain(self) -> bool:
        """Whether rows were looked at for their gold, and none had one."""
        return not self._seen and self.rows_without > 0

    def check(self, row: Row) -> None:
        """Look at one row. Errors: `BadRow`."""
        self._shape.text(row)
        if not self._seen:
            self.count(self._shape.read(row))

    def count(self, item: Problem | Skipped) -> None:
        if isinstance(item, Problem):
            self._seen = True
        elif item.reason in WITHOUT_GOLD:
            self.rows_without += 1
            self._first_reason = self._first_reason or item.reason

    def refusal(self, place: object, fields: Iterable[str]) -> InputError:
        known = set(fields)
        answers = [
            name for name in ANSWER_COLUMNS if name in known and name != self._shape.answer_field
        ]
        solutions = [
            name
            for name in SOLUTION_COLUMNS
            if name in known and name != self._shape.solution_field
        ]
        likely = [f"problems.answer_field = {name!r}" for name in answers]
        likely += [f"problems.solution_field = {name!r}" for name in solutions]
        advice = f"likely {' or '.join(likely)}" if likely else "set problems.answer_field"
        why = "" if self._first_reason == MISSING else f" ({self._first_reason})"
        return InputError(
            f"no row of {place} has a gold answer{why}, and without one every sample is paid for"
            f" and rejected: {advice} (its columns: {', '.join(sorted(known)[:20])}), or"
            " sampling.keep_unverifiable = true"
        )


def _data_set_names(path: Path, files: list[Path]) -> dict[Path, str]:
    """What the rows of each file call their origin: folder and file; the folder alone where it
    is one data set.
    """
    names = {file: _SHARD.sub("", file.stem) for file in files}
    folder = (path.parent if path.is_file() else path).resolve().name
    if path.is_dir() and len(set(names.values())) == 1:
        return dict.fromkeys(files, folder)
    return {file: f"{folder}/{name}" for file, name in names.items()}


def _from_hub(
    rows: Iterator[dict[str, Any]], shape: RowShape, config: Settings
) -> Iterator[Problem | Skipped | BadRow]:
    golds = _GoldSearch(shape)
    fields: set[str] = set()
    for number, row in enumerate(rows, 1):
        if number == 1:
            _check_answer_field(config, config.source, row)
            fields = set(row)
        try:
            item = shape.read(row)
            golds.count(item)
            if golds.in_vain and golds.rows_without >= PATIENCE_ROWS:
                break
            yield item
        except BadRow as error:
            if config.on_bad_line == "stop":
                raise InputError(
                    f"{config.source}: row {number}: {error}: set problems.problem_field or"
                    " problems.on_bad_line"
                ) from None
            yield error
    if golds.in_vain:
        raise golds.refusal(config.source, fields)


def _shape(config: Settings, data_set: str, needs_gold: bool) -> RowShape:
    return RowShape(
        data_set,
        config.problem_field,
        config.answer_field,
        config.solution_field,
        frozenset(config.only_sources),
        needs_gold,
    )


def _check_answer_field(config: Settings, place: object, fields: Iterable[str]) -> None:
    """Misspelt, it would leave every problem without a gold answer, found out when all calls
    are paid.
    """
    name = config.answer_field
    if name and name not in fields:
        raise InputError(
            f"problems.answer_field: no row of {place} has a field {name!r}{_near(name, fields)}"
        )


def _check_numina_sources(config: Settings) -> None:
    if "numinamath-cot" in config.source.lower():
        for name in config.only_sources:
            if name not in numina.SOURCES:
                known = ", ".join(numina.SOURCES)
                raise InputError(
                    f"problems.only_sources: {name!r} is no source of NuminaMath-CoT (they are"
                    f" {known})"
                )


def _near(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), 1)
    return (
        f"; did you mean {near[0]!r}?"
        if near
        else f"; it has {', '.join(sorted(known)[:12]) or 'no source column'}"
    )
