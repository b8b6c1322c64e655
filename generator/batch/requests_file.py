"""A batch's two files on this disk, one line a sample each.

    CORPUS/batches/stillhouse-9f2c….jsonl        what the provider gets
    {"custom_id": "9a8b…:0:17", "method": "POST", "url": "/v1/chat/completions", "body": {…}}
    CORPUS/batches/stillhouse-9f2c….asks.jsonl   what a row of the corpus needs beside the answer
    {"problem": "…", "gold": "42", "source": "…", "sample": 0, "messages": […], "params": {…}, …}

They are drafts until the ledger knows the batch: a draft that it does not know was never sent.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from generator.sample_policy import Ask
from shared.file_writing import make_folder_within, open_within, sync_folder, writing
from shared.records import Message, Problem, trace_id

DRAFT = ".draft"


@dataclass(frozen=True, slots=True)
class BatchLine:
    """One line: the sample, and how it is asked."""

    ask: Ask
    messages: list[Message]
    params: dict[str, Any]  # as sent, as a trace records them
    asked_at: str  # UTC, ISO 8601

    @property
    def sample_id(self) -> str:
        """As its trace will have it."""
        return trace_id(self.ask.problem.id, self.ask.sample)


def custom_id(sample_id: str, line: int) -> str:
    """What names a line in the provider's output."""
    return f"{sample_id}:{line}"


def line_of(identity: Any) -> tuple[str, int] | None:
    """(sample id, line) of a `custom_id`; None for one that is not ours."""
    sample_id, _, line = str(identity).rpartition(":")
    return (sample_id, int(line)) if sample_id and line.isascii() and line.isdigit() else None


class BatchFiles:
    """The files of one batch by its name, which ends in .jsonl."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self.requests = folder / name
        self.asks = folder / name.replace(".jsonl", ".asks.jsonl")
        self._offsets: list[int] = []

    def line(self, number: int) -> BatchLine:
        """A line as it was asked. The first call reads the file once, for where lines begin."""
        if not self._offsets:
            self._offsets = list(_offsets(self.asks))
        with self.asks.open("rb") as file:
            file.seek(self._offsets[number])
            return _batch_line(orjson.loads(file.readline()))

    def lines(self) -> Iterator[BatchLine]:
        """Every line in order."""
        with self.asks.open("rb") as file:
            for line in file:
                yield _batch_line(orjson.loads(line))

    def output(self, kind: str) -> Path:
        """Where the provider's `output` or `errors` go."""
        return self.requests.with_name(f"{self.name}.{kind}")

    def keep(self) -> None:
        """The ledger knows this batch: its files are drafts no more."""
        with writing(self.requests):
            for path in (self.asks, self.requests):
                draft = path.with_name(path.name + DRAFT)
                if draft.exists():
                    os.replace(draft, path)
            sync_folder(self.requests.parent)

    def remove(self) -> None:
        """All rows are in the corpus."""
        for path in self.requests.parent.glob(f"{self.name.removesuffix('.jsonl')}.*"):
            path.unlink(missing_ok=True)


class Draft:
    """A batch's files while lines are added. Memory: a sample's id for each line."""

    def __init__(self, folder: Path, name: str, url: str) -> None:
        self.files = BatchFiles(folder, name)
        self.sample_ids: list[str] = []
        self.bytes = 0
        self._url = url
        with writing(folder):
            make_folder_within(folder)
            self._requests = _opened(self._path(self.files.requests))
            self._asks = _opened(self._path(self.files.asks))
        self._ends: list[tuple[int, int]] = []

    def _path(self, path: Path) -> Path:
        return path.with_name(path.name + DRAFT)

    def fits(self, body: dict[str, Any], most_bytes: int) -> bool:
        """Whether a line more stays within so many bytes; a first one always does."""
        return not self.sample_ids or self.bytes + len(orjson.dumps(body)) + 256 <= most_bytes

    def add(self, batch_line: BatchLine, body: dict[str, Any]) -> None:
        """Write a line to both files. Errors: `CannotWrite`."""
        row = {
            "custom_id": custom_id(batch_line.sample_id, len(self.sample_ids)),
            "method": "POST",
            "url": self._url,
            "body": body,
        }
        with writing(self.files.requests):
            self.bytes += self._requests.write(orjson.dumps(row) + b"\n")
            self._asks.write(orjson.dumps(_row(batch_line)) + b"\n")
        self.sample_ids.append(batch_line.sample_id)
        self._ends.append((self.bytes, self._asks.tell()))

    def cut(self, lines: int) -> list[Ask]:
        """Leave only the first lines; the samples of the others."""
        with writing(self.files.requests):
            self._asks.seek(self._ends[lines - 1][1] if lines else 0)
            left_out = [_batch_line(orjson.loads(line)).ask for line in self._asks]
            self.bytes, asks_end = self._ends[lines - 1] if lines else (0, 0)
            self._requests.truncate(self.bytes)
            self._requests.seek(self.bytes)
            self._asks.truncate(asks_end)
            self._asks.seek(asks_end)
        del self.sample_ids[lines:]
        del self._ends[lines:]
        return left_out

    def sync(self) -> None:
        """Force both to the disk. Errors: `CannotWrite`."""
        with writing(self.files.requests):
            for file in (self._requests, self._asks):
                file.flush()
                os.fsync(file.fileno())

    def keep(self) -> None:
        """The ledger knows the batch: a draft no more. Errors: `CannotWrite`."""
        self._requests.close()
        self._asks.close()
        self.files.keep()

    def discard(self) -> None:
        """Nothing of it was sent."""
        self._requests.close()
        self._asks.close()
        self.files.remove()


def _opened(path: Path) -> BinaryIO:
    return open(path, "wb+", opener=open_within)


def _offsets(path: Path) -> Iterator[int]:
    position = 0
    with path.open("rb") as file:
        for line in file:
            yield position
            position += len(line)


def _row(batch_line: BatchLine) -> dict[str, Any]:
    ask = batch_line.ask
    return {
        "problem": ask.problem.text,
        "gold": ask.problem.gold,
        "source": ask.problem.source,
        "sample": ask.sample,
        "longer": ask.longer,
        "attempts": ask.attempts,
        "cost_usd": ask.cost_usd,
        "messages": batch_line.messages,
        "params": batch_line.params,
        "asked_at": batch_line.asked_at,
    }


def _batch_line(row: dict[str, Any]) -> BatchLine:
    problem = Problem.of(row["problem"], row["gold"], row["source"])
    ask = Ask(problem, row["sample"], row["longer"], row["attempts"], row["cost_usd"])
    return BatchLine(ask, row["messages"], row["params"], row["asked_at"])
