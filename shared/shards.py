"""Shards by name, read and verified: JSON lines in `CORPUS/<pile>/shard-000000.jsonl`, `.open`
while written.

A sealed shard never changes again; `manifest.json` lists it with rows, bytes and sha256. They are
written by `shared.shard_writer`.
"""

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import orjson

from shared.errors import InputError
from shared.parts import part_folders

Pile = Literal["traces", "rejected"]
PILES: tuple[Pile, ...] = ("traces", "rejected")
OPEN = ".open"
# A kill, a copy or a person may leave other names in a pile; no number of ours has more digits.
_NAME = re.compile(r"shard-(\d{6}|[1-9]\d{6,11})\.jsonl(\.open)?")


@dataclass(frozen=True, slots=True)
class SealedShard:
    """One entry of the manifest; `name` is relative to the corpus ("traces/shard-000000.jsonl")."""

    name: str
    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Position:
    """Where a line stands: enough to find it again."""

    shard: str  # relative to the corpus, without ".open"
    offset: int  # bytes from the start of the shard
    length: int  # bytes, newline included


def shard_name(pile: Pile, number: int) -> str:
    """A sealed shard's name, relative to its corpus."""
    return f"{pile}/shard-{number:06d}.jsonl"


def sealed_files(corpus: Path, pile: Pile) -> list[Path]:
    """The sealed shards of a pile in order of number; of a corpus in parts, one part after the
    other.
    """
    if not corpus.is_dir():
        raise InputError(
            f"{corpus}: no such corpus folder: run `python -m generator run` first or correct the"
            " path"
        )
    return [path for path in _shards(corpus, pile) if not path.name.endswith(OPEN)]


def open_files(corpus: Path, pile: Pile) -> list[Path]:
    """The shards of a pile that are still being written (or were, before a crash)."""
    return [path for path in _shards(corpus, pile) if path.name.endswith(OPEN)]


def shard_number(name: str) -> int | None:
    """The number in a shard's file name, `.open` or not; None for the name of something else."""
    match = _NAME.fullmatch(name)
    if match:
        return int(match[1])
    return None


def strangers(corpus: Path, pile: Pile) -> list[Path]:
    """What stands in a pile under a shard's name, or nearly so, and is none: readers that take
    `traces/*.jsonl` stumble over it.
    """
    shards = set(_shards(corpus, pile))
    names = (corpus / pile).glob("*.jsonl*")
    likely_names = (path for path in names if path.name.endswith((".jsonl", ".jsonl" + OPEN)))
    return sorted(set(likely_names) - shards)


def _shards(corpus: Path, pile: Pile) -> list[Path]:
    """In order of number; of a corpus in parts, one part after the other."""
    paths = _shards_in(corpus / pile)
    for part in part_folders(corpus):
        paths += _shards_in(part / pile)
    return paths


def _shards_in(folder: Path) -> list[Path]:
    """Files alone: a folder, a pipe or a link to nothing is no shard, whatever its name."""
    names = folder.glob("shard-*.jsonl*")
    numbers = {path: shard_number(path.name) for path in names if path.is_file()}
    numbered_paths = [(number, path) for path, number in numbers.items() if number is not None]
    return [path for _, path in sorted(numbered_paths)]


def read_lines(path: Path) -> Iterator[tuple[int, int, bytes]]:
    """(line number from 1, offset in bytes, line with its newline) of a shard. Errors: `InputError`
    where it cannot be read.
    """
    offset = 0
    with _reading(path), path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            yield number, offset, line
            offset += len(line)


def read_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number from 1, row) of a shard. Errors: `InputError` naming file and line of a torn
    or foreign line.
    """
    for number, _, line in read_lines(path):
        try:
            row = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise InputError(
                f"{path}:{number}: not JSON ({error}); `python -m generator check` looks further"
            ) from None
        if not isinstance(row, dict):
            raise InputError(
                f"{path}:{number}: a JSON {type(row).__name__} where an object belongs"
            )
        yield number, row


def whole_length(path: Path) -> int:
    """Bytes up to the end of the last whole line: beyond lies a torn tail."""
    size = path.stat().st_size
    with path.open("rb") as file:
        end = size
        while end > 0:
            start = max(0, end - 65536)
            file.seek(start)
            newline = file.read(end - start).rfind(b"\n")
            if newline >= 0:
                return start + newline + 1
            end = start
    return 0


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """An `OSError` inside becomes the `InputError` that names the path and the remedy."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{path}: {error.strerror}: a shard that cannot be read; correct its permissions or"
            " take it away"
        ) from None


def listed_sha256(corpus: Path) -> dict[str, str]:
    """What the corpus's manifest says of its sealed shards, by name; nothing where it says nothing
    that can be read.

    The shards are the truth: a corpus without a whole manifest is still one.
    """
    sha256_by_name = _listed_in(corpus / "manifest.json")
    for part in part_folders(corpus):
        for name, sha256 in _listed_in(part / "manifest.json").items():
            sha256_by_name[f"{part.name}/{name}"] = sha256
    return sha256_by_name


def _listed_in(manifest: Path) -> dict[str, str]:
    try:
        shards = orjson.loads(manifest.read_bytes())["shards"]
        return {shard["name"]: shard["sha256"] for shard in shards}
    except (OSError, orjson.JSONDecodeError, LookupError, TypeError):
        return {}


def describe(corpus: Path, path: Path) -> SealedShard:
    """The manifest entry of a shard, read from the file itself. Errors: `InputError` where it
    cannot be read.
    """
    rows, size, digest = measure(path)
    return SealedShard(str(path.relative_to(corpus)), rows, size, digest.hexdigest())


def measure(path: Path) -> tuple[int, int, "hashlib._Hash"]:
    """(rows, bytes, SHA-256) of a shard. Errors: `InputError` where it cannot be read."""
    digest = hashlib.sha256()
    rows = 0
    size = 0
    with _reading(path), path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
            rows += block.count(b"\n")
            size += len(block)
    return rows, size, digest
