"""Shards of traces to shards of tokens: each once, several at a time, going on where it was stopped."""

import fcntl
import hashlib
import json
import os
import signal
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from shared.durations import duration
from shared.errors import InputError
from shared.file_writing import writing
from shared.records import Trace
from shared.rendering import ChatRenderer
from shared.shards import read_rows
from trainer.data.examples import Encoder, Tokens
from trainer.data.token_shards import (
    FORMAT,
    SUFFIX,
    TokenShard,
    open_token_shard,
    write_token_shard,
)

NOT_TOKENIZED = Tokens(array("i"), 0)
# Below, a process that imports the tokenizer's library takes longer than it saves.
BYTES_A_PROCESS = 64 << 20
LOCK = ".lock"
PROGRESS_SECONDS = 5.0  # between two lines
LEARNABLE = ("correct", "unverifiable")  # the latter as data.unverifiable says

Source = tuple[Path, str]  # a sealed shard and its SHA-256
Say = Callable[[str], None]


def silence(_: str) -> None:
    """Tell nobody."""


def token_shards(
    folder: Path,
    sources: Sequence[Source],
    tokenizer: Any,
    chat: ChatRenderer,
    add_box: bool = False,
    say: Say = silence,
) -> list[TokenShard]:
    """The tokens of each sealed shard in order, in files of `folder`, made where they are not there
    or damaged. Of several processes that ask, one makes them, and says how far it is. Errors:
    `InputError` of a row that is no trace, `CannotWrite`.
    """
    made = folder / token_key(tokenizer, chat, add_box)
    with writing(made):
        made.mkdir(parents=True, exist_ok=True)
    paths = [made / f"{sha256[:32]}{SUFFIX}" for _, sha256 in sources]
    with _one_at_a_time(made):
        shards = [open_token_shard(path) for path in paths]
        jobs = [
            (source, path)
            for (source, _), path, shard in zip(sources, paths, shards, strict=True)
            if shard is None
        ]
        _make(jobs, tokenizer, chat, add_box, say)
        fresh = [shard or open_token_shard(path) for shard, path in zip(shards, paths, strict=True)]
    return [shard for shard in fresh if shard is not None]


def token_key(tokenizer: Any, chat: ChatRenderer, add_box: bool = False) -> str:
    """Names all that makes tokens of a trace: the tokenizer, the template with the day that it
    shows, the policies.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    vocabulary = backend.to_str() if backend else json.dumps(sorted(tokenizer.get_vocab().items()))
    identity = [FORMAT, vocabulary, chat.digest, chat.template, chat.system, add_box]
    return hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:16]


class Progress:
    """Lines while tokens are made: rows and their rate, and the time left by the shards' bytes."""

    def __init__(self, shard_bytes: Sequence[int], say: Say) -> None:
        self._shard_bytes = shard_bytes
        self._say = say
        self._began_at = time.monotonic()
        self._said_at = self._began_at
        self._shards = 0
        self._rows = 0

    def add(self, num_rows: int) -> None:
        """The next shard is done."""
        self._shards += 1
        self._rows += num_rows
        now = time.monotonic()
        if now - self._said_at >= PROGRESS_SECONDS:
            self._said_at = now
            self._say(self.line(now - self._began_at))

    def line(self, seconds: float) -> str:
        """What is to be said after so many seconds."""
        bytes_done = sum(self._shard_bytes[: self._shards])
        seconds_left = seconds * (sum(self._shard_bytes) / max(1, bytes_done) - 1)
        return (
            f"tokenizing: {self._shards:,} of {len(self._shard_bytes):,} shards, {self._rows:,} rows,"
            f" {self._rows / max(0.001, seconds):,.0f} rows/s, left {duration(seconds_left)}"
        )


def _make(
    jobs: Sequence[tuple[Path, Path]], tokenizer: Any, chat: ChatRenderer, add_box: bool, say: Say
) -> None:
    shard_bytes = [source.stat().st_size for source, _ in jobs]
    num_bytes = sum(shard_bytes)
    progress = Progress(shard_bytes, say)
    processes = min(len(jobs), os.cpu_count() or 1, num_bytes // BYTES_A_PROCESS)
    if processes < 2:
        encoder = Encoder(tokenizer, chat, 0, add_box)
        for source, path in jobs:
            progress.add(_make_one(encoder, source, path))
        return
    with ProcessPoolExecutor(
        processes,
        mp_context=get_context("spawn"),
        initializer=_begin,
        initargs=(tokenizer, chat.system, chat.today, add_box),
    ) as pool:
        for num_rows in pool.map(_make_in_process, jobs):
            progress.add(num_rows)


def _make_one(encoder: Encoder, source: Path, path: Path) -> int:
    """The rows of the shard that is made."""
    return write_token_shard(path, _tokenized(encoder, source))


def _tokenized(encoder: Encoder, source: Path) -> Iterator[tuple[Trace, Tokens]]:
    """Each trace of a shard in order; only what may be learnt is tokenized."""
    traces = list(_traces(source))
    tokens = {
        id(trace): tokens
        for trace, tokens in encoder.tokenize(t for t in traces if t.verdict in LEARNABLE)
    }
    for trace in traces:
        yield trace, tokens.get(id(trace), NOT_TOKENIZED)


def _traces(source: Path) -> Iterator[Trace]:
    for number, row in read_rows(source):
        try:
            yield Trace.from_row(row)
        except InputError as error:
            raise InputError(f"{source}:{number}: {error}") from None


@contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    with writing(folder):
        file = (folder / LOCK).open("wb")
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


_worker: dict[str, Encoder] = {}  # of this process, where it is one of the pool


def _begin(tokenizer: Any, system: str | None, today: datetime, add_box: bool) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the one that waits for us
    chat = ChatRenderer.of(tokenizer, system, today=today)
    _worker["encoder"] = Encoder(tokenizer, chat, 0, add_box)


def _make_in_process(job: tuple[Path, Path]) -> int:
    return _make_one(_worker["encoder"], *job)
