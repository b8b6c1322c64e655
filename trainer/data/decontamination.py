"""Decontamination at the trainer's door: a problem that judges the model must not have taught it.

The generator screens problems before it pays for them; corpora also come from elsewhere, and the
list of benchmarks grows later. The rule is the generator's: `shared.contamination`.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import orjson

from shared.benchmarks import PUBLIC, public
from shared.contamination import EvaluationIndex
from shared.errors import InputError

PROBLEM_FIELDS = ("problem", "question", "prompt", "input")


def read_benchmarks(names: Iterable[str]) -> EvaluationIndex:
    """The problems of files and of hub benchmarks. Errors: `InputError` naming the entry of
    data.exclude.
    """
    return EvaluationIndex({name: _problems(name) for name in names})


def _problems(name: str) -> Iterator[str]:
    path = Path(name)
    for place, row in _file_rows(path) if path.exists() else _hub_rows(name):
        if not isinstance(row, dict):
            raise InputError(
                f"data.exclude {place}: a JSON {type(row).__name__} where an object belongs"
            )
        text = next(
            (row[field] for field in PROBLEM_FIELDS if isinstance(row.get(field), str)), None
        )
        if text is None:
            raise InputError(
                f"data.exclude {place}: none of the fields {', '.join(PROBLEM_FIELDS)} is there"
            )
        yield text


def _file_rows(path: Path) -> Iterator[tuple[str, Any]]:
    """(place, row) of a local file."""
    if path.suffix not in (".jsonl", ".parquet"):
        raise InputError(f"data.exclude {path}: give a .jsonl or .parquet file")
    try:
        rows = _parquet_rows(path) if path.suffix == ".parquet" else path.read_bytes().splitlines()
    except (OSError, ValueError) as error:  # pyarrow's own errors are ValueErrors
        why = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise InputError(
            f"data.exclude {path}: cannot be read ({why}): give a .jsonl or .parquet file"
        ) from None
    for number, row in enumerate(rows, 1):
        place = f"{path}:{number}"
        if not isinstance(row, bytes):
            yield place, row
        elif row.strip():
            yield place, _parsed(row, place)


def _parquet_rows(path: Path) -> list[Any]:
    import pyarrow.parquet

    rows: list[Any] = pyarrow.parquet.read_table(path).to_pylist()
    return rows


def _parsed(line: bytes, place: str) -> Any:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise InputError(
            f"data.exclude {place}: not JSON ({error}): correct or remove the line"
        ) from None


def _hub_rows(name: str) -> Iterator[tuple[str, Any]]:
    known = public(name)
    if known is None:
        raise InputError(f"data.exclude {name}: no such file, and not one of {', '.join(PUBLIC)}")
    import datasets

    try:
        rows = datasets.load_dataset(known.data_set, known.subset, split=known.split)
    except (OSError, ValueError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"data.exclude {name}: cannot be read from the hub ({first}): give a local .jsonl file"
        ) from None
    yield from ((f"{name}:{number}", row) for number, row in enumerate(rows, 1))
