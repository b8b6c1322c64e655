"""Admission: two lanes of one account and a lane of its own, in any order of calls, faults, pauses,
reloads and hours. Never above a limit, and never stuck where something may go.
"""

from collections import Counter
from collections.abc import Callable
from math import inf
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from generator.config import BudgetConfig, LaneConfig
from generator.lanes.clock import Clock
from generator.lanes.gate import Gate, Permit, gates, run_budget, run_limits
from shared.chat_api.errors import (
    BadRequest,
    BalanceGone,
    CallError,
    Cut,
    KeyRefused,
    OutOfFiles,
    RateLimited,
    ServerFault,
    Stalled,
    UnknownModel,
    Unreachable,
)
from shared.chat_api.limits import LimitNews
from shared.records import Usage
from tests.generator.lanes.lane_simulation import lane_config
from tests.machines import machine_settings

MONDAY_NOON = 1_764_590_400.0  # 1 December 2025, 12:00 UTC
MINUTE = 60.0
HOUR = 3600.0
FAULTS: list[Callable[[], CallError]] = [
    lambda: RateLimited("429", status=429),
    lambda: RateLimited("429", status=429, retry_after_seconds=20.0),
    lambda: OutOfFiles("none left", retry_after_seconds=1.0),
    lambda: ServerFault("503", status=503),
    lambda: Unreachable("refused"),
    lambda: Stalled("no token"),
    lambda: Cut("broken"),
    lambda: BadRequest("bad", status=400),
    lambda: BalanceGone("402", status=402),
]
# These stop a lane, some until the key is mended.
STOPS: list[Callable[[], CallError]] = [
    lambda: KeyRefused("401", status=401),
    lambda: UnknownModel("404", status=404),
]
BY_DAY = "mon-sun 08:00-20:00"
TUESDAYS = "tue 00:00-24:00"
LIMITS = st.fixed_dictionaries(
    {
        "concurrency": st.integers(1, 5),
        "requests_per_minute": st.sampled_from([0, 0, 6, 60]),
        "calls_per_day": st.sampled_from([0, 2, 5, 30]),
        "windows": st.sampled_from([(), (), (BY_DAY,), (TUESDAYS,)]),
    }
)
NAMES = ("a", "b", "c")
ACCOUNTS = {"a": "shared", "b": "shared", "c": "c"}
# Waits that end by something that happens, not by the time.
EVENTS = {"full", "probing", "paused", "stopped"}


class CountedCalls(RuleBasedStateMachine):
    """Starts calls and counts every limit again at each. Lanes a and b are of one account; `calls`
    are in flight, oldest first.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = MONDAY_NOON
        self.gates: dict[str, Gate] = {}
        self.lanes: dict[str, LaneConfig] = {}
        self.run = run_budget(BudgetConfig())
        self.calls: list[tuple[Gate, Permit]] = []
        self.by_day: Counter[tuple[str, float]] = Counter()
        self.starts: dict[str, list[float]] = {"shared": [], "c": []}

    def configured(self, shared: dict[str, Any], own: dict[str, Any]) -> dict[str, LaneConfig]:
        values = {
            "a": {**shared, "account": "shared"},
            "b": {**shared, "account": "shared"},
            "c": own,
        }
        return {name: lane_config(name, **values[name]) for name in NAMES}

    def start(self, name: str, count: int) -> None:
        gate = self.gates[name]
        for _ in range(count):
            if gate.wait(self.now) is None:
                self.enter(gate)

    def enter(self, gate: Gate) -> None:
        """A call starts: here every limit is counted again."""
        lane = self.lanes[gate.name]
        account = ACCOUNTS[gate.name]
        assert not gate.paused
        assert gate.circuit.closed or not any(
            permit.probe for of, permit in self.calls if of is gate
        )
        assert self.is_within(lane.windows)
        permit = gate.enter(self.now)
        self.calls.append((gate, permit))
        in_flight = [of for of, _ in self.calls if ACCOUNTS[of.name] == account]
        assert len(in_flight) <= lane.concurrency
        self.by_day[account, permit.account.day] += 1
        self.by_day["run", permit.run.day] += 1
        calls_today = self.by_day[account, permit.account.day]
        assert not lane.calls_per_day or calls_today <= lane.calls_per_day
        run_limit = self.run.limits.calls_per_day
        assert not run_limit or self.by_day["run", permit.run.day] <= run_limit
        starts = self.starts[account]
        starts.append(self.now)
        last_minute = [moment for moment in starts if moment > self.now - MINUTE]
        # Even spacing: as many as the minute has places, and the one that it begins with. Whoever
        # is up to three seconds late makes up for it.
        per_minute = lane.requests_per_minute
        assert not per_minute or len(last_minute) <= per_minute * (1 + 3 / MINUTE) + 1

    def is_within(self, windows: tuple[str, ...]) -> bool:
        hours = (self.now - MONDAY_NOON) / HOUR + 12  # since Monday began, UTC
        open_hours = {BY_DAY: 8 <= hours % 24 < 20, TUESDAYS: 24 <= hours % (7 * 24) < 48}
        return not windows or open_hours[windows[0]]


class AdmissionMachine(CountedCalls):
    """Everything that happens to lanes, in any order."""

    @initialize(shared=LIMITS, own=LIMITS, run=st.sampled_from([0, 0, 40]))
    def begin(self, shared: dict[str, Any], own: dict[str, Any], run: int) -> None:
        self.run = run_budget(BudgetConfig(calls_per_day=run))
        self.lanes = self.configured(shared, own)
        clock = Clock(wall=lambda: self.now, monotonic=lambda: self.now)
        self.gates = gates(list(self.lanes.values()), self.run, clock)

    # What happens

    @rule(name=st.sampled_from(NAMES), count=st.integers(1, 6))
    def start_some(self, name: str, count: int) -> None:
        self.start(name, count)

    @rule(name=st.sampled_from(NAMES), count=st.integers(3, 30), pause=st.sampled_from([0.2, 2.0]))
    def work(self, name: str, count: int, pause: float) -> None:
        """Calls one after another, each of which is answered."""
        gate = self.gates[name]
        for _ in range(count):
            self.now += pause
            if gate.wait(self.now) is None:
                self.enter(gate)
                _, permit = self.calls.pop()
                gate.succeed(self.now, permit, Usage(10, 20))

    @precondition(lambda self: self.calls)
    @rule(fault=st.sampled_from(STOPS))
    def stop(self, fault: Callable[[], CallError]) -> None:
        gate, permit = self.calls[-1]
        if gate.name == "c":
            self.calls.pop()
            gate.fail(self.now, permit, fault())

    @rule(
        name=st.sampled_from(NAMES),
        kind=st.sampled_from([ServerFault, Unreachable, Stalled]),
        pause=st.sampled_from([0.1, 3.0, 30.0, MINUTE]),
    )
    def go_down(self, name: str, kind: type[CallError], pause: float) -> None:
        """The server fails every call that it has and the next few; then it is asked again."""
        gate = self.gates[name]
        for _ in range(8):
            self.now += 1
            if gate.wait(self.now) is None:
                self.enter(gate)
            for each in [each for each in self.calls if each[0] is gate]:
                self.calls.remove(each)
                gate.fail(self.now, each[1], kind("down"))
        self.now += pause
        self.start(name, 3)

    @precondition(lambda self: self.calls)
    @rule(data=st.data())
    def take_up(self, data: st.DataObject) -> None:
        gate, permit = data.draw(st.sampled_from(self.calls))
        if not permit.flight.answered:
            gate.first_token(self.now, permit)

    @precondition(lambda self: self.calls)
    @rule(data=st.data(), tokens=st.integers(0, 5000))
    def succeed(self, data: st.DataObject, tokens: int) -> None:
        gate, permit = self.calls.pop(data.draw(st.integers(0, len(self.calls) - 1)))
        gate.succeed(self.now, permit, Usage(prompt_tokens=10, completion_tokens=tokens))

    @precondition(lambda self: self.calls)
    @rule(data=st.data(), fault=st.sampled_from(FAULTS), count=st.integers(1, 6))
    def fail(self, data: st.DataObject, fault: Callable[[], CallError], count: int) -> None:
        for _ in range(min(count, len(self.calls))):
            gate, permit = self.calls.pop(data.draw(st.integers(0, len(self.calls) - 1)))
            error = fault()
            gate.fail(self.now, permit, error)
            if isinstance(error, BadRequest):
                gate.refuse(self.now, error, f"x:{len(self.calls)}")

    @precondition(lambda self: self.calls)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        gate, permit = self.calls.pop(data.draw(st.integers(0, len(self.calls) - 1)))
        gate.cancel(permit)

    @precondition(lambda self: self.calls)
    @rule(data=st.data(), remaining=st.integers(0, 5), per=st.sampled_from(["day", "minute"]))
    def hear_of_limits(self, data: st.DataObject, remaining: int, per: Any) -> None:
        gate, permit = data.draw(st.sampled_from(self.calls))
        gate.news(self.now, permit, LimitNews(requests_remaining=remaining, per=per))

    @rule(name=st.sampled_from(NAMES))
    def pause_or_resume(self, name: str) -> None:
        self.gates[name].paused = not self.gates[name].paused

    @rule(seconds=st.sampled_from([0.01, 0.5, 3.0, 20.0, MINUTE, 10 * MINUTE, 5 * HOUR, 24 * HOUR]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(shared=LIMITS, own=LIMITS, run=st.sampled_from([0, 40]))
    def reload(self, shared: dict[str, Any], own: dict[str, Any], run: int) -> None:
        """Calls in flight and starts under the earlier limits are forgiven, new ones are not."""
        self.lanes = self.configured(shared, own)
        accounts = {"shared": [self.lanes["a"], self.lanes["b"]], "c": [self.lanes["c"]]}
        for name, gate in self.gates.items():
            gate.account.reload(accounts[ACCOUNTS[name]])
            gate.reload(self.lanes[name])
        self.run.limits = run_limits(BudgetConfig(calls_per_day=run))
        for starts in self.starts.values():
            starts.clear()

    # What must hold

    @invariant()
    def every_wait_is_for_a_later_moment_or_for_something_that_can_happen(self) -> None:
        for gate in self.gates.values():
            wait = gate.wait(self.now)
            if wait is None:
                continue
            if wait.until is not None:
                assert wait.until > self.now
                continue
            assert wait.state in EVENTS or wait.state in ("used up", "closed window"), wait
            account = ACCOUNTS[gate.name]
            in_flight = [of for of, _ in self.calls if ACCOUNTS[of.name] == account]
            assert wait.state != "full" or in_flight
            assert (
                wait.state != "probing"
                or [of for of, _ in self.calls if of is gate]
                or (gate.trial.suspect)
            )

    @rule()
    def come_to_rest(self) -> None:
        """Everything in flight ends well, pauses end: then every lane that was not stopped for good
        can be called again, at the latest when its next day or window comes.
        """
        while self.calls:
            gate, permit = self.calls.pop()
            gate.succeed(self.now, permit, Usage(10, 20))
        for gate in self.gates.values():
            gate.paused = False
            self.reach_a_call(gate)

    def reach_a_call(self, gate: Gate) -> None:
        latest = self.now + 9 * 24 * HOUR
        for _ in range(2000):
            wait = gate.wait(self.now)
            if wait is None:
                return
            if wait.state == "stopped" or gate.trial.suspect:
                assert gate.circuit.retry_at == inf or gate.trial.suspect
                return
            assert wait.until is not None, wait
            assert self.now < wait.until
            self.now = max(wait.until, self.now + 0.001)
            assert self.now < latest, wait
        raise AssertionError(f"{gate.name} is never let go: {gate.wait(self.now)}")


AdmissionMachine.TestCase.settings = machine_settings(examples=40, steps=40)
TestAdmission = AdmissionMachine.TestCase
