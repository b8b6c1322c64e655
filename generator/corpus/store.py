"""The corpus that a run writes to: shards by a thread of their own, the ledger by the event
loop.
"""

import asyncio
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import orjson

from generator.corpus.high_water import HighWaterFile
from generator.corpus.ledger import Ledger
from generator.corpus.ledger_file import checkpoint
from generator.corpus.lock import lock_corpus
from generator.corpus.manifest import read_manifest, write_manifest
from generator.corpus.reconcile import AccountOf, reconcile
from shared.chat_api.redaction import SHORTEST_SECRET
from shared.errors import CannotWrite, InputError
from shared.folder_lock import FolderLock
from shared.records import Trace
from shared.shard_writer import ShardWriter
from shared.shards import OPEN, PILES, Pile, Position, SealedShard

T = TypeVar("T")

# how far the ledger may be behind the shards; a kill costs no more than reading them again
COMMIT_SECONDS = 0.5
# how much a power cut may take (a kill takes nothing: the page cache outlives the process)
SYNC_SECONDS = 5.0
# a trace's texts that come from the provider
PROVIDER_TEXTS = (
    "reasoning",
    "response",
    "final_answer",
    "reason",
    "finish_reason",
    "model_returned",
)


@dataclass(slots=True)
class _Line:
    trace: Trace
    pile: Pile
    written: asyncio.Future[None]
    position: Position | None = None


class Corpus:
    """One corpus, held by this process from `open_corpus` to `close`.

    `ledger` belongs to the event loop's thread; shards and manifest are written by a thread of
    their own. `high_water`: what budgets may have been used up to, whatever becomes of the ledger.
    """

    def __init__(
        self,
        path: Path,
        lock: FolderLock,
        ledger: Ledger,
        high_water: HighWaterFile,
        writers: dict[Pile, ShardWriter],
        secrets: Iterable[str],
        finish: Callable[[Trace], Trace],
    ) -> None:
        self.path = path
        self.ledger = ledger
        self.high_water = high_water
        self._lock = lock
        self._writers = writers
        self._finish = finish
        self._manifest = read_manifest(path)
        self._secrets = [secret for secret in secrets if len(secret) >= SHORTEST_SECRET]
        self._thread = ThreadPoolExecutor(1, "shards")
        self._queue: list[_Line] = []
        self._wake = asyncio.Event()
        self._closing = False

    async def add(self, trace: Trace, is_kept: bool) -> None:
        """Put a finished sample into its pile; returns when the whole line is in the shard.
        Needs `keep_writing`.
        """
        pile: Pile = "traces" if is_kept else "rejected"
        line = _Line(trace, pile, asyncio.get_running_loop().create_future())
        self._queue.append(line)
        self._wake.set()
        await line.written

    async def keep_writing(self, before_commit: Callable[[], None] = lambda: None) -> None:
        """Write what is added, group by group, until `stop_writing`. `before_commit` may put notes
        into the ledger.

        Errors: `CannotWrite`; every `add` that waits then raises it as well.
        """
        commit_time = time.monotonic()
        sync_time = commit_time
        while not self._closing or self._queue:
            await self._something_to_write()
            await self._write_group()
            now = time.monotonic()
            # the ledger follows the shards, never the other way: a kill in between costs reading
            if now - commit_time >= COMMIT_SECONDS:
                before_commit()
                self.ledger.commit()
                commit_time = now
            if now - sync_time >= SYNC_SECONDS:
                await self._in_thread(self._sync)
                sync_time = time.monotonic()
        before_commit()
        self.ledger.commit()

    async def sync(self) -> None:
        """Returns when all that was added would survive a power cut. Errors: `CannotWrite`."""
        self.ledger.commit()
        await self._in_thread(self._sync)

    def stop_writing(self) -> None:
        """Let `keep_writing` return when its queue is empty."""
        self._closing = True
        self._wake.set()

    async def close(self, seal: bool) -> None:
        """Let go of the corpus; with `seal` the open shards are sealed first, as every orderly
        end does.
        """
        try:
            if seal:
                self._note_sealed(await self._in_thread(self._seal_all))
            self.ledger.close()
        finally:
            self._thread.shutdown()
            self.high_water.close()
            for writer in self._writers.values():
                writer.close()
            self._lock.release()

    def latest_traces(self, count: int) -> list[Trace]:
        """The traces finished last, newest first. Reads them from the shards: a few
        milliseconds.
        """
        return [read_trace(self.path, position) for position, _ in self.ledger.latest(count)]

    async def _something_to_write(self) -> None:
        try:
            await asyncio.wait_for(self._wake.wait(), COMMIT_SECONDS)
        except TimeoutError:
            return
        self._wake.clear()

    async def _write_group(self) -> None:
        group = self._queue
        self._queue = []
        if not group:
            return
        sealed_shards, error = await self._in_thread(partial(self._write_lines, group))
        # The thread has given the lines back: from here on the ledger is written, which belongs to
        # this thread. A line counts as written where it has a position, also before an error.
        for line in group:
            if line.position is not None:
                self.ledger.add_sample(line.trace, line.position)
            if line.written.done():  # the worker that added it was cancelled meanwhile
                continue
            if line.position is not None:
                line.written.set_result(None)
            elif error is not None:
                line.written.set_exception(error)
        self._note_sealed(sealed_shards)
        if error is not None:
            raise error

    def _write_lines(self, group: list[_Line]) -> tuple[list[SealedShard], CannotWrite | None]:
        sealed_shards: list[SealedShard] = []
        try:
            for line in group:
                writer = self._writers[line.pile]
                if writer.full:  # a kill came between its last row and its seal
                    sealed_shards += _seal(writer)
                trace = self._finish(line.trace)
                # in the line's own trace, so that the ledger gets no secret either
                line.trace = self._without_secrets(trace)
                line.position = writer.append(line.trace.to_line())
                if writer.full:
                    sealed_shards += _seal(writer)
            if sealed_shards:
                self._add_to_manifest(sealed_shards)
        except CannotWrite as error:
            return sealed_shards, error
        return sealed_shards, None

    def _without_secrets(self, trace: Trace) -> Trace:
        """A key that a provider sent back in some text goes no further than here."""
        for secret in self._secrets:
            texts: dict[str, Any] = {name: getattr(trace, name) or "" for name in PROVIDER_TEXTS}
            clean_texts = {
                name: text.replace(secret, "[key]")
                for name, text in texts.items()
                if secret in text
            }
            if clean_texts:
                trace = replace(trace, **clean_texts)
        return trace

    def _seal_all(self) -> list[SealedShard]:
        sealed_shards: list[SealedShard] = []
        for writer in self._writers.values():
            sealed_shards += _seal(writer)
        if sealed_shards:
            self._add_to_manifest(sealed_shards)
        return sealed_shards

    def _add_to_manifest(self, shards: Iterable[SealedShard]) -> None:
        self._manifest.update((shard.name, shard) for shard in shards)
        write_manifest(self.path, self._manifest.values())

    def _note_sealed(self, shards: Iterable[SealedShard]) -> None:
        for shard in shards:
            self.ledger.note_sealed(shard.name)

    def _sync(self) -> None:
        for writer in self._writers.values():
            writer.sync()  # before the ledger: it must not know of lines that a power cut takes
        checkpoint(self.path / "ledger.sqlite")

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def _seal(writer: ShardWriter) -> list[SealedShard]:
    """The shard that is sealed now; none where it had no rows."""
    shard = writer.seal()
    return [shard] if shard else []


def read_trace(corpus: Path, position: Position) -> Trace:
    """The trace at a position, whether its shard is sealed meanwhile or not."""
    # it may be sealed between two looks
    for name in (position.shard, position.shard + OPEN, position.shard):
        try:
            with (corpus / name).open("rb") as file:
                file.seek(position.offset)
                return Trace.from_row(orjson.loads(file.read(position.length)))
        except FileNotFoundError:
            continue
    raise InputError(
        f"{corpus / position.shard}: gone, although the ledger knows it: run `reindex`"
    )


def open_corpus(
    path: Path,
    rows: int,
    megabytes: int,
    secrets: Iterable[str] = (),
    account_of: AccountOf = lambda lane: lane,
    finish: Callable[[Trace], Trace] = lambda trace: trace,
) -> Corpus:
    """Take hold of a corpus (made if it is not there), cut torn tails and bring the ledger up to
    the shards.

    `rows` and `megabytes` say when a shard is full, `secrets` are texts that must reach no file,
    `account_of` names the account of a lane (a lost ledger's calls are rebuilt for it), `finish` is
    done to each trace in the writing thread. Errors: `InputError` where another process holds it.
    """
    lock = lock_corpus(path)
    try:
        writers: dict[Pile, ShardWriter] = {
            pile: ShardWriter(path, pile, rows, megabytes) for pile in PILES
        }
        ledger = Ledger(path / "ledger.sqlite")
        high_water = HighWaterFile(path, ledger.last_call())  # before lost calls are rebuilt
        reconcile(path, ledger, account_of)
        return Corpus(path, lock, ledger, high_water, writers, secrets, finish)
    except BaseException:
        lock.release()
        raise
