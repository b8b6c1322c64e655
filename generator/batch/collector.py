"""A batch that has ended becomes rows: its output is fetched to the disk and read line by line.

Lines that were answered are paid and kept, however the batch ended. Every other line's sample is
asked again: at no cost where the line was never asked, as a further attempt where it was. Done
again after a kill, it comes to the same: what is settled is not settled twice, what is in the
corpus is not stored twice.
"""

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

from generator.answer import Answer
from generator.batch.leftovers import Harvest, Leftovers
from generator.batch.output_lines import OutputLine, output_lines
from generator.batch.progress import BatchBook
from generator.batch.requests_file import BatchFiles, BatchLine
from generator.batch.surroundings import Lines, Surroundings
from generator.corpus.batch_table import BatchRow
from shared.chat_api.batch_client import BatchClient, is_address
from shared.chat_api.errors import (
    CallError,
    KeyRefused,
    RateLimited,
    ServerFault,
    Unreachable,
)
from shared.chat_api.request import Request
from shared.file_writing import writing
from shared.records import Completion

AT_ONCE = 32  # lines that are graded and stored together
FETCHES = 6  # of a file that is listed and does not come
FETCH_PAUSE_SECONDS = 2.0


class Collector:
    """Of one lane."""

    def __init__(
        self, lines: Lines, client: BatchClient, around: Surroundings, book: BatchBook
    ) -> None:
        self._lines = lines
        self._client = client
        self._around = around
        self._book = book
        self._leftovers = Leftovers(lines, around, book)

    async def collect(self, row: BatchRow) -> None:
        """Take over all lines of a batch that has ended. Errors: `CannotWrite`."""
        files = BatchFiles(self._around.folder, row.name)
        harvest = Harvest(row, files, self._around.ledger.settled_lines(row))
        for kind, file_id in (("output", row.output_file_id), ("errors", row.error_file_id)):
            if file_id and await self._fetch(harvest, file_id, files.output(kind)):
                await self._read(harvest, files.output(kind))
            if self._around.draining.is_set() and not _is_there(files.output(kind)) and file_id:
                return  # the next run fetches it
        await self._leftovers.end(harvest)
        await self._finish(harvest)

    async def _fetch(self, harvest: Harvest, file_id: str, path: Path) -> bool:
        """Whether a file of the provider's is on this disk."""
        if _is_there(path):
            return True
        pause = FETCH_PAUSE_SECONDS
        misses = 0
        while misses < FETCHES:
            try:
                with writing(path):
                    await self._client.download(file_id, path)
                return True
            except (Unreachable, ServerFault, RateLimited, KeyRefused) as error:
                self._book.say("batch output waits", harvest.row, why=error.message)
            except CallError as error:
                misses += 1
                self._book.say("batch output is missing", harvest.row, why=error.message)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._around.draining.wait(), pause)
                return False
            pause = min(2 * pause, 60.0)
        return False

    # Answers

    async def _read(self, harvest: Harvest, path: Path) -> None:
        """Take a file's lines, some at once."""
        lines = output_lines(path)
        while True:
            group = list(islice(self._new_lines(harvest, lines), AT_ONCE))
            if not group:
                return
            async with asyncio.TaskGroup() as tasks:
                for line in group:
                    tasks.create_task(self._take(harvest, line))

    def _new_lines(
        self, harvest: Harvest, lines: Iterator[OutputLine | None]
    ) -> Iterator[OutputLine]:
        """Lines with an answer that none had before; the others are noted."""
        row = harvest.row
        for line in lines:
            if line is None or line.line >= row.lines:
                harvest.counts["malformed"] += 1
            elif line.line in harvest.seen:
                harvest.counts["doubled"] += 1
            elif harvest.files.line(line.line).sample_id != line.sample_id:
                harvest.counts["malformed"] += 1
            elif line.is_answer:
                harvest.seen.add(line.line)
                yield line
            elif line.status == 0:
                harvest.failures.setdefault(line.line, None)
            else:
                model = self._lines.config.model
                error = self._client.refusal(line.status, line.body, model)
                harvest.failures[line.line] = error

    async def _take(self, harvest: Harvest, line: OutputLine) -> None:
        batch_line = harvest.files.line(line.line)
        request = _request(batch_line, self._lines.config.model)
        try:
            completion = self._client.completion(line.body, request)
        except CallError as error:
            harvest.failures[line.line] = error
            harvest.seen.discard(line.line)
            return
        # No clock of ours saw it: neither a first token nor an end.
        completion = replace(completion, first_token_seconds=None, total_seconds=0.0)
        harvest.failures.pop(line.line, None)
        harvest.counts["ok"] += 1
        if line.line not in harvest.settled:
            self._lines.answered(harvest.row, line.line, completion)
        await self._store(harvest, batch_line, completion)

    async def _store(self, harvest: Harvest, batch_line: BatchLine, completion: Completion) -> None:
        """Into the corpus, where this batch is the sample's and no earlier process has done it."""
        ask = batch_line.ask
        owners = self._around.owners
        if owners.get(batch_line.sample_id) != harvest.row.name:
            harvest.counts["late"] += 1
            return
        answer = Answer(
            completion,
            harvest.row.lane,
            self._lines.config.model,
            batch_line.params,
            ask.attempts + 1,
            ask.cost_usd + self._lines.usd(completion.usage),
        )
        await self._around.finish(
            ask, batch_line.messages, batch_line.params, answer, batch_line.asked_at
        )
        del owners[batch_line.sample_id]
        self._around.samples.settle_lent(ask.problem)

    # The end

    async def _finish(self, harvest: Harvest) -> None:
        """Let go of the batch when all of it would survive a power cut."""
        row = harvest.row
        await self._around.sync()
        counts = {name.replace(" ", "_"): count for name, count in harvest.counts.items()}
        self._book.say("batch taken over", row, **counts)
        self._book.change(row, state="done")
        harvest.files.remove()
        if not self._lines.config.batch.delete_files or row.status == "vanished":
            return
        for file_id in (row.file_id, row.output_file_id, row.error_file_id):
            if file_id and not is_address(file_id):
                with contextlib.suppress(CallError):  # it goes by itself after some days
                    await self._client.delete_file(file_id)


def _is_there(path: Path) -> bool:
    return path.exists()


def _request(batch_line: BatchLine, model: str) -> Request:
    params = batch_line.params
    return Request(
        batch_line.messages,
        model,
        float(params["temperature"]),
        float(params["top_p"]),
        int(params["max_tokens"]),
    )
