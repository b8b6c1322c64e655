"""Copies of hub data sets in a local folder, whatever their files are called.

gsm8k/test.jsonl  gsm8k.jsonl  gsm8k_test.csv.gz  gsm8k/main/test-00000-of-00001.parquet
MATH-500/test.jsonl  math500.jsonl  aime/aime24.jsonl  aime_2024.jsonl
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from shared.benchmarks.names import HubSet, is_one_of_several, key_of, plain
from shared.file_search import everything_below
from shared.row_files import PREFERRED_SUFFIXES, is_data_file, without_suffix

# How `datasets` names the files of one split: test-00000-of-00002.parquet, test-00001-of-00002….
_PART_NUMBER = re.compile(r"-\d{5}-of-\d{5}\Z")


class CopyLeeway(NamedTuple):
    """What a copy's path may lack."""

    split: bool = False  # also where the split is neither "test" nor a benchmark's only one
    subset: bool = True


USUAL_LEEWAY = CopyLeeway()


def find_copy(
    folder: Path,
    name: str,
    hub_set: HubSet,
    leeway: CopyLeeway = USUAL_LEEWAY,
) -> list[Path]:
    """The files of a copy of the data set that `name` means; [] where the folder has none.

    The whole path within the folder names a copy better than the file's name alone, and one that
    names the subset better than one that does not.
    """
    paths = list(data_files(folder))
    subsets = [hub_set.subset or ""]
    if leeway.subset or not hub_set.subset:
        subsets += ["", "default", "data"]
    for subset in subsets:
        spellings = _spellings(name, hub_set, subset)
        if leeway.split:
            spellings |= _spellings(name, hub_set._replace(split=""), subset)
        for whole_path in (True, False):
            for path in paths:
                if _spelled(path, folder, whole_path) in spellings:
                    return _parts_of(path)
    return []


def _parts_of(path: Path) -> list[Path]:
    """The files that `datasets` wrote of one split, of which `path` is one; mostly `path` alone."""
    return [
        part
        for part in data_files(path.parent)
        if part.suffixes == path.suffixes
        and _without_part_number(part) == _without_part_number(path)
    ]


def expected_copies(name: str, hub_set: HubSet) -> list[str]:
    """The likeliest places of a copy within its folder, for a message."""
    alias = key_of(name) or hub_set.data_set.rpartition("/")[2]
    alias = alias.replace(":", "_")
    places = [f"{alias}/{hub_set.split}.jsonl", f"{alias}.jsonl", f"{alias}.parquet"]
    if key_of(name) is None and hub_set.subset not in (None, "default"):
        places.insert(0, f"{alias}/{hub_set.subset}/{hub_set.split}.jsonl")
    return places


def data_files(folder: Path) -> Iterator[Path]:
    """The files of rows below a folder, in the order of their paths.

    JSON lines and Parquet come first: a .json or .csv beside them may describe them.
    """
    paths = sorted(everything_below(folder), key=lambda path: (not _is_preferred(path), path))
    return (path for path in paths if is_data_file(path) and path.is_file())


def _is_preferred(path: Path) -> bool:
    return path.name.lower().endswith(PREFERRED_SUFFIXES)


def _spellings(name: str, hub_set: HubSet, subset: str) -> set[str]:
    """What a copy's path may say in letters and digits: one of the set's names, the subset as it
    is given here, with or without the split.
    """
    key = key_of(name)
    own_name = hub_set.data_set.rpartition("/")[2]
    names = {hub_set.data_set, own_name, name.split(":")[0]}
    if is_one_of_several(hub_set):
        names = {f"{each}{hub_set.subset}" for each in names}
    if plain(hub_set.subset or "").startswith(plain(own_name)):
        names.add(f"{hub_set.subset}")  # gpqa_diamond, of gpqa
    if key is not None:
        names.add(key)
    splits = {hub_set.split}
    if key is not None or hub_set.split == "test":
        # A benchmark's only file is mostly called test, whatever the hub calls the split.
        splits |= {"test", ""}
    return {plain(f"{name}{subset}{split}") for name in names for split in splits}


def _spelled(path: Path, folder: Path, whole_path: bool) -> str:
    place = path.relative_to(folder) if whole_path else Path(path.name)
    return plain(_without_part_number(place))


def _without_part_number(path: Path) -> str:
    return _PART_NUMBER.sub("", str(without_suffix(path)))
