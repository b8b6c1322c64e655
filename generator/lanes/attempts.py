"""One sample's calls so far: what they cost, what may still be tried, and the best text that a
failed one brought.
"""

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

from generator.answer import Answer
from generator.config import LaneConfig
from shared.chat_api.errors import (
    BalanceGone,
    CallError,
    FieldRefused,
    KeyRefused,
    RateLimited,
    UnknownModel,
    Unreachable,
)
from shared.chat_api.request import Request
from shared.records import Completion, Usage

# Faults that may be an outage or this sample's own doing are forgiven so many times the attempts,
# and no longer.
FORGIVEN_FACTOR = 10
NEVER_COUNTED = (RateLimited, KeyRefused, UnknownModel, BalanceGone, FieldRefused)
GATEWAY_STATUSES = (502, 503, 504)  # nobody is behind the gateway


@dataclass(slots=True)
class Tally:
    """Kept by `Retry.ask` for one sample."""

    sample_id: str
    calls: int = 0
    counted: int = 0  # attempts used up
    forgiven: int = 0
    cost_usd: float | None = None
    failures: Counter[str] = field(default_factory=Counter)  # by lane
    lane: str = ""
    model: str = ""
    params: dict[str, Any] = field(default_factory=dict)
    best: Completion | None = None
    last_was_free: bool = False

    def begin(self, lane: LaneConfig, request: Request) -> None:
        """Note a call that starts."""
        self.calls += 1
        self.lane = lane.name
        self.model = lane.model
        self.params = {
            "temperature": request.temperature,
            "top_p": request.top_p,
            "max_tokens": request.max_tokens,
        }
        if request.extra:
            self.params["extra_body"] = dict(request.extra)

    def charge(self, usd: float) -> None:
        """Note what a call cost."""
        self.cost_usd = (self.cost_usd or 0.0) + usd

    def failed(self, error: CallError, outage: bool, attempts: int) -> None:
        """Note a failed call. `outage`: the lane's circuit is open, so the fault is hardly this
        sample's.
        """
        self.failures[self.lane] += 1
        partial = error.partial
        if partial and (self.best is None or _length(partial) >= _length(self.best)):
            self.best = partial
        is_free = self._is_free(error, outage, FORGIVEN_FACTOR * attempts)
        if not is_free:
            self.counted += 1
        self.last_was_free = is_free

    def _is_free(self, error: CallError, outage: bool, most_forgiven: int) -> bool:
        if isinstance(error, FieldRefused):
            self.forgiven += 1
            return self.forgiven < most_forgiven
        if isinstance(error, NEVER_COUNTED):
            return True
        if not outage:
            return False
        if isinstance(error, Unreachable) or error.status in GATEWAY_STATUSES:
            return True
        is_forgiven = self.forgiven < most_forgiven
        self.forgiven += 1
        return is_forgiven

    def excuse(self) -> None:
        """The last failure was the lane's own fault: it does not count."""
        if not self.last_was_free:
            self.counted -= 1
        self.last_was_free = True

    def answer(self, completion: Completion) -> Answer:
        """The sample's answer, with this completion."""
        return Answer(completion, self.lane, self.model, self.params, self.calls, self.cost_usd)

    def failure(self, error: CallError, seconds: float) -> Answer:
        """The sample's answer when no further call will be made."""
        best = self.best or Completion("", "", "error", "", Usage(), None, seconds)
        return self.answer(replace(best, error=error.message))


def _length(completion: Completion) -> int:
    return len(completion.reasoning) + len(completion.response)
