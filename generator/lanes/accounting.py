"""What calls take, written down: in the ledger before each is made, and ahead of it on the disk.

A restart reads both, so that no budget is given out twice.
"""

from collections.abc import Mapping, Sequence

from generator.corpus.batch_table import BatchRow
from generator.corpus.high_water import HighWaterFile
from generator.corpus.ledger import Ledger
from generator.lanes.account import Account
from generator.lanes.budgets import Budget, Reservation
from generator.lanes.clock import Clock
from generator.lanes.gate import Gate, Permit
from generator.spending import HighWater, Spent
from shared.records import Usage

ROUNDING_USD = 1e-9  # sums of the same costs in another order differ by less
OUT_UNTIL = "out until: "  # a note's name, with the account: when its server allows calls again


class Accounting:
    """The budgets' memory. `budgets`: of each account by name, and of the run under None."""

    def __init__(
        self,
        budgets: Mapping[str | None, Budget],
        ledger: Ledger,
        high_water: HighWaterFile,
        clock: Clock,
    ) -> None:
        self._budgets = budgets
        self._ledger = ledger
        self._high_water = high_water
        self._clock = clock
        self._out_until: dict[str, float] = {}  # by account, as noted in the ledger
        self._doubtful: set[str | None] = set()  # accounts of which the ledger may have lost calls

    def resume(self) -> None:
        """Take up what was spent: by the ledger, and by the disk's marks where the ledger has
        lost some of it. Errors: `CannotWrite`.
        """
        for account, budget in self._budgets.items():
            mark = self._high_water.get(account)
            if mark is None and not self._high_water.ledger_is_whole:
                self._doubtful.add(account)
            # A clock that was set back turns no day back.
            today = max(self._today(), mark.day if mark else 0.0)
            spent_today = self._ledger.spent(account, budget.day_began(today))
            spent_usd = self._ledger.spent(account, 0.0).usd
            note = self._ledger.noted(OUT_UNTIL + account) if account else ""
            by_ledger = Spent(spent_today.calls, spent_today.tokens, spent_today.usd)
            budget.resume(today, spent_today, spent_usd, float(note or 0.0), mark)
            self._note_what_was_lost(account, today, by_ledger, spent_usd)

    def _note_what_was_lost(
        self, account: str | None, today: float, by_ledger: Spent, ledger_usd: float
    ) -> None:
        """So that the ledger knows of all that counts as spent, and what is lost next is told
        from this.
        """
        budget = self._budgets[account]
        spent_today = budget.today(today)
        lost = Spent(
            spent_today.calls - by_ledger.calls,
            spent_today.tokens - by_ledger.tokens,
            spent_today.usd - by_ledger.usd,
        )
        if lost.calls or lost.tokens or lost.usd > ROUNDING_USD:
            self._ledger.add_lost_calls(account or "", today, lost)
        lost_before_today = budget.total_usd - ledger_usd - lost.usd
        if lost_before_today > ROUNDING_USD:
            self._ledger.add_lost_calls(account or "", 0.0, Spent(usd=lost_before_today))

    def count_held(self, account: str | None, held: HighWater) -> None:
        """What this corpus holds of a shared allowance counts as spent where nothing proves that
        it is not. Errors: `CannotWrite`.
        """
        if account not in self._doubtful:
            return
        self._doubtful.discard(account)
        budget = self._budgets[account]
        today = self._today()
        before = budget.spent(today)
        budget.count_all_of(held)
        by_ledger = Spent(before.calls, before.tokens, before.usd)
        self._note_what_was_lost(account, today, by_ledger, before.total_usd)

    def reserve(self, gate: Gate, permit: Permit, sample_id: str) -> int:
        """Write a call down before it is made; its number. Errors: `CannotWrite`."""
        # By a clock that was set back, the day on which it counts is still to come.
        day = max(permit.account.day, permit.run.day)
        call_id = self._ledger.reserve_call(
            gate.name,
            gate.account.name,
            sample_id,
            max(self._clock.calendar(permit.started_at), day),
            permit.tokens,
            permit.usd,
        )
        self._high_water.booked(call_id)
        return call_id

    def settle(self, call_id: int, outcome: str, usage: Usage, usd: float) -> None:
        """Put what a call really took in place of what was reserved. Errors: `CannotWrite`."""
        self._ledger.settle_call(call_id, outcome, usage, usd)

    def give_up(self, call_id: int, permit: Permit) -> None:
        """A call that we ended ourselves: what it cost is not known, so what was reserved is
        taken as spent.
        """
        self.settle(call_id, "cancelled", Usage(completion_tokens=permit.tokens), permit.usd)

    def note_day_over(self, account: Account) -> None:
        """Note until when a server allows no more calls, where it has said so."""
        until = account.budget.out_until(self._today())
        if until is not None and until != self._out_until.get(account.name):
            self._out_until[account.name] = until
            self._ledger.note(OUT_UNTIL + account.name, str(until))

    def reserve_lines(
        self, gate: Gate, name: str, sample_ids: Sequence[str], tokens: int, usd: float
    ) -> BatchRow:
        """Write a batch and its lines down before its file is sent. Errors: `CannotWrite`."""
        moment = self._clock.now()
        today = self._clock.calendar(moment)
        lines = len(sample_ids)
        budgets = (gate.account.budget, gate.run_budget)
        days = [budget.reserve(today, tokens * lines, usd * lines, lines).day for budget in budgets]
        first_call = self._ledger.last_call() + 1
        row = BatchRow(
            name=name,
            lane=gate.name,
            state="prepared",
            lines=lines,
            first_call=first_call,
            sent_at=max(today, *days),
            tokens=tokens,
            usd=usd,
        )
        self._ledger.add_batch(row, gate.account.name, sample_ids, first_call)
        self._high_water.booked(first_call + lines - 1)
        return row

    def settle_line(
        self, gate: Gate, row: BatchRow, line: int, outcome: str, tokens: int, usd: float
    ) -> None:
        """Put what a line took in place of what was reserved for it. Errors: `CannotWrite`."""
        self.settle(row.first_call + line, outcome, Usage(completion_tokens=tokens), usd)
        today = self._today()
        for budget in (gate.account.budget, gate.run_budget):
            reservation = Reservation(budget.day_began(row.sent_at), row.tokens, row.usd, 0)
            budget.settle(today, reservation, tokens, usd)

    async def mark(self, gate: Gate, calls: int = 1, margin: float = 1.0) -> None:
        """Reserve the next block of what this lane's calls take, on the disk, and trim what
        others hold too much. Returns when it would survive a power cut. Errors: `CannotWrite`.
        """
        today = self._today()
        tokens = int(calls * margin * gate.expected.tokens)
        usd = calls * margin * gate.expected_usd(gate.expected.tokens)
        marks: dict[str | None, HighWater] = {}
        for name, budget in self._budgets.items():
            if budget is gate.account.budget or budget is gate.run_budget:
                marks[name] = budget.next_mark(today, calls, tokens, usd)
            elif budget.limits:
                marks[name] = budget.next_mark(today)
        await self._high_water.put(marks)
        for name, mark in marks.items():
            self._budgets[name].marked(mark)

    async def give_back(self) -> None:
        """At an orderly end, with no call in flight: what was reserved ahead and not used
        counts as unused again. Errors: `CannotWrite`.
        """
        today = self._today()
        marks = {
            name: budget.spent(today)
            for name, budget in self._budgets.items()
            if budget.limits or budget.mark
        }
        await self._high_water.put(marks)

    def _today(self) -> float:
        return self._clock.calendar(self._clock.now())
