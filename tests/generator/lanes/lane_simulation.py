"""Gates against simulated servers on a fake clock: hours of calls in a second, the same ones
each time.
"""

import heapq
import random
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from math import ceil
from typing import Any, Literal, Protocol

from generator.config import BudgetConfig, LaneConfig
from generator.lanes.gate import Gate, gates, run_budget
from generator.lanes.waits import Wait
from shared.chat_api.errors import CallError, RateLimited, ServerFault, Stalled
from shared.chat_api.limits import LimitNews
from shared.records import Usage

Window = Literal["sliding", "fixed", "bucket"]

USAGE = Usage(prompt_tokens=100, completion_tokens=900)


def lane_config(name: str = "lane", **values: Any) -> LaneConfig:
    return LaneConfig.model_validate(
        {"name": name, "base_url": f"http://{name}", "model": "m", **values}
    )


def one_gate(**values: Any) -> Gate:
    return gates([lane_config(**values)], run_budget(BudgetConfig()))["lane"]


@dataclass(eq=False)
class Call:
    """What a server does with one call: first token after `first` seconds, end after `end`,
    perhaps with an error; what it says about its limits.
    """

    end: float
    first: float | None = None
    error: CallError | None = None
    news: LimitNews | None = None


class Server(Protocol):
    def take(self, now: float) -> Call: ...
    def release(self, now: float, call: Call) -> None: ...


class Subject(Protocol):
    """What is tried: a lane's gate, or another rule that can be asked the same."""

    name: str
    in_flight: int

    def wait(self, now: float) -> Wait | None: ...
    def enter(self, now: float) -> Any: ...
    def first_token(self, now: float, permit: Any) -> None: ...
    def succeed(self, now: float, permit: Any, usage: Usage) -> float: ...
    def fail(self, now: float, permit: Any, error: CallError) -> float: ...
    def news(self, now: float, permit: Any, news: LimitNews) -> None: ...


class ChanceRefusal(RateLimited):
    """A 429 that has nothing to do with a limit."""


@dataclass
class Allows:
    """Serves `at_once` calls and `a_minute` starts; says 429 beyond. Durations are spread by a
    factor of three, or log-normally (`spread`, the deviation of the logarithm), or not at all.
    """

    at_once: int = 10**9
    a_minute: int = 10**9
    window: Window = "sliding"
    bucket_size: int = 0  # starts that a full bucket holds; 0: those of a minute
    seconds: float = 10.0
    spread: float = 0.0
    is_constant: bool = False  # all calls take `seconds`
    first_token: float = 0.3
    latency: float = 0.05
    fault_share: float = 0.0
    refused_share: float = 0.0  # by chance, whatever is in flight
    retry_after: float | None = None
    names_limits: bool = False  # in its 429
    capacity: int = 0  # beyond so many in flight all take longer; 0: they do not
    seed: int = 1
    in_flight: int = 0
    most: int = 0
    starts: deque[float] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.bucket = self._full_bucket()
        self.filled_at = 0.0

    def take(self, now: float) -> Call:
        if self.in_flight >= self.at_once:
            return self._refuse(LimitNews(max_in_flight=self.at_once))
        if not self._has_room(now):
            return self._refuse(LimitNews(requests_limit=self.a_minute, per="minute"))
        if self.refused_share and self.random.random() < self.refused_share:
            refusal = ChanceRefusal("429", status=429, retry_after_seconds=self.retry_after)
            return Call(self.latency, None, refusal)
        self.starts.append(now)
        self.bucket -= 1
        if self.fault_share and self.random.random() < self.fault_share:
            return Call(self.latency, None, ServerFault("503", status=503))
        self.in_flight += 1
        self.most = max(self.most, self.in_flight)
        load = max(1.0, self.in_flight / self.capacity) if self.capacity else 1.0
        return Call(self._duration() * load, self.first_token * load)

    def release(self, now: float, call: Call) -> None:
        if call.error is None:
            self.in_flight -= 1

    def _refuse(self, news: LimitNews) -> Call:
        error = RateLimited("429", status=429, retry_after_seconds=self.retry_after)
        return Call(self.latency, None, error, news if self.names_limits else None)

    def _full_bucket(self) -> float:
        return float(self.bucket_size or self.a_minute)

    def _duration(self) -> float:
        if self.is_constant:
            return self.seconds
        if self.spread:
            return self.first_token + self.seconds * self.random.lognormvariate(0.0, self.spread)
        return self.seconds * self.random.uniform(0.5, 1.5)

    def _has_room(self, now: float) -> bool:
        """Whether the limit a minute lets one more in."""
        if self.window == "bucket":
            gain = (now - self.filled_at) * self.a_minute / 60
            self.bucket = min(self.bucket + gain, self._full_bucket())
            self.filled_at = now
            return self.bucket >= 1
        began = now // 60 * 60 if self.window == "fixed" else now - 60
        while self.starts and self.starts[0] < began:
            self.starts.popleft()
        return len(self.starts) < self.a_minute


@dataclass
class Queues:
    """Serves `slots` calls at once and lets the others wait for their first token, as vLLM does."""

    slots: int
    seconds: float = 30.0
    prefill: float = 0.4
    seed: int = 1
    free_at: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.free_at = [0.0] * self.slots

    def take(self, now: float) -> Call:
        begins = max(now, heapq.heappop(self.free_at))
        ends = begins + self.seconds * self.random.uniform(0.5, 1.5)
        heapq.heappush(self.free_at, ends)
        return Call(ends - now, begins - now + self.prefill)

    def release(self, now: float, call: Call) -> None:
        pass


@dataclass
class Down:
    """A server that answers 503 (or, as a black hole, nothing) from `begins` to `ends`."""

    server: Server
    begins: float
    ends: float
    hole_seconds: float = 0.0

    def take(self, now: float) -> Call:
        if not self.begins <= now < self.ends:
            return self.server.take(now)
        if self.hole_seconds:
            return Call(self.hole_seconds, None, Stalled("no first token"))
        return Call(0.05, None, ServerFault("503", status=503))

    def release(self, now: float, call: Call) -> None:
        if not isinstance(call.error, ServerFault | Stalled):
            self.server.release(now, call)


@dataclass
class Log:
    """What happened, call by call."""

    started: list[tuple[float, str]] = field(default_factory=list)  # when, lane
    ended: list[tuple[float, str, str]] = field(
        default_factory=list
    )  # when, lane, "ok" or the error's kind
    taken: list[float] = field(default_factory=list)  # starts that the server took up
    levels: list[tuple[float, int]] = field(default_factory=list)  # in flight, at each start
    waits: Counter[str] = field(default_factory=Counter)

    def ok(self, since: float = 0, until: float = 1e18) -> int:
        return sum(outcome == "ok" and since <= at < until for at, _, outcome in self.ended)

    def refused(self, since: float = 0, until: float = 1e18) -> int:
        return sum(
            outcome == "rate_limited" and since <= at < until for at, _, outcome in self.ended
        )

    def level(self, since: float, until: float = 1e18) -> float:
        """Mean calls in flight at starts."""
        seen = [level for at, level in self.levels if since <= at < until]
        return sum(seen) / len(seen)


def simulate(
    pairs: Sequence[tuple[Subject, Server]],
    seconds: float,
    begin: float = 0.0,
    at: Sequence[tuple[float, Callable[[], None]]] = (),
    stall: float = 0.0,
) -> Log:
    """Endless work for the gates until `begin + seconds`; `at`: things to do at moments.

    `stall`: a loaded client, which looks at what happened, and starts calls, only every so many
    seconds.
    """
    simulation = _Simulation(stall)
    for when, what in at:
        simulation.push(when, lambda _, what=what: what())  # type: ignore[misc]
    simulation.push(begin, lambda _: None)
    simulation.run(pairs, begin + seconds)
    return simulation.log


class _Simulation:
    """What happens is a heap of moments; after each, every gate lets go what it allows."""

    def __init__(self, stall: float) -> None:
        self.log = Log()
        self._stall = stall
        self._numbers = count()  # moments that are equal keep the order in which they were pushed
        self._wakes: dict[str, float] = {}  # by gate
        self._events: list[tuple[float, int, Callable[[float], None]]] = []

    def push(self, when: float, what: Callable[[float], None]) -> None:
        heapq.heappush(self._events, (when, next(self._numbers), what))

    def run(self, pairs: Sequence[tuple[Subject, Server]], until: float) -> None:
        while self._events and self._events[0][0] < until:
            now, _, happen = heapq.heappop(self._events)
            happen(now)
            if now != self._noticed_at(now):
                continue
            for gate, server in pairs:
                self._start_calls(now, gate, server)

    def _noticed_at(self, when: float) -> float:
        """When the client looks at what happened at `when`."""
        return ceil(when / self._stall) * self._stall if self._stall else when

    def _start_calls(self, now: float, gate: Subject, server: Server) -> None:
        """Start as many as the gate lets go, and come back when it says."""
        wait = gate.wait(now)
        while wait is None:
            self._start(now, gate, server)
            wait = gate.wait(now)
        self.log.waits[wait.state] += 1
        if wait.until is None:
            return
        wake = self._noticed_at(max(wait.until, now + 0.001))
        if not now < self._wakes.get(gate.name, 0.0) <= wake:
            self._wakes[gate.name] = wake
            self.push(wake, lambda _: None)

    def _start(self, now: float, gate: Subject, server: Server) -> None:
        entered = gate.enter(now)
        self.log.started.append((now, gate.name))
        self.log.levels.append((now, gate.in_flight))
        call = server.take(now)
        if call.error is None:
            self.log.taken.append(now)

        def end(now: float) -> None:
            if call.news is not None:
                gate.news(now, entered, call.news)
            if call.error is None:
                gate.succeed(now, entered, USAGE)
            else:
                gate.fail(now, entered, call.error)
            self.log.ended.append((now, gate.name, _outcome(call.error)))

        if call.first is not None:
            noticed = self._noticed_at(now + call.first)
            self.push(noticed, lambda now: gate.first_token(now, entered))
        self.push(now + call.end, lambda now: server.release(now, call))
        self.push(self._noticed_at(now + call.end), end)


def _outcome(error: CallError | None) -> str:
    if error is None:
        return "ok"
    return "chance" if isinstance(error, ChanceRefusal) else error.kind
