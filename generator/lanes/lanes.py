"""Every lane of a run: asked, steered, reported on."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self

from generator.answer import Answer
from generator.config import GeneratorConfig, LaneConfig
from generator.corpus.high_water import HighWaterFile
from generator.corpus.ledger import Ledger
from generator.lanes.account import by_account
from generator.lanes.accounting import Accounting
from generator.lanes.budgets import Budget
from generator.lanes.clock import Clock
from generator.lanes.describe import budget_status, lane_status
from generator.lanes.dispatch import Dispatcher
from generator.lanes.forecast import quota_seconds
from generator.lanes.gate import gates, run_budget, run_limits
from generator.lanes.lane import Lane
from generator.lanes.line_budget import LineBudget
from generator.lanes.quota_left import quota_left
from generator.lanes.refusal_streak import SAMPLES
from generator.lanes.reloading import budget_notes, taken_up
from generator.lanes.retry import Retry
from generator.lanes.sharing import Sharing
from generator.monitor.status import BudgetStatus, LaneStatus
from generator.spending import SharedStore
from shared.chat_api import ChatClient
from shared.records import Message


class Lanes:
    """`judge.lane` takes no samples, only calls that name it."""

    def __init__(
        self,
        config: GeneratorConfig,
        teacher_for: Callable[[LaneConfig], ChatClient],
        ledger: Ledger,
        high_water: HighWaterFile,
        wall_clock: Callable[[], float] = time.time,
        store: SharedStore | None = None,
        owner: str = "",
    ) -> None:
        self.config = config  # as far as it was taken up
        self._clock = Clock(wall_clock)
        self._run_budget = run_budget(config.budget)
        self._gates = gates(config.lane, self._run_budget, self._clock)
        self._lanes = {
            lane.name: Lane(lane, self._gates[lane.name], teacher_for(lane)) for lane in config.lane
        }
        budgets: dict[str | None, Budget] = {
            gate.account.name: gate.account.budget for gate in self._gates.values()
        }
        budgets[None] = self._run_budget
        self._accounting = Accounting(budgets, ledger, high_water, self._clock)
        self._sharing = Sharing(store, owner, self._clock) if store else None
        if self._sharing is not None:
            self._sharing.divide(budgets, self._gates.values(), self._accounting.count_held)
        self._dispatcher = Dispatcher(
            self._lanes, config.judge.lane, config.daemon, self._accounting, self._clock
        )
        self._retry = Retry(self._dispatcher, self._accounting, self._clock, config.retry.attempts)
        self._teachers = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self._accounting.resume()
        if self._sharing is not None:
            await self._sharing.open()
            self._teachers.push_async_callback(self._sharing.close)
        for lane in self._lanes.values():
            await self._teachers.enter_async_context(lane.teacher)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._teachers.aclose()

    async def dispatch(self) -> None:
        """Let waiting samples in until cancelled: nothing is asked without it. Errors:
        `CannotWrite`.
        """
        if self._sharing is None:
            await self._dispatcher.run()
            return
        async with asyncio.TaskGroup() as group:
            group.create_task(self._dispatcher.run())
            group.create_task(self._sharing.run(self._dispatcher.wake))

    async def give_back(self) -> list[str]:
        """At an orderly end, with no call in flight: what budgets reserved and did not use.
        Returns a sentence for each block that a shared budget could not take back. Errors:
        `CannotWrite`.
        """
        await self._accounting.give_back()
        return await self._sharing.give_back() if self._sharing else []

    async def ask(
        self, sample_id: str, messages: list[Message], params: Mapping[str, Any], *, lane: str = ""
    ) -> Answer:
        """Ask for one sample. `params`: temperature, top_p, max_tokens. `lane`: only that one
        (a judge). Errors: `Drained`, `OutOfBudget`, `NoLane`.
        """
        return await self._retry.ask(sample_id, messages, params, lane)

    def line_budgets(self) -> list[LineBudget]:
        """Of each batch lane."""
        return [
            LineBudget(lane.gate, self._accounting, self._clock, lambda: self._dispatcher.paused)
            for lane in self._lanes.values()
            if lane.config.mode == "batch"
        ]

    def hand_on(self, others_at_work: Callable[[], bool]) -> None:
        """Where no lane can take a sample and `others_at_work`, `ask` raises `HandedOn`."""
        self._dispatcher.others_at_work = others_at_work

    # Controls

    def drain(self) -> None:
        """No call starts any more; samples without a call in flight come back as Drained."""
        self._retry.drain()
        self._dispatcher.drain()

    def pause(self, lane: str = "") -> None:
        """No call starts, on one lane or anywhere; those in flight go on. Errors: KeyError for
        an unknown lane.
        """
        if lane:
            self._gates[lane].paused = True
        else:
            self._dispatcher.paused = True
        self._dispatcher.wake()

    def resume(self, lane: str = "") -> None:
        """Undo `pause`. A named lane that was stopped (key, model, balance) is tried again."""
        if lane:
            gate = self._gates[lane]
            gate.paused = False
            if not gate.circuit.closed:
                gate.circuit.retry_at = self._clock.now()
        else:
            self._dispatcher.paused = False
        self._dispatcher.wake()

    def reload(self, config: GeneratorConfig) -> list[str]:
        """Take up budgets, windows, limits and `daemon` waiting from a changed configuration; calls
        in flight go on.

        Returns a sentence for each change that needs a restart. Errors: InputError, and nothing is
        changed.
        """
        running = {name: lane.config for name, lane in self._lanes.items()}
        lanes, notes = taken_up(running, config.lane)
        notes += budget_notes(self.config.budget, config.budget)
        accounts = {gate.account.name: gate.account for gate in self._gates.values()}
        for name, keys in by_account(list(lanes.values())).items():
            accounts[name].reload(keys)
        for name, lane in self._lanes.items():
            lane.gate.reload(lanes[name])
            lane.reload(lanes[name])
        self._run_budget.limits = run_limits(config.budget)
        self.config = self.config.model_copy(
            update={"daemon": config.daemon, "retry": config.retry}
        )
        self._retry.attempts = config.retry.attempts
        self._dispatcher.take_up(config.daemon)
        self._dispatcher.wake()
        return notes

    # Telling

    @property
    def most_in_flight(self) -> int:
        """The ceiling over all lanes that take samples, and those that wait to hear whose fault
        their refusal was.

        So many workers are enough.
        """
        accounts = {lane.gate.account.name: lane.gate.account for lane in self._working_lanes()}
        if not accounts:  # batch lanes only
            return 0
        return sum(account.concurrency.ceiling for account in accounts.values()) + SAMPLES

    @property
    def in_flight(self) -> int:
        """Calls, over all lanes."""
        return sum(gate.in_flight for gate in self._gates.values())

    @property
    def names(self) -> Sequence[str]:
        """Of every lane."""
        return list(self._lanes)

    @property
    def paused(self) -> bool:
        """The whole run is."""
        return self._dispatcher.paused

    def status(self) -> list[LaneStatus]:
        """Every lane now."""
        now = self._clock.now()
        return [
            lane_status(gate, self._dispatcher.waiting(name), now, self.paused)
            for name, gate in self._gates.items()
        ]

    def budgets(self) -> list[BudgetStatus]:
        """The limits of the whole run."""
        return budget_status("", self._run_budget, self._today())

    def remaining_seconds(self, samples: int, by_rate: float) -> tuple[float, bool]:
        """(seconds until so many more samples are done, whether quotas say so and not the
        present rate).
        """
        if any(lane.config.mode == "batch" for lane in self._lanes.values()):
            return by_rate, False  # a batch keeps to no quota of ours
        gate_of_account = {lane.gate.account.name: lane.gate for lane in self._working_lanes()}
        today = self._today()
        quotas = [quota_left(gate, self._run_budget, today) for gate in gate_of_account.values()]
        return quota_seconds(samples, by_rate, quotas)

    def _working_lanes(self) -> list[Lane]:
        return self._dispatcher.usable("")

    def _today(self) -> float:
        return self._clock.calendar(self._clock.now())
