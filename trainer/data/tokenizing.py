"""Shards of traces to shards of tokens: each once, several at a time, going on where it was stopped."""

import fcntl
import hashlib
import json
import os
import signal
from array import array
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from multiprocessing import get_context
from pathlib import Path
from typing import Any

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
LEARNABLE = ("correct", "unverifiable")  # the latter as data.unverifiable says

Source = tuple[Path, str]  # a sealed shard and its SHA-256


def token_shards(
    folder: Path,
    sources: Sequence[Source],
    tokenizer: Any,
    chat: ChatRenderer,
    add_box: bool = False,
) -> list[TokenShard]:
    """The tokens of each sealed shard in order, in files of `folder`, made where they are not there
    or damaged. Of several processes that ask, one makes them. Errors: `InputError` of a row that
    is no trace, `CannotWrite`.
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
        _make(jobs, tokenizer, chat, add_box)
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


def _make(
    jobs: Sequence[tuple[Path, Path]], tokenizer: Any, chat: ChatRenderer, add_box: bool
) -> None:
    num_bytes = sum(source.stat().st_size for source, _ in jobs)
    processes = min(len(jobs), os.cpu_count() or 1, num_bytes // BYTES_A_PROCESS)
    if processes < 2:
        encoder = Encoder(tokenizer, chat, 0, add_box)
        for source, path in jobs:
            _make_one(encoder, source, path)
        return
    with ProcessPoolExecutor(
        processes,
        mp_context=get_context("spawn"),
        initializer=_begin,
        initargs=(tokenizer, chat.system, chat.today, add_box),
    ) as pool:
        for _ in pool.map(_make_in_process, jobs):
            pass


def _make_one(encoder: Encoder, source: Path, path: Path) -> None:
    write_token_shard(path, _tokenized(encoder, source))


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


def _make_in_process(job: tuple[Path, Path]) -> None:
    _make_one(_worker["encoder"], *job)
