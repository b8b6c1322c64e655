"""Copies of hub data sets in a local folder, whatever their files are called.

gsm8k/test.jsonl  gsm8k.jsonl  gsm8k_test.parquet  gsm8k/main/test-00000-of-00001.parquet
MATH-500/test.jsonl  math500.jsonl  aime/aime24.jsonl  aime_2024.jsonl
"""

import re
from collections.abc import Iterator
from pathlib import Path

from shared.benchmarks.names import DATA_FILES, HubSet, key_of, plain

# How `datasets` names the files of one split: test-00000-of-00002.parquet, test-00001-of-00002….
_PART_NUMBER = re.compile(r"-\d{5}-of-\d{5}\Z")


def find_copy(folder: Path, name: str, hub_set: HubSet) -> list[Path]:
    """The files of a copy of the data set that `name` means; [] where the folder has none.

    The whole path within the folder names a copy better than the file's name alone.
    """
    spellings = _spellings(name, hub_set)
    for whole_path in (True, False):
        for path in data_files(folder):
            if _spelled(path, folder, whole_path) in spellings:
                return [
                    part
                    for part in data_files(path.parent)
                    if _without_part_number(part) == _without_part_number(path)
                ]
    return []


def expected_copies(name: str, hub_set: HubSet) -> list[str]:
    """The likeliest places of a copy within its folder, for a message."""
    alias = key_of(name) or hub_set.data_set.rpartition("/")[2]
    return [f"{alias}/{hub_set.split}.jsonl", f"{alias}.jsonl", f"{alias}.parquet"]


def data_files(folder: Path) -> Iterator[Path]:
    """The JSONL and Parquet files below a folder, in the order of their paths."""
    paths = sorted(folder.rglob("*"))
    return (path for path in paths if path.suffix in DATA_FILES and path.is_file())


def _spellings(name: str, hub_set: HubSet) -> set[str]:
    """What a copy's path may say in letters and digits: one of the set's names, with or without
    its subset and its split.
    """
    key = key_of(name)
    names = {hub_set.data_set, hub_set.data_set.rpartition("/")[2], key or name.split(":")[0]}
    subsets = {"", hub_set.subset or "", "default", "data"}
    splits = {hub_set.split}
    if key is not None or hub_set.split == "test":
        # A benchmark's only file is mostly called test, whatever the hub calls the split.
        splits |= {"test", ""}
    return {
        plain(f"{one}{subset}{split}") for one in names for subset in subsets for split in splits
    }


def _spelled(path: Path, folder: Path, whole_path: bool) -> str:
    place = path.relative_to(folder) if whole_path else Path(path.name)
    return plain(_without_part_number(place))


def _without_part_number(path: Path) -> str:
    return _PART_NUMBER.sub("", str(path.with_suffix("")))
