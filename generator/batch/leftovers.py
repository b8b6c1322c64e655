"""The lines of a batch that brought no answer: settled, and their samples asked again.

At no cost where the line was never asked, as a further attempt where it was; a sample whose attempts
are used up, or whose request is bad, is a failure.
"""

from collections import Counter
from dataclasses import dataclass, field, replace

from generator.answer import Answer
from generator.batch.progress import BatchBook
from generator.batch.requests_file import BatchFiles, BatchLine
from generator.batch.surroundings import Lines, Surroundings
from generator.corpus.batch_table import BatchRow
from shared.chat_api.errors import (
    BadRequest,
    BalanceGone,
    CallError,
    KeyRefused,
    RateLimited,
    ServerFault,
    UnknownModel,
)
from shared.records import Completion, Usage

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


class Leftovers:
    """Of one lane."""

    def __init__(self, lines: Lines, around: Surroundings, book: BatchBook) -> None:
        self._lines = lines
        self._around = around
        self._book = book

    async def end(self, harvest: Harvest) -> None:
        """Settle what brought no answer, and have it asked again. Errors: `CannotWrite`."""
        row = harvest.row
        self._judge_the_lane(harvest)
        for line in range(row.lines):
            if line in harvest.seen:
                continue
            error = harvest.failures.get(line, self._silence(harvest))
            if line not in harvest.settled:
                self._settle(harvest, line, error)
            batch_line = harvest.files.line(line)
            if self._around.owners.get(batch_line.sample_id) == row.name:
                await self._ask_again(harvest, batch_line, error)

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

    async def _ask_again(
        self, harvest: Harvest, batch_line: BatchLine, error: CallError | None
    ) -> None:
        """Give a sample back; one whose attempts are used up, or whose request is bad, is a
        failure.
        """
        ask = batch_line.ask
        is_free = error is None or isinstance(error, RateLimited) or self._lines.stopped
        attempts = ask.attempts if error is None else ask.attempts + 1
        is_bad = isinstance(error, CallError) and not error.retryable and not self._lines.stopped
        is_over = attempts >= self._around.attempts and not is_free
        owners = self._around.owners
        del owners[batch_line.sample_id]
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
            batch_line.params,
            attempts,
            ask.cost_usd,
        )
        await self._around.finish(
            ask, batch_line.messages, batch_line.params, answer, batch_line.asked_at
        )
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
