"""A batch that has ended becomes rows: its output is fetched to the disk and read line by line.

Lines that were answered are paid and kept, however the batch ended. Every other line's sample is
asked again: at no cost where the line was never asked, as a further attempt where it was. Done
again after a kill, it comes to the same: what is settled is not settled twice, what is in the
corpus is not stored twice.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

from generator.answer import Answer
from generator.batch.output_lines import OutputLine, output_lines
from generator.batch.progress import BatchBook
from generator.batch.requests_file import Asked, BatchFiles
from generator.batch.surroundings import Lines, Surroundings
from generator.corpus.batch_table import BatchRow
from shared.chat_api.batch_client import BatchClient, is_address
from shared.chat_api.errors import (
    BadRequest,
    BalanceGone,
    CallError,
    KeyRefused,
    RateLimited,
    ServerFault,
    UnknownModel,
    Unreachable,
)
from shared.chat_api.request import Request
from shared.records import Completion, Usage

AT_ONCE = 32  # lines that are graded and stored together
FETCHES = 6  # of a file that is listed and does not come
FETCH_PAUSE_SECONDS = 2.0
FRUITLESS_MAX = 3  # batches in a row without an answer: the lane stops
FRUITLESS_LINES = 10  # in them: fewer may all be bad luck
LANE_IS_OUT = (KeyRefused, BalanceGone, UnknownModel)
FEW = 3  # lines: all of so many refused in the same words are the lane's fault
# A batch that ended so has asked none of the lines that it brings nothing for.
ASKED_NOTHING = ("refused", "failed", "expired", "cancelled", "canceled")


@dataclass(slots=True)
class Harvest:
    """What became of one batch's lines."""

    row: BatchRow
    files: BatchFiles
    settled: dict[int, str]  # by an earlier process: the outcome by line
    seen: set[int] = field(default_factory=set)  # lines with an answer
    failures: dict[int, CallError | None] = field(default_factory=dict)  # None: never asked
    counts: Counter[str] = field(default_factory=Counter)


class Collector:
    """Of one lane."""

    def __init__(
        self, lines: Lines, client: BatchClient, around: Surroundings, book: BatchBook
    ) -> None:
        self._lines = lines
        self._client = client
        self._around = around
        self._book = book

    async def collect(self, row: BatchRow) -> None:
        """Take over all lines of a batch that has ended. Errors: `CannotWrite`."""
        files = BatchFiles(self._around.folder, row.name)
        harvest = Harvest(row, files, self._around.ledger.settled_lines(row))
        for kind, file_id in (("output", row.output_file_id), ("errors", row.error_file_id)):
            if file_id and await self._fetch(harvest, file_id, files.output(kind)):
                await self._read(harvest, files.output(kind))
            if self._around.draining.is_set() and not _is_there(files.output(kind)) and file_id:
                return  # the next run fetches it
        await self._end_the_others(harvest)
        await self._finish(harvest)

    async def _fetch(self, harvest: Harvest, file_id: str, path: Path) -> bool:
        """Whether a file of the provider's is on this disk."""
        if _is_there(path):
            return True
        pause = FETCH_PAUSE_SECONDS
        misses = 0
        while misses < FETCHES:
            try:
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
            elif harvest.files.asked(line.line).sample_id != line.sample_id:
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
        asked = harvest.files.asked(line.line)
        request = _request(asked, self._lines.config.model)
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
            self._lines.answered(harvest.row, line.line, completion.usage)
        await self._store(harvest, asked, completion)

    async def _store(self, harvest: Harvest, asked: Asked, completion: Completion) -> None:
        """Into the corpus, where this batch is the sample's and no earlier process has done it."""
        ask = asked.ask
        owners = self._around.owners
        if owners.get(asked.sample_id) != harvest.row.name:
            harvest.counts["late"] += 1
            return
        answer = Answer(
            completion,
            harvest.row.lane,
            self._lines.config.model,
            asked.params,
            ask.attempts + 1,
            ask.cost_usd + self._lines.usd(completion.usage),
        )
        await self._around.finish(ask, asked.messages, asked.params, answer, asked.asked_at)
        del owners[asked.sample_id]
        self._around.samples.settle_lent(ask.problem)

    # All other lines

    async def _end_the_others(self, harvest: Harvest) -> None:
        """Settle what brought no answer, and have it asked again."""
        row = harvest.row
        self._judge_the_lane(harvest)
        for line in range(row.lines):
            if line in harvest.seen:
                continue
            error = harvest.failures.get(line, self._silence(harvest))
            if line not in harvest.settled:
                self._settle(harvest, line, error)
            asked = harvest.files.asked(line)
            if self._around.owners.get(asked.sample_id) == row.name:
                await self._ask_again(harvest, asked, error)

    def _silence(self, harvest: Harvest) -> CallError | None:
        """What it means that the output says nothing about a line."""
        status = harvest.row.status
        if status in ASKED_NOTHING:
            return None
        return ServerFault(f"the batch is {status}, and its output has no such line")

    def _settle(self, harvest: Harvest, line: int, error: CallError | None) -> None:
        row = harvest.row
        if error is None:
            self._lines.failed(row, line, f"batch_{row.status or 'ended'}", Usage())
        elif line not in harvest.failures:  # nobody knows whether it was paid
            self._lines.lost(row, line, "missing" if row.status != "vanished" else "vanished")
        else:
            usage = error.partial.usage if error.partial else Usage()
            self._lines.failed(row, line, error.kind, usage)

    async def _ask_again(self, harvest: Harvest, asked: Asked, error: CallError | None) -> None:
        """Give a sample back; one whose attempts are used up, or whose request is bad, is a
        failure.
        """
        ask = asked.ask
        is_free = error is None or isinstance(error, RateLimited) or self._lines.stopped
        attempts = ask.attempts if error is None else ask.attempts + 1
        is_bad = isinstance(error, CallError) and not error.retryable and not self._lines.stopped
        is_over = attempts >= self._around.attempts and not is_free
        owners = self._around.owners
        del owners[asked.sample_id]
        if error is None or not (is_bad or is_over):
            harvest.counts["asked again"] += 1
            self._around.samples.take_back(replace(ask, attempts=attempts))
            return
        harvest.counts["failed"] += 1
        best = error.partial or Completion("", "", "error", "", Usage(), None, 0.0)
        answer = Answer(
            replace(best, error=error.message, first_token_seconds=None, total_seconds=0.0),
            harvest.row.lane,
            self._lines.config.model,
            asked.params,
            attempts,
            ask.cost_usd,
        )
        await self._around.finish(ask, asked.messages, asked.params, answer, asked.asked_at)
        self._around.samples.settle_lent(ask.problem)

    def _judge_the_lane(self, harvest: Harvest) -> None:
        """Stop the lane where what failed is its own doing and not the samples'."""
        errors = [error for error in harvest.failures.values() if error is not None]
        out = next((error for error in errors if isinstance(error, LANE_IS_OUT)), None)
        if out is not None:
            self._lines.stop(out.message)
            return
        if harvest.counts["ok"]:
            self._book.fruitless = 0
            self._book.fruitless_lines = 0
            return
        messages = {error.message for error in errors if isinstance(error, BadRequest)}
        if len(messages) == 1 and len(errors) == harvest.row.lines >= FEW:
            self._lines.stop(f"it refuses every line in the same words: {messages.pop()}")
            return
        self._book.fruitless += 1
        self._book.fruitless_lines += harvest.row.lines
        is_sure = self._book.fruitless_lines >= FRUITLESS_LINES
        if self._book.fruitless >= FRUITLESS_MAX and is_sure and not self._lines.stopped:
            why = harvest.row.note or f"the last one is {harvest.row.status}"
            self._lines.stop(f"{self._book.fruitless} batches in a row brought no answer: {why}")

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


def _request(asked: Asked, model: str) -> Request:
    params = asked.params
    return Request(
        asked.messages,
        model,
        float(params["temperature"]),
        float(params["top_p"]),
        int(params["max_tokens"]),
    )
