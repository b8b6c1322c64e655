"""Decontamination at the trainer's door: a problem that judges the model must not have taught it.

The generator screens problems before it pays for them; corpora also come from elsewhere, and the list of benchmarks
grows later. The rule is the generator's: `shared.contamination`.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import orjson

from shared.benchmarks import PUBLIC, public
from shared.contamination import EvaluationIndex
from shared.exits import InputError

PROBLEM_FIELDS = ("problem", "question", "prompt", "input")


def read_benchmarks(names: Iterable[str]) -> EvaluationIndex:
    """The problems of files and of hub benchmarks. Errors: `InputError` naming the entry of data.exclude."""
    return EvaluationIndex({name: _problems(name) for name in names})


def _problems(name: str) -> Iterator[str]:
    path = Path(name)
    rows = _file_rows(path) if path.exists() else _hub_rows(name)
    for number, row in enumerate(rows, 1):
        text = next((row[field] for field in PROBLEM_FIELDS if isinstance(row.get(field), str)), None)
        if text is None:
            raise InputError(f"data.exclude {name}: row {number} has none of the fields {', '.join(PROBLEM_FIELDS)}")
        yield text


def _file_rows(path: Path) -> Iterator[dict[str, Any]]:
    if path.suffix == ".parquet":
        import pyarrow.parquet

        yield from pyarrow.parquet.read_table(path).to_pylist()
        return
    if path.suffix != ".jsonl":
        raise InputError(f"data.exclude {path}: give a .jsonl or .parquet file")
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        try:
            yield orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise InputError(f"data.exclude {path}:{number}: not JSON ({error}): correct or remove the line") from None


def _hub_rows(name: str) -> Iterator[dict[str, Any]]:
    known = public(name)
    if known is None:
        raise InputError(f"data.exclude {name}: no such file, and not one of {', '.join(PUBLIC)}")
    import datasets

    try:
        yield from datasets.load_dataset(known.data_set, known.subset, split=known.split)
    except (OSError, ValueError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"data.exclude {name}: cannot be read from the hub ({first}): give a local .jsonl file"
        ) from None
