"""What goes wrong on purpose: fault rates by name, and limits that are really enforced.

--faults
429=0.05,503=0.02,stall=0.01,cut=0.02,empty=0.01,length=0.02,wrong=0.1,keepalive=0.05,error_event=0.01
"""

import collections
import random
from collections.abc import Mapping
from dataclasses import dataclass, field

from shared.errors import InputError

KINDS = {
    "stall": "the stream falls silent after a few tokens; only comments keep coming",
    "cut": "the socket closes in the middle",
    "empty": "HTTP 200 without an answer: no body at all, or reasoning and then `stop`",
    "length": "the answer breaks off with finish_reason `length`",
    "error_event": "an error event in the stream under HTTP 200",
    "wrong": "the solver slips; combines with every other kind",
    "keepalive": (
        "floods of comments and blank lines between tokens; combines with every other kind"
    ),
    "retry_after": "seconds that each 429 and 503 names in its Retry-After header; 0 sends none",
}
_COMBINING = ("wrong", "keepalive")


@dataclass(frozen=True, slots=True)
class Fate:
    """What happens to one call. `kind` is "", a name from `KINDS`, or a status code."""

    kind: str = ""
    wrong: bool = False
    keepalive: bool = False

    @property
    def status(self) -> int | None:
        """The HTTP status of a call that is refused, else None."""
        return int(self.kind) if self.kind.isdigit() else None


@dataclass(frozen=True, slots=True)
class Faults:
    """Rates between 0 and 1 by kind; kinds that exclude each other add up to 1 at most."""

    rates: Mapping[str, float] = field(default_factory=dict)
    retry_after_seconds: float = 1.0

    @classmethod
    def parse(cls, spec: str) -> "Faults":
        """Errors: `InputError` that names the kind and lists the known ones."""
        rates: dict[str, float] = {}
        for item in filter(None, (part.strip() for part in spec.split(","))):
            kind, _, value = item.partition("=")
            if kind not in KINDS and not (kind.isdigit() and 400 <= int(kind) <= 599):
                raise InputError(
                    f"--faults {item}: unknown kind; known are {', '.join(KINDS)} and status codes"
                    " 400 to 599"
                )
            try:
                rates[kind] = float(value)
            except ValueError:
                raise InputError(f"--faults {item}: write {kind}=RATE, as in {kind}=0.05") from None
            if rates[kind] < 0:
                raise InputError(f"--faults {item}: a rate cannot be negative")
        retry_after = rates.pop("retry_after", 1.0)
        total = sum(rate for kind, rate in rates.items() if kind not in _COMBINING)
        if total > 1 or any(rate > 1 for rate in rates.values()):
            raise InputError(
                f"--faults {spec}: rates add up to {total:g}; more than every call cannot fail"
            )
        return cls(rates, retry_after)

    def draw(self, rng: random.Random) -> Fate:
        """What happens to the next call."""
        wrong, keepalive = (rng.random() < self.rates.get(kind, 0.0) for kind in _COMBINING)
        throw = rng.random()
        for kind, rate in self.rates.items():
            if kind in _COMBINING:
                continue
            if throw < rate:
                return Fate(kind, wrong, keepalive)
            throw -= rate
        return Fate("", wrong, keepalive)


@dataclass(frozen=True, slots=True)
class LimitRefusal:
    """A call that a limit turned away before any work was done for it."""

    status: int
    message: str
    retry_after_seconds: float | None = None


class AccountLimits:
    """Account limits as a provider enforces them. 0 is no limit; times are seconds on one clock
    of the caller's.
    """

    def __init__(
        self,
        *,
        requests_per_minute: int = 0,
        max_in_flight: int = 0,
        calls_per_day: int = 0,
        balance: int = 0,
        day_seconds: float = 86_400.0,
        say_retry_after: bool = True,
    ) -> None:
        self._per_minute = requests_per_minute
        self._max_in_flight = max_in_flight
        self._per_day = calls_per_day
        self._balance = balance
        self._day_seconds = day_seconds
        self._say_retry_after = say_retry_after
        self._recent: collections.deque[float] = collections.deque()
        self._day = -1
        self._today = 0
        self._ever = 0

    def admit(self, now: float, in_flight: int) -> LimitRefusal | None:
        """Count one call, or say why it is turned away. A refused call costs one of the day's,
        as elsewhere.
        """
        self._turn_day(now)
        while self._recent and self._recent[0] <= now - 60:
            self._recent.popleft()
        if self._balance and self._ever >= self._balance:
            return LimitRefusal(402, "Insufficient Balance")
        if self._per_day and self._today >= self._per_day:
            seconds = (self._day + 1) * self._day_seconds - now
            return self._refusal(f"Daily limit of {self._per_day} calls reached", seconds)
        self._today += 1
        if self._per_minute and len(self._recent) >= self._per_minute:
            seconds = self._recent[0] + 60 - now
            return self._refusal(f"Rate limit: {self._per_minute} requests per minute", seconds)
        if self._max_in_flight and in_flight >= self._max_in_flight:
            message = f"Too many concurrent requests: {self._max_in_flight} allowed"
            return self._refusal(message, 1.0)
        self._recent.append(now)
        self._ever += 1
        return None

    def _refusal(self, message: str, seconds: float) -> LimitRefusal:
        return LimitRefusal(429, message, seconds if self._say_retry_after else None)

    def headers(self, now: float) -> dict[str, str]:
        """What is left of the day, in the headers that ModelScope sends; none without a daily
        limit.
        """
        if not self._per_day:
            return {}
        self._turn_day(now)
        remaining_calls = str(max(0, self._per_day - self._today))
        return {
            "modelscope-ratelimit-requests-limit": str(self._per_day),
            "modelscope-ratelimit-requests-remaining": remaining_calls,
            "modelscope-ratelimit-model-requests-remaining": remaining_calls,
        }

    def _turn_day(self, now: float) -> None:
        day = int(now // self._day_seconds)
        if day != self._day:
            self._day = day
            self._today = 0
