"""Budgets over crashes: the real ledger, the real marks on the disk and the real gate against a
count of the calls that were made.
"""

import asyncio
import contextlib
import shutil
import sqlite3
import tempfile
from collections import Counter
from pathlib import Path

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from generator.config import BudgetConfig, LaneConfig
from generator.corpus.high_water import HighWaterFile
from generator.corpus.ledger import Ledger
from generator.lanes.accounting import Accounting
from generator.lanes.clock import Clock
from generator.lanes.gate import Gate, Permit, gates, run_budget, run_limits
from shared.records import Usage
from tests.machines import machine_settings

NOON = 1_764_158_400.0  # 26 November 2025, 12:00 UTC
HOUR = 3600.0


class LedgerMachine(RuleBasedStateMachine):
    """One lane of 1 to 12 calls a day, and one run of 1 to 12."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="ledger-machine-"))
        self.now = NOON
        self.calls: Counter[float] = Counter()  # that were made, by the day that they count for
        self.in_flight: list[tuple[Permit, int]] = []
        self.has_copy = False
        # Whether nothing happened on this day that may cost some of its calls, and never give any.
        self.is_exact = True
        self.ledger: Ledger | None = None

    @initialize(lane=st.integers(1, 12), run=st.integers(1, 12))
    def begin(self, lane: int, run: int) -> None:
        self.lane_limit = lane
        self.run_limit = run
        self.open()

    def lane(self) -> LaneConfig:
        values = {"name": "a", "base_url": "http://a", "model": "m", "concurrency": 1000}
        return LaneConfig.model_validate(values | {"calls_per_day": self.lane_limit})

    def open(self) -> None:
        self.ledger = Ledger(self.folder / "ledger.sqlite")
        self.high_water = HighWaterFile(self.folder, self.ledger.last_call())
        budget_of_run = run_budget(BudgetConfig(calls_per_day=self.run_limit))
        clock = Clock(wall=lambda: self.now, monotonic=lambda: self.now)
        self.gate: Gate = gates([self.lane()], budget_of_run, clock)["a"]
        budgets = {"a": self.gate.account.budget, None: budget_of_run}
        self.accounting = Accounting(budgets, self.ledger, self.high_water, clock)
        self.accounting.resume()
        self.in_flight = []

    def kill(self) -> None:
        """What a kill leaves: what SQLite has committed, and nothing else of ours."""
        assert self.ledger is not None
        self.ledger._db.close()
        self.high_water.close()

    @property
    def day(self) -> float:
        return self.gate.account.budget.day_began(self.now)

    # What happens

    @rule(tokens=st.integers(0, 2000))
    def call(self, tokens: int) -> None:
        wait = self.gate.allowance.wait(self.now, 0.0)
        limit = min(self.lane_limit, self.run_limit)
        if self.is_exact:
            assert (wait is None) == (self.calls[self.day] < limit)
        if wait is not None:
            return
        if not self.gate.is_marked(self.now):
            asyncio.run(self.accounting.mark(self.gate))
            assert self.gate.is_marked(self.now)
        permit = self.gate.enter(self.now)
        number = self.accounting.reserve(self.gate, permit, "x:0")
        self.calls[permit.account.day] += 1
        assert self.calls[permit.account.day] <= limit
        self.in_flight.append((permit, number))

    @precondition(lambda self: self.in_flight)
    @rule(data=st.data(), tokens=st.integers(0, 5000))
    def settle(self, data: st.DataObject, tokens: int) -> None:
        at = data.draw(st.integers(0, len(self.in_flight) - 1))
        permit, number = self.in_flight.pop(at)
        usage = Usage(prompt_tokens=10, completion_tokens=tokens)
        usd = self.gate.succeed(self.now, permit, usage)
        self.accounting.settle(number, "ok", usage, usd)

    @rule()
    def commit(self) -> None:
        assert self.ledger is not None
        self.ledger.commit()

    @rule(hours=st.sampled_from([0.01, 1.0, 7.0, 24.0, 60.0]))
    def wait(self, hours: float) -> None:
        before = self.day
        self.now += hours * HOUR
        if self.day != before:
            self.is_exact = True

    @rule(lane=st.integers(1, 12), run=st.integers(1, 12))
    def reload(self, lane: int, run: int) -> None:
        self.lane_limit = lane
        self.run_limit = run
        self.gate.account.reload([self.lane()])
        self.gate.run_budget.limits = run_limits(BudgetConfig(calls_per_day=run))

    @rule()
    def crash(self) -> None:
        self.kill()
        self.open()

    @rule()
    def copy_the_ledger(self) -> None:
        assert self.ledger is not None
        self.ledger.commit()
        with contextlib.closing(sqlite3.connect(self.folder / "copy")) as copy:
            self.ledger._db.backup(copy)
        self.has_copy = True

    @precondition(lambda self: self.has_copy)
    @rule()
    def restore_the_copy(self) -> None:
        self.kill()
        for name in ("ledger.sqlite-wal", "ledger.sqlite-shm"):
            (self.folder / name).unlink(missing_ok=True)
        shutil.copy(self.folder / "copy", self.folder / "ledger.sqlite")
        self.is_exact = False
        self.open()

    @rule()
    def lose_the_ledger(self) -> None:
        self.kill()
        for name in ("ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm"):
            (self.folder / name).unlink(missing_ok=True)
        self.is_exact = False
        self.open()

    @rule()
    def lose_the_proof(self) -> None:
        """As a power cut does: what was reserved ahead counts as spent."""
        self.kill()
        (self.folder / ".calls").unlink(missing_ok=True)
        self.is_exact = False
        self.open()

    @rule()
    def end_in_order(self) -> None:
        while self.in_flight:
            permit, number = self.in_flight.pop()
            self.gate.cancel(permit)
            self.accounting.give_up(number, permit)
        asyncio.run(self.accounting.give_back())
        assert self.ledger is not None
        self.ledger.close()
        self.high_water.close()
        self.open()

    @invariant()
    def the_ledger_knows_no_fewer_calls_than_were_made_since_it_was_whole(self) -> None:
        if self.ledger is not None and self.is_exact:
            spent_today = self.gate.account.budget.today(self.now)
            assert spent_today.calls >= self.calls[self.day]

    def teardown(self) -> None:
        if self.ledger is not None:
            self.kill()
        shutil.rmtree(self.folder)


LedgerMachine.TestCase.settings = machine_settings(examples=12, steps=30)
TestBudgetsOverCrashes = LedgerMachine.TestCase
