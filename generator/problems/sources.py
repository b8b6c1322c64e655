"""`problems.source` as a stream: local data, a hub's data set, or the synthetic kind."""

import difflib
import hashlib
import re
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from generator.config import ProblemsConfig
from generator.problems import numina
from generator.problems.columns import DEFAULTS, Columns, recognise
from generator.problems.files import column_names, data_files, first_columns, open_files
from generator.problems.gold_search import GoldSearch
from generator.problems.hub import is_hub_name, open_hub
from generator.problems.rows import BadRow, RowShape, Skipped
from generator.problems.scan import Scan
from generator.problems.stream import ProblemStream, ProblemTally, Screen
from shared.errors import InputError
from shared.hubs.modelscope import data_set_folder, data_set_name, modelscope_name
from shared.records import Problem
from shared.row_files import is_data_file

SYNTHETIC = "synthetic:"
# of a hub's stream without a gold answer, before it is taken for one that has none
PATIENCE_ROWS = 1_000
_SHARD = re.compile(r"-\d+-of-\d+$")  # train-00000-of-00005.parquet is a part of train


def open_problems(
    config: ProblemsConfig,
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
    tally = ProblemTally(read=read, taken=taken)
    if config.source.startswith(SYNTHETIC):
        return ProblemStream(_synthetic(config), config.limit, screen, tally)
    path = local_path(config.source)
    if path is not None:
        items = _local(config, path, tally, config.seed, needs_gold)
        return ProblemStream(items, config.limit, screen, tally)
    _check_numina_sources(config)
    rows = open_hub(config.source, config.split, config.seed)
    items = _from_hub(rows, config, needs_gold, tally)
    return ProblemStream(items, config.limit, screen, tally)


def local_path(source: str) -> Path | None:
    """The file or folder that `problems.source` means, whether it exists or not; None for a hub or
    synthetic source.

    FOLDER:CONFIG is the folder of one configuration, as hubs name it. A data set of ModelScope is
    fetched, once. Errors: `InputError` where it cannot be.
    """
    path = Path(source).expanduser()
    if source.startswith(SYNTHETIC):
        return None
    repository = modelscope_name(source)
    if repository:
        return data_set_folder(repository)
    folder, _, configuration = source.rpartition(":")
    configuration_folder = Path(folder).expanduser() / configuration
    if configuration and not path.exists() and configuration_folder.is_dir():
        return configuration_folder
    is_local = path.exists() or is_data_file(path) or not is_hub_name(source)
    return path if is_local else None


def whole_data_set(config: ProblemsConfig, path: Path, needs_gold: bool = False) -> ProblemStream:
    """Every problem of local data in the order of the files, whatever `limit` and `seed` say.
    Errors: `InputError`.
    """
    tally = ProblemTally()
    return ProblemStream(_local(config, path, tally, None, needs_gold), 0, None, tally)


def fingerprint(config: ProblemsConfig, path: Path, needs_gold: bool = False) -> str:
    """Changes when the local data or the way that it is read changes. Errors: `InputError`
    where there is none.
    """
    files = data_files(path, config.split)[0]
    shape = _shape(config, "", needs_gold, recognise(first_columns(files)))
    digest = hashlib.sha256(f"{shape} {config.on_bad_line}".encode())
    for file in files:
        facts = file.stat()
        digest.update(f"{file} {facts.st_size} {facts.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]


def _synthetic(config: ProblemsConfig) -> Iterator[Problem]:
    kind = config.source.removeprefix(SYNTHETIC)
    from generator.problems import synthetic

    if kind not in synthetic.KINDS:
        kinds = " or ".join(f'"{SYNTHETIC}{name}"' for name in synthetic.KINDS)
        raise InputError(f"{config.source}: no such synthetic kind: problems.source is {kinds}")
    return (
        Problem.of(text, gold, config.source)
        for text, gold in synthetic.problems(config.seed, kind)
    )


def shape_of(config: ProblemsConfig, path: Path, files: list[Path], needs_gold: bool) -> RowShape:
    """How the rows of local data are read."""
    return _shape(config, path.name, needs_gold, recognise(first_columns(files)))


def _local(
    config: ProblemsConfig, path: Path, tally: ProblemTally, seed: int | None, needs_gold: bool
) -> Iterator[Problem | Skipped | BadRow]:
    files, tally.files = data_files(path, config.split)
    known_columns = recognise(first_columns(files))
    shape = _shape(config, path.name, needs_gold, known_columns)
    tally.columns = _columns_in_words(shape, known_columns)
    golds = GoldSearch(shape)
    scan, rows = open_files(
        files, golds.check, shape.columns(), config.on_bad_line, seed, tally.read
    )
    tally.bad_rows = scan.bad_rows
    tally.bad = scan.bad
    check_scan(config, path, files, scan, golds)
    names = data_set_names(path, files)
    return (shape.read(row, names[file]) for file, row in rows)


def check_scan(
    config: ProblemsConfig, path: Path, files: list[Path], scan: Scan, golds: GoldSearch
) -> None:
    """Refuse what would be found out when all calls are paid. Errors: `InputError`."""
    if scan.bad_rows and not scan.rows:
        raise InputError(
            f"{path}: none of its {scan.bad_rows:,} rows could be read, the first: {scan.bad[0]}"
        )
    if scan.rows:
        _check_answer_field(config, path, scan.fields | column_names(files))
        if golds.in_vain:
            raise golds.refusal(path, scan.fields | column_names(files))
    for name in config.only_sources:
        if name not in scan.subsets:
            raise InputError(
                f"problems.only_sources: no row of {path} has source"
                f" {name!r}{_suggestion(name, scan.subsets)}"
            )


def data_set_names(path: Path, files: list[Path]) -> dict[Path, str]:
    """What the rows of each file call their origin: folder and file; the folder alone where it
    is one data set.
    """
    names = {file: _SHARD.sub("", file.stem) for file in files}
    folder = data_set_name(path.parent if path.is_file() else path)
    if path.is_dir() and len(set(names.values())) == 1:
        return dict.fromkeys(files, folder)
    return {file: f"{folder}/{name}" for file, name in names.items()}


def _from_hub(
    rows: Iterator[dict[str, Any]], config: ProblemsConfig, needs_gold: bool, tally: ProblemTally
) -> Iterator[Problem | Skipped | BadRow]:
    opening_row = next(rows, None)
    if opening_row is None:
        return
    fields = set(opening_row)
    _check_answer_field(config, config.source, fields)
    known_columns = recognise(fields)
    shape = _shape(config, config.source, needs_gold, known_columns)
    tally.columns = _columns_in_words(shape, known_columns)
    golds = GoldSearch(shape)
    for number, row in enumerate(chain([opening_row], rows), 1):
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


def _shape(
    config: ProblemsConfig, data_set: str, needs_gold: bool, known_columns: Columns | None
) -> RowShape:
    """Which columns are read: those of a known data set where the user configured none."""
    names = {
        "problem": config.problem_field,
        "answer": config.answer_field,
        "solution": config.solution_field,
    }
    if known_columns is not None:
        for name, configured_name in names.items():
            if configured_name == DEFAULTS[name]:
                names[name] = getattr(known_columns, name)
    return RowShape(
        data_set,
        names["problem"],
        names["answer"],
        names["solution"],
        frozenset(config.only_sources),
        needs_gold,
    )


def _columns_in_words(shape: RowShape, known_columns: Columns | None) -> str:
    """What a recognised data set is read as; "" for one that is not known by name."""
    if known_columns is None:
        return ""
    golds = shape.answer_field or f"answer, else {shape.solution_field}"
    return f"columns of {known_columns.name}: problem in {shape.problem_field}, gold in {golds}"


def _check_answer_field(config: ProblemsConfig, place: object, fields: Iterable[str]) -> None:
    """Misspelt, it would leave every problem without a gold answer, found out when all calls
    are paid.
    """
    name = config.answer_field
    if name and name not in fields and name.partition(".")[0] not in fields:
        raise InputError(
            f"problems.answer_field: no row of {place} has a field {name!r}{_suggestion(name, fields)}"
        )


def _check_numina_sources(config: ProblemsConfig) -> None:
    if "numinamath-cot" in config.source.lower():
        for name in config.only_sources:
            if name not in numina.SOURCES:
                sources = ", ".join(numina.SOURCES)
                raise InputError(
                    f"problems.only_sources: {name!r} is no source of NuminaMath-CoT (they are"
                    f" {sources})"
                )


def _suggestion(name: str, names: Iterable[str]) -> str:
    close_names = difflib.get_close_matches(name, list(names), 1)
    if close_names:
        return f"; did you mean {close_names[0]!r}?"
    return f"; it has {', '.join(sorted(names)[:12]) or 'no source column'}"
