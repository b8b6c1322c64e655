"""Which files of a data set folder belong to a split, by the words in the names of files and folders.

    gsm8k/main/train.jsonl, data/train-00000-of-00005.parquet, train/0000.parquet      train
    gsm8k/main/test.jsonl, aime_eval.jsonl                                             test

The words are those by which `datasets` tells splits apart. As there, files that name no split are
the train split of a folder in which no file names it.
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from shared.errors import InputError

WORDS = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
    "eval": "test",
    "evaluation": "test",
}
MOST_NAMED = 4  # files in a line
_BETWEEN_WORDS = re.compile(r"[-._ 0-9]+")


def files_of_split(
    folder: Path,
    files: Sequence[Path],
    split: str,
    key: str = "problems.split",
) -> tuple[list[Path], str]:
    """The files of a split ("train", "train+test", "all"), and a line that says what was taken; ""
    where all were. `key`: what the configuration calls the split.

    Errors: `InputError` for a split that no file has, and for a part of one.
    """
    if split in ("", "all"):
        return list(files), ""
    if "[" in split:
        raise InputError(
            f"{key}: {split!r} is a part of a split, for hubs only: use problems.limit"
        )
    split_names = {WORDS.get(name.strip().lower(), name.strip()) for name in split.split("+")}
    by_split: dict[str, list[Path]] = defaultdict(list)
    for file in files:
        by_split[_split_of(file.relative_to(folder), split_names)].append(file)
    if split_names.isdisjoint(by_split) and "train" in split_names:
        split_names.add("")
    chosen_files = [file for name in by_split if name in split_names for file in by_split[name]]
    other_splits = {name: by_split[name] for name in sorted(by_split) if name not in split_names}
    if not chosen_files:
        if set(other_splits) == {""}:  # names say nothing of splits here
            return list(files), ""
        raise InputError(
            f"{key}: no file of {folder} belongs to {split!r} (there are"
            f" {_listed(folder, other_splits)}): correct it, or name the file itself in problems.source"
        )
    if not other_splits:
        return list(files), ""
    line = (
        f"split {split} of {folder}: {_named(folder, chosen_files)}; left out"
        f" {_listed(folder, other_splits)}"
    )
    return sorted(chosen_files), line


def _split_of(path: Path, split_names: set[str]) -> str:
    """The split that a path within the folder names, the file before its folders and the last
    word first; else "".
    """
    for name in (path.stem, *reversed(path.parent.parts)):
        for word in reversed(_BETWEEN_WORDS.split(name)):
            if word in split_names:
                return word
            if word.lower() in WORDS:
                return WORDS[word.lower()]
    return ""


def _listed(folder: Path, by_split: dict[str, list[Path]]) -> str:
    return ", ".join(
        f"{name or 'of no split'}: {_named(folder, files)}" for name, files in by_split.items()
    )


def _named(folder: Path, files: Sequence[Path]) -> str:
    names = [str(file.relative_to(folder)) for file in files[:MOST_NAMED]]
    unnamed_files = len(files) - len(names)
    ending = f" and {unnamed_files:,} more" if unnamed_files > 0 else ""
    return ", ".join(names) + ending
