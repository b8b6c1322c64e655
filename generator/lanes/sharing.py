"""The blocks of shared allowances, taken before they are needed: one task asks the store.

A store that is away holds nobody up who still has a part of a block. All of it happens in that one
task, whose errors its group raises.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping
from functools import partial

from generator.errors import StoreAway
from generator.lanes.budgets import Budget
from generator.lanes.clock import Clock
from generator.lanes.gate import Gate
from generator.lanes.share import BudgetShare
from generator.spending import HighWater, SharedStore

RETRY_SECONDS = 1.0  # between two looks whether the store answers again, doubled each time
RETRY_SECONDS_MAX = 30.0


class Sharing:
    """`shares`: by account, the run's under None. `doubtful`: accounts of which the ledger may not
    know all calls, so that all that is held of them counts as spent by `count_as_spent`.
    """

    def __init__(self, store: SharedStore, owner: str, clock: Clock) -> None:
        self._store = store
        self._owner = owner
        self._clock = clock
        self._wanted = asyncio.Event()
        self._pause = RETRY_SECONDS
        self.shares: Mapping[str | None, BudgetShare] = {}
        self.count_as_spent: Callable[[str | None, HighWater], None] = lambda account, held: None

    def divide(
        self,
        budgets: Mapping[str | None, Budget],
        gates: Iterable[Gate],
        count_as_spent: Callable[[str | None, HighWater], None],
    ) -> None:
        """Share every account's budget and the run's, which stands under None, with others."""
        self.shares = {
            account: BudgetShare(account or "", budget, self.want)
            for account, budget in budgets.items()
        }
        self.count_as_spent = count_as_spent
        for gate in gates:
            gate.allowance.shares = (self.shares[gate.account.name], self.shares[None])

    def want(self) -> None:
        """A share is short."""
        self._wanted.set()

    async def open(self) -> None:
        """Make the store ready. Errors: `InputError`; one that is away is waited for later."""
        with contextlib.suppress(StoreAway):
            await self._store.open()

    async def close(self) -> None:
        """Let go of the store."""
        await self._store.close()

    async def run(self, wake: Callable[[], None]) -> None:
        """Take blocks until cancelled; `wake` hears of each. Errors: `InputError`, `CannotWrite`."""
        while True:
            self._wanted.clear()
            is_away = await self._take_all()
            wake()
            if is_away:
                await asyncio.sleep(self._pause)
                self._pause = min(2 * self._pause, RETRY_SECONDS_MAX)
            else:
                self._pause = RETRY_SECONDS
                await self._wanted.wait()

    async def give_back(self) -> list[str]:
        """At an orderly end, with no call in flight: what was not used. Returns a sentence for
        each account whose block could not be given back; its next run uses it up.
        """
        notes = []
        for account, share in self.shares.items():
            if share.budget.limits and share.others is not None:
                try:
                    await self._give_back(account, share)
                except StoreAway as error:
                    whose = share.name or "the run"
                    notes.append(f"{whose}: a block of the shared budget is kept: {error}")
        return notes

    async def _take_all(self) -> bool:
        """Whether the store is away."""
        for account, share in self.shares.items():
            if not share.is_short:
                continue
            try:
                await self._take(account, share)
            except StoreAway as error:
                now = self._clock.now()
                for each in self.shares.values():
                    each.failed(now, str(error), now + self._pause)
                return True
        return False

    async def _take(self, account: str | None, share: BudgetShare) -> None:
        day = share.budget.spent(self._today()).day

        def decide(others: HighWater, own: HighWater) -> HighWater:
            if share.others is None:
                self.count_as_spent(account, own)
            return share.decide(day, self._today(), others, own)

        others, held = await self._store.exchange(account or "", self._owner, day, decide)
        share.taken(self._clock.now(), others, held)

    async def _give_back(self, account: str | None, share: BudgetShare) -> None:
        today = self._today()
        day = share.budget.spent(today).day
        unused = partial(_unused, share, today)
        await self._store.exchange(account or "", self._owner, day, unused)

    def _today(self) -> float:
        return self._clock.calendar(self._clock.now())


def _unused(share: BudgetShare, today: float, others: HighWater, own: HighWater) -> HighWater:
    return share.spent(today, own)
