"""Evaluation sets by name: the texts that must not be trained on, from local copies or a hub.

`problems.exclude` takes the names of `shared.benchmarks`, any hub data set as
`OWNER/NAME[:[CONFIG:]SPLIT]`, and paths of JSONL or Parquet files and folders. With
`screening.data`, named sets are read from a folder of local copies.
"""

from collections.abc import Iterator
from pathlib import Path

from generator.problems.files import data_files, open_files
from generator.problems.hub import is_hub_name, open_hub
from generator.problems.rows import RowShape
from shared.benchmarks import PUBLIC, plain, public
from shared.errors import InputError

_SHAPE = RowShape("evaluation")


def evaluation_texts(name: str, data: str = "") -> list[str]:
    """The problem texts of one evaluation set. Errors: `InputError` naming `problems.exclude`
    and the remedy.
    """
    path = Path(name).expanduser()
    if path.exists() or path.suffix in {".jsonl", ".parquet"}:
        return _read(path, name)
    if data:
        return _read(_local_copy(name, Path(data).expanduser()), name)
    if known := public(name):
        source, split = ":".join(filter(None, known[:2])), known.split
    elif "/" in name and is_hub_name(name.split(":")[0]):
        source, *rest = name.split(":")
        split = rest.pop() if rest else "test"
        source = ":".join([source, *rest])
    else:
        raise InputError(
            f"problems.exclude: {name!r} is no file, no hub data set and no known name"
            f" ({', '.join(PUBLIC)}): correct it"
        )
    try:
        return [_SHAPE.text(row) for row in open_hub(source, split, None)]
    except InputError as error:
        raise InputError(
            f"problems.exclude {name!r}: {error}; or set screening.data to a folder of copies"
        ) from None


def shown_name(name: str) -> str:
    """A set's name in counts and cards: a path is shortened to its folder and stem."""
    path = Path(name)
    return (
        f"{path.parent.name}/{path.stem}".strip("/")
        if path.suffix in {".jsonl", ".parquet"}
        else name
    )


def _read(path: Path, name: str) -> list[str]:
    try:
        _, rows = open_files(data_files(path)[0], _SHAPE.text, _SHAPE.columns(), "stop", None)
    except InputError as error:
        raise InputError(f"problems.exclude {name!r}: {error}") from None
    return [_SHAPE.text(row) for _, row in rows]


def _local_copy(name: str, folder: Path) -> Path:
    """The copy of a named set in `folder`: gsm8k/test.jsonl, gsm8k_test.jsonl or gsm8k.jsonl
    for "gsm8k:test".
    """
    if not folder.is_dir():
        raise InputError(
            f"screening.data: {folder} is no folder: correct it, or leave it empty to use the hub"
        )
    wanted = plain(name.rpartition("/")[2])
    endings = {wanted, wanted + "test", wanted.removesuffix("test")}
    for whole in (
        True,
        False,
    ):  # the whole relative path names a copy better than the file's name alone
        for path in _files(folder):
            spelled = path.relative_to(folder).with_suffix("") if whole else Path(path.stem)
            if plain(str(spelled)) in endings:
                return path
    raise InputError(
        f"problems.exclude: no copy of {name!r} in screening.data ({folder}): add {wanted}.jsonl"
        " there"
    )


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.suffix in {".jsonl", ".parquet"})
