"""How long a batch waits between two requests, and that a run which drains waits no longer."""

import asyncio
import contextlib

from generator.batch.progress import BatchBook
from generator.corpus.batch_table import BatchRow
from shared.chat_api.errors import BalanceGone, CallError

BACK_OFF_SECONDS = 1.0
BACK_OFF_SECONDS_MAX = 60.0
BALANCE_SECONDS = 600.0  # until it is asked again whether an account was filled


class Draining(Exception):
    """The run drains: the batch is left as the ledger knows it."""


class Pauses:
    """The waiting of one lane's batches. Every method raises `Draining` when the run drains."""

    def __init__(self, draining: asyncio.Event, book: BatchBook) -> None:
        self._draining = draining
        self._book = book

    async def wait(self, row: BatchRow, error: CallError, pause: float) -> float:
        """Wait before the next try, `pause` seconds or as the server asks; the pause after that."""
        if pause > BACK_OFF_SECONDS:  # the first fault is nothing to speak of
            self._book.say("batch waits", row, why=error.message)
        await self.sleep(error.retry_after_seconds or pause)
        return min(2 * pause, BACK_OFF_SECONDS_MAX)

    async def wait_for_the_balance(self, row: BatchRow, error: BalanceGone) -> None:
        """Wait until an account may have been filled."""
        self._book.say("batch waits", row, why=error.message)
        await self.sleep(BALANCE_SECONDS)

    async def sleep(self, seconds: float) -> None:
        """Wait so long."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._draining.wait(), seconds)
        if self._draining.is_set():
            raise Draining
