"""The limits of an account, or of the whole run. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

from generator.config import BudgetConfig, LaneConfig
from generator.spending import HighWater


@dataclass(frozen=True, slots=True)
class Limits:
    """0 is no limit."""

    calls_per_day: int = 0
    tokens_per_day: int = 0
    usd_per_day: float = 0.0
    usd_total: float = 0.0

    def __bool__(self) -> bool:
        """Whether anything is limited."""
        return bool(self.calls_per_day or self.tokens_per_day or self.usd_per_day or self.usd_total)


def calls_within(limits: Limits, spent: HighWater, tokens: float, usd: float) -> float:
    """Calls of this size that are allowed beyond what is spent; inf where nothing limits them."""
    rooms = [
        (limits.calls_per_day, spent.calls, 1.0),
        (limits.tokens_per_day, spent.tokens, max(tokens, 1.0)),
        (limits.usd_per_day, spent.usd, usd),
        (limits.usd_total, spent.total_usd, usd),
    ]
    calls = [(limit - taken) / size for limit, taken, size in rooms if limit and size]
    return min(calls, default=inf)


def strictest(tables: Sequence[LaneConfig | BudgetConfig]) -> Limits:
    """The limits of an account whose lanes name them one by one: the smallest of each kind that
    is set.
    """
    return Limits(
        calls_per_day=int(_least([table.calls_per_day for table in tables])),
        tokens_per_day=int(_least([table.tokens_per_day for table in tables])),
        usd_per_day=_least([table.usd_per_day for table in tables]),
        usd_total=_least([table.usd_total for table in tables]),
    )


def _least(limits: Sequence[float]) -> float:
    return min((limit for limit in limits if limit), default=0.0)
