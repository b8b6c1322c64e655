"""Limits belong to the account, not to the part: each part gets its share of them. Pure.

What is allowed a day, and in all, is divided by the number of parts, since all of them may run on
one day. What is allowed a minute, or at once, is divided by those that run at once.
"""

from dataclasses import dataclass

from generator.config import BudgetConfig, GeneratorConfig, LaneConfig
from generator.parts.part import Part
from shared.errors import InputError

DAILY = ("calls_per_day", "tokens_per_day")
DOLLARS = ("usd_per_day", "usd_total")
AT_ONCE = ("requests_per_minute", "tokens_per_minute", "concurrency")


@dataclass(frozen=True, slots=True)
class Share:
    """The share of `part`, of which `at_once` run at the same time."""

    part: Part
    at_once: int

    def of(self, config: GeneratorConfig) -> GeneratorConfig:
        """The configuration of this part alone. Errors: `InputError` for a limit that is too small
        to be divided.
        """
        lanes = tuple(self._lane(lane, is_shared(config)) for lane in config.lane)
        budget = config.budget
        if not is_shared(config):
            budget = budget.model_copy(update=self._daily(budget, "budget"))
        return config.model_copy(update={"lane": lanes, "budget": budget})

    def _lane(self, lane: LaneConfig, shared: bool) -> LaneConfig:
        place = f"lane {lane.name}"
        shares = {} if shared else self._daily(lane, place)
        for name in AT_ONCE:
            limit = getattr(lane, name)
            if limit:
                # launchers run no more parts at once than can have one each: `most_at_once`
                shares[name] = max(1, limit // self.at_once)
        return lane.model_copy(update=shares)

    def _daily(self, table: LaneConfig | BudgetConfig, place: str) -> dict[str, float]:
        shares: dict[str, float] = {}
        for name in DAILY:
            limit = getattr(table, name)
            if limit:
                parts = self.part.parts
                if limit < parts:
                    raise InputError(
                        f"{place}: {name} = {limit:,} cannot be divided among {parts:,} parts: take"
                        " fewer parts, or share one allowance with [budget] shared"
                    )
                is_among_first = self.part.number < limit % parts
                shares[name] = limit // parts + (1 if is_among_first else 0)
        for name in DOLLARS:
            limit = getattr(table, name)
            if limit:
                shares[name] = limit / self.part.parts
        return shares


def is_shared(config: GeneratorConfig) -> bool:
    """Whether the parts take from one allowance, which holds whatever they are."""
    budget = config.budget
    return bool(budget.shared or budget.shared_env)


def most_at_once(config: GeneratorConfig) -> int | None:
    """Parts at once that the limits a minute and the ceilings allow; None: any number."""
    limits = [getattr(lane, name) for lane in config.lane for name in AT_ONCE]
    return min((limit for limit in limits if limit), default=None)


def has_daily_limits(config: GeneratorConfig) -> bool:
    """Whether anything is limited a day, or in all."""
    tables = (*config.lane, config.budget)
    return any(getattr(table, name) for table in tables for name in (*DAILY, *DOLLARS))
