"""A benchmark's name as a user writes it -> its rows: from the hub, a folder of copies, a file, or
the held-out problems of a corpus.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from shared.benchmarks.choices import multiple_choice
from shared.benchmarks.held_out import open_held_out
from shared.benchmarks.local_copies import expected_copies, find_copy
from shared.benchmarks.names import (
    HELD_OUT,
    LIGHTEVAL,
    ON_MODELSCOPE,
    WHAT_A_NAME_IS,
    HubSet,
    hub_set_of,
    key_of,
    nearest_names,
)
from shared.benchmarks.rows import PlacedRow, Row, checked_row, problem_of, read_file
from shared.errors import InputError
from shared.file_search import everything_below
from shared.hubs.modelscope import PREFIX, data_set_folder, on_modelscope
from shared.row_files import check_format, choose_files, is_data_file
from shared.splits import files_of_split

OTHER_HUBS = "HF_ENDPOINT=… names a mirror, HUB=modelscope another hub"
HubReader = Callable[[HubSet], Iterable[Any]]  # the split's rows, in order


@dataclass(frozen=True, slots=True)
class BenchmarkSources:
    """Where a program looks for benchmarks, and which configuration keys say so."""

    names_key: str  # the key that lists the names
    read_hub: HubReader
    copies_key: str = ""  # the key of the folder of local copies; "": the program has none
    copies: str = ""  # the folder; "": the hub
    runs: Sequence[Path] = ()  # training runs that may say what they held out of a corpus


@dataclass(frozen=True, slots=True)
class OpenBenchmark:
    """A benchmark's rows, in order, and where they come from."""

    rows: Iterator[PlacedRow]
    origin: str
    lists_are_parts: bool = False  # a gold in a list is one answer in parts, not several golds


def open_benchmark(name: str, sources: BenchmarkSources) -> OpenBenchmark:
    """The benchmark of a name. What cannot be read later raises from its rows.

    Errors: `InputError` that names the configuration key, the name and the remedy.
    """
    path = Path(name).expanduser()
    from_modelscope = on_modelscope(name) and not path.exists()
    name = name.removeprefix(PREFIX)
    hub_set = hub_set_of(name)
    if name.startswith(HELD_OUT):
        place = Path(name.removeprefix(HELD_OUT)).expanduser()
        return OpenBenchmark(*open_held_out(place, sources.runs))
    if name.startswith(LIGHTEVAL):
        raise InputError(
            f"{sources.names_key}: {name!r}: lighteval's tasks can be asked by the evaluation only:"
            " name the task's data set, OWNER/NAME[:CONFIG]:SPLIT, or a file of it"
        )
    if is_data_file(name):
        return OpenBenchmark(read_file(path), name)
    if path.exists() and key_of(name) is None:
        return OpenBenchmark(_read_local(path), name)
    if hub_set is None:
        near = nearest_names(name)
        nearest = f"; nearest: {', '.join(near)}" if near else ""
        raise InputError(f"{sources.names_key}: {name!r} is unknown: use {WHAT_A_NAME_IS}{nearest}")
    if sources.copies:
        return _open_copy(name, hub_set, sources)
    if from_modelscope:
        return _open_modelscope(name, hub_set, sources)
    return _open_hub(name, hub_set, sources)


def problem_texts(name: str, sources: BenchmarkSources) -> list[str]:
    """The problems of a benchmark that is to be kept out. Errors: `InputError` that names the
    configuration key and the place.
    """
    try:
        return [_text_of(row, place) for place, row in open_benchmark(name, sources).rows]
    except InputError as error:
        if str(error).startswith(sources.names_key):
            raise
        raise InputError(f"{sources.names_key} {name!r}: {error}") from None


def _text_of(row: Row, place: str) -> str:
    choice = multiple_choice(row, place)
    if choice is None:
        return problem_of(row, place)
    return choice.text


def _has_parts(name: str) -> bool:
    return key_of(name) == "olympiadbench"


def _read_local(path: Path) -> Iterator[PlacedRow]:
    """The rows of all data files of a folder."""
    check_format(path)
    files = choose_files(everything_below(path))
    if not files:
        raise InputError(
            f"{path}: give a file of rows (.jsonl, .csv, .parquet), or a folder of them"
        )
    return chain.from_iterable(map(read_file, files))


def _open_copy(
    name: str,
    hub_set: HubSet,
    sources: BenchmarkSources,
) -> OpenBenchmark:
    folder = Path(sources.copies).expanduser()
    where = f'{sources.copies_key} = "{sources.copies}"'
    if not folder.is_dir():
        raise InputError(f"{where}: is no folder: correct it, or leave it empty to use the hub")
    files = find_copy(folder, name, hub_set)
    if not files:
        places = ", ".join(expected_copies(name, hub_set))
        raise InputError(f"{where}: no copy of {name} there: looked for {places}: add one")
    rows = chain.from_iterable(map(read_file, files))
    return OpenBenchmark(rows, ", ".join(map(str, files)), _has_parts(name))


def _open_modelscope(
    name: str,
    hub_set: HubSet,
    sources: BenchmarkSources,
) -> OpenBenchmark:
    """The files of a split, fetched once. Errors: `InputError`."""
    key = key_of(name)
    if key is not None and key not in ON_MODELSCOPE and "/" not in name:
        raise InputError(
            f"{sources.names_key}: {name!r}: ModelScope is not known to keep it: give a local file,"
            f" or {PREFIX}OWNER/NAME:SPLIT"
        )
    if key is not None and "/" not in name:
        hub_set = ON_MODELSCOPE[key]
    subset = f":{hub_set.subset}" if hub_set.subset else ""
    place = data_set_folder(f"{hub_set.data_set}{subset}")
    files = [place]
    if place.is_dir():
        files, _ = files_of_split(
            place,
            choose_files(everything_below(place)),
            hub_set.split,
            sources.names_key,
        )
    if not files:
        raise InputError(f"{PREFIX}{hub_set.data_set}: no file of rows in it: give a local file")
    rows = chain.from_iterable(map(read_file, files))
    return OpenBenchmark(rows, f"{PREFIX}{hub_set}", _has_parts(name))


def _open_hub(
    name: str,
    hub_set: HubSet,
    sources: BenchmarkSources,
) -> OpenBenchmark:
    origin = f"hub:{hub_set}"
    try:
        rows = sources.read_hub(hub_set)
    except Exception as error:  # the hubs' clients share no ancestor: "it cannot be had" is all
        why = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        remedy = (
            f"check the network ({OTHER_HUBS}), or give a local .jsonl file in {sources.names_key}"
        )
        if sources.copies_key:
            copy = expected_copies(name, hub_set)[0]
            remedy = (
                f"check the network ({OTHER_HUBS}), or set {sources.copies_key} ="
                f' "FOLDER" with {copy} in it'
            )
        raise InputError(f"{origin}: cannot be loaded ({why}): {remedy}") from None
    version = getattr(rows, "_fingerprint", "")
    placed_rows = ((f"{origin}:{number}", row) for number, row in enumerate(rows, 1))
    return OpenBenchmark(
        ((place, checked_row(row, place)) for place, row in placed_rows),
        f"{origin} {version}".strip(),
        _has_parts(name),
    )
