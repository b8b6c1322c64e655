"""One part of a run: which problems are its own, where its corpus is, and whether it is done.

A part that has come to its end says so in `part.json` beside its shards, with a digest of what was
asked for: the same command passes it over then and touches nothing in it.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import orjson

from generator.config import GeneratorConfig
from generator.problems import ProblemStream, fingerprint, local_path
from shared.errors import InputError
from shared.file_writing import write_atomically
from shared.parts import MOST_PARTS, part_folder, part_of
from shared.records import Problem

FILE = "part.json"


@dataclass(frozen=True, slots=True)
class Part:
    """Number `number`, from 0, of `parts`."""

    number: int
    parts: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """ "7/64" -> part 7 of 64. Errors: `InputError`."""
        number, slash, parts = text.partition("/")
        if not (slash and number.isdecimal() and parts.isdecimal()):
            raise InputError(f"--part {text}: write K/N, like 7/64, with K from 0 to N-1")
        part = cls(int(number), check_count(int(parts)))
        if part.number >= part.parts:
            raise InputError(f"--part {text}: parts are counted from 0 to {part.parts - 1}")
        return part

    def folder(self, corpus: Path) -> Path:
        """Its own corpus."""
        return part_folder(corpus, self.number)

    def has(self, problem: Problem) -> bool:
        """Whether a problem is one of its own."""
        return part_of(problem.id, self.parts) == self.number

    def __str__(self) -> str:
        return f"part {self.number} of {self.parts}"


def check_count(parts: int) -> int:
    """A number of parts that can be. Errors: `InputError`."""
    if not 1 <= parts <= MOST_PARTS:
        raise InputError(f"--parts {parts}: from 1 to {MOST_PARTS:,}")
    return parts


class PartStream(Iterator[Problem]):
    """Of a stream of problems those of one part. `tally` is of the whole stream, `own` counts."""

    def __init__(self, stream: ProblemStream, part: Part, own: int = 0) -> None:
        self.tally = stream.tally
        self.own = own
        self._stream = stream
        self._part = part

    def __next__(self) -> Problem:
        for problem in self._stream:
            if self._part.has(problem):
                self.own += 1
                return problem
        raise StopIteration


def task_digest(config: GeneratorConfig) -> str:
    """Changes with the problems that are asked, and with how often and how. Errors: `InputError`
    for a source that is not there.
    """
    path = local_path(config.problems.source)
    data = "" if path is None else fingerprint(config.problems, path)
    keys = (config.problems, config.screening, config.sampling)
    text = " ".join([data, *(table.model_dump_json() for table in keys)])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def is_done(folder: Path, digest: str | None) -> bool:
    """Whether the part in `folder` has come to its end with this very task; None: with any."""
    try:
        finished_digest = orjson.loads((folder / FILE).read_bytes())["done"]
    except (OSError, orjson.JSONDecodeError, LookupError, TypeError):
        return False
    return digest is None or bool(finished_digest == digest)


def note_done(folder: Path, digest: str) -> None:
    """The part in `folder` has come to its end. Errors: `CannotWrite`."""
    write_atomically(folder / FILE, orjson.dumps({"schema": 1, "done": digest}) + b"\n")
