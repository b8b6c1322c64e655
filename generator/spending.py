"""What was spent, in the words that the budgets, the ledger and the disk share."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


@dataclass(slots=True)
class Spent:
    """Calls and what they took. Calls in flight count with what was reserved for them."""

    calls: int = 0
    tokens: int = 0  # of prompts and completions together
    usd: float = 0.0


@dataclass(frozen=True, slots=True)
class HighWater:
    """What a budget may have been used up to, on its latest day and in total: no more than this
    was ever spent.
    """

    day: float  # when that day began, seconds since 1970
    day_ends: float
    calls: int
    tokens: int
    usd: float
    total_usd: float


# (what other generators hold of an allowance, what this one holds) -> what this one is to hold
Decision = Callable[[HighWater, HighWater], HighWater]


class SharedStore(Protocol):
    """Where generators that share an account's allowance write down what each of them holds."""

    async def open(self) -> None:
        """Make what is missing. Errors: `InputError`; `StoreAway` where waiting may help."""

    async def close(self) -> None:
        """Let go of it. Raises nothing."""

    async def exchange(
        self, account: str, owner: str, day: float, decide: Decision
    ) -> tuple[HighWater, HighWater]:
        """Read what others and `owner` hold of an account on a day, and write what `decide` makes
        of it, with nobody in between. Returns (what others hold, what `owner` holds) when that
        would survive a crash. `account`: "" is the whole run. Errors: `StoreAway`.
        """
        raise NotImplementedError
