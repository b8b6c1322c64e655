"""What a batch lane needs of the run around it."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from generator.answer import Answer
from generator.config import LaneConfig
from generator.corpus.batch_table import BatchRow
from generator.corpus.ledger import Ledger
from generator.sample_policy import Ask
from shared.records import Completion, Message, Problem, Usage


class Samples(Protocol):
    """The samples to ask, and what becomes of those that a batch took."""

    async def next(self, to_lend: bool) -> Ask | None:
        """The next sample, for a batch; None when there is none left."""

    def take_back(self, ask: Ask) -> None:
        """A batch brought no answer to it: it is asked again."""

    def settle_lent(self, problem: Problem) -> None:
        """A sample of this problem that a batch had is in the corpus."""

    def withhold(self, problem: Problem) -> None:
        """A sample of this problem may be in a batch that cannot be found."""


class Lines(Protocol):
    """What lines take from the account."""

    @property
    def config(self) -> LaneConfig:
        """The lane as it is configured now."""

    @property
    def stopped(self) -> str:
        """Why no file can be sent any more, "" where one can."""

    def waits(self) -> tuple[str, str]:
        """(state, sentence) of why no file may be sent now, two "" where one may."""

    async def most_lines(self, wanted: int) -> int:
        """How many lines the budgets allow now, at most `wanted`."""

    async def reserve(self, name: str, sample_ids: Sequence[str]) -> BatchRow | None:
        """Take so many lines, before their file is sent; None where the budgets have not so many."""

    def book_again(self, name: str, sample_ids: Sequence[str]) -> BatchRow:
        """Take the lines of a batch that may have been sent, whatever the budgets have."""

    def resume(self, open_lines: int) -> None:
        """Lines of an earlier run that are not settled."""

    def usd(self, usage: Usage) -> float:
        """Dollars for a line that took so much."""

    def answered(self, row: BatchRow, line: int, completion: Completion) -> None:
        """A line brought a whole answer. Errors: `CannotWrite`."""

    def failed(self, row: BatchRow, line: int, kind: str, usage: Usage) -> None:
        """A line brought none, and took so much. Errors: `CannotWrite`."""

    def lost(self, row: BatchRow, line: int, kind: str) -> None:
        """Nobody knows what a line took: it is taken as spent. Errors: `CannotWrite`."""

    def stop(self, why: str) -> None:
        """No file is sent any more."""


Finish = Callable[[Ask, list[Message], dict[str, Any], Answer, str], Awaitable[None]]
Tell = Callable[..., None]  # (event, lane=…, …): a line of the log


@dataclass(slots=True)
class Surroundings:
    """Shared by all batch lanes of a run. `finish` grades and stores an answer; `sync` returns when
    what is stored would survive a power cut.
    """

    folder: Path
    ledger: Ledger
    samples: Samples
    question: Callable[[Ask], tuple[list[Message], dict[str, Any]]]
    finish: Finish
    sync: Callable[[], Awaitable[None]]
    tell: Tell
    attempts: int  # lines and calls of a sample before it fails
    waits: bool  # `daemon.wait`
    draining: asyncio.Event = field(default_factory=asyncio.Event)
    # the batch that a sample is in: of two, the later one; by the sample's id
    owners: dict[str, str] = field(default_factory=dict)
