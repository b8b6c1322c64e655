"""One sample's calls so far: what they cost, what may still be tried, and the best text that a
failed one brought.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from shared.chat_api.errors import (
    BalanceGone,
    CallError,
    FieldRefused,
    KeyRefused,
    RateLimited,
    UnknownModel,
    Unreachable,
)
from shared.records import Completion, Usage

# Faults that may be an outage or this sample's own doing are forgiven so many times the attempts,
# and no longer.
FORGIVEN_FACTOR = 10
NEVER_COUNTED = (RateLimited, KeyRefused, UnknownModel, BalanceGone, FieldRefused)


@dataclass(frozen=True, slots=True)
class Answer:
    """What asking for one sample brought. A failed one has the best partial text and
    `completion.error`.
    """

    completion: Completion
    lane: str  # "" where no call was made
    model: str
    params: dict[str, Any]  # temperature, top_p, max_tokens as sent
    attempts: int  # HTTP calls made
    cost_usd: float | None  # of all of them; None where the lane has no prices


@dataclass(slots=True)
class Tally:
    """Kept by `Lanes.ask` for one sample."""

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

    def charge(self, usd: float | None) -> None:
        if usd is not None:
            self.cost_usd = (self.cost_usd or 0.0) + usd

    def failed(self, error: CallError, outage: bool, attempts: int) -> None:
        """Note a failed call. `outage`: the lane's circuit is open, so the fault is hardly this
        sample's.
        """
        self.failures[self.lane] += 1
        if error.partial and (self.best is None or _length(error.partial) >= _length(self.best)):
            self.best = error.partial
        free = isinstance(error, NEVER_COUNTED)
        if outage and not free:
            gone = isinstance(error, Unreachable) or error.status in (502, 503, 504)
            free = gone or self.forgiven < FORGIVEN_FACTOR * attempts
            self.forgiven += not gone
        if isinstance(error, FieldRefused):
            self.forgiven += 1
            free = self.forgiven < FORGIVEN_FACTOR * attempts
        self.counted += not free
        self.last_was_free = free

    def excuse(self) -> None:
        """The last failure was the lane's own fault: it does not count."""
        if not self.last_was_free:
            self.counted -= 1
        self.last_was_free = True

    def answer(self, completion: Completion) -> Answer:
        return Answer(completion, self.lane, self.model, self.params, self.calls, self.cost_usd)

    def failure(self, error: CallError, seconds: float) -> Answer:
        """The sample's answer when no further call will be made."""
        best = self.best or Completion("", "", "error", "", Usage(), None, seconds)
        whole = Completion(
            best.reasoning,
            best.response,
            best.finish_reason,
            best.model_returned,
            best.usage,
            best.first_token_seconds,
            best.total_seconds,
            error.message,
        )
        return self.answer(whole)


def _length(completion: Completion) -> int:
    return len(completion.reasoning) + len(completion.response)
