"""Ways to have a run's samples made, compared: live, off-peak, in batches, and all together; and
which mix meets a date or a budget. Pure.

A live lane works evenly; a batch lane gives all that its files hold at the end of each window, as
its provider promises (most come sooner).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor, inf
from typing import Literal

from generator.config import LaneConfig
from generator.lanes.bisection import first_day
from generator.lanes.forecast import DAY_HOURS, Expected, LanePace, usd_per_sample

Kind = Literal["live", "off-peak", "batch"]
KINDS: tuple[Kind, ...] = ("live", "off-peak", "batch")


@dataclass(frozen=True, slots=True)
class Offer:
    """What one lane can do."""

    lane: str
    kind: Kind
    samples_per_day: float
    usd: float  # a sample
    window_days: float = 0.0  # of a batch lane
    window_samples: float = 0.0  # in all files of one window

    def within(self, days: float) -> float:
        """Samples that are done after so many days."""
        evenly = self.samples_per_day * days
        if not self.window_days:
            return evenly
        whole_windows = floor(days / self.window_days + 1e-9)
        return min(whole_windows * self.window_samples, evenly + self.window_samples)


@dataclass(frozen=True, slots=True)
class Mix:
    """How samples are shared out; `samples` by lane. `days` is inf where they are never all done."""

    name: str
    days: float
    usd: float
    samples: dict[str, float]
    left_over: float = 0.0


def offer(lane: LaneConfig, pace: LanePace, expected: Expected) -> Offer:
    """A lane's, by its pace as `forecast` gives it."""
    usd = usd_per_sample(lane, expected)
    if lane.mode == "batch":
        batch = lane.batch
        days = batch.window_hours / DAY_HOURS
        samples = batch.lines * batch.files / max(expected.calls, 1.0)
        return Offer(lane.name, "batch", pace.samples_per_day, usd, days, samples)
    kind: Kind = "off-peak" if lane.windows else "live"
    return Offer(lane.name, kind, pace.samples_per_day, usd)


def compared(offers: Sequence[Offer], samples: float) -> list[Mix]:
    """Each kind by itself where there is one, and all of them as fast as they go."""
    kinds = [kind for kind in KINDS if any(each.kind == kind for each in offers)]
    mixes = [
        as_fast_as_possible([each for each in offers if each.kind == kind], samples, f"{kind} only")
        for kind in kinds
    ]
    if len(kinds) > 1:
        mixes.append(as_fast_as_possible(offers, samples, "all lanes"))
    return mixes


def as_fast_as_possible(offers: Sequence[Offer], samples: float, name: str) -> Mix:
    """The soonest end, and the cheapest sharing out that reaches it."""
    days = first_day(lambda days: sum(each.within(days) for each in offers) >= samples - 0.5)
    return cheapest(offers, samples, days, name)


def cheapest(offers: Sequence[Offer], samples: float, days: float, name: str) -> Mix:
    """What the samples cost at least where they are to be done within so many days."""
    remaining = samples
    usd = 0.0
    shares: dict[str, float] = {}
    for each in sorted(offers, key=lambda each: each.usd):
        taken = min(remaining, each.within(days)) if days < inf else 0.0
        if taken >= 0.5:
            shares[each.lane] = taken
            usd += taken * each.usd
            remaining -= taken
    left_over = max(0.0, remaining) if remaining >= 0.5 else 0.0
    return Mix(name, days, usd, shares, left_over)


def fastest_within(offers: Sequence[Offer], samples: float, usd: float, name: str) -> Mix:
    """The soonest end for so many dollars. Where they do not reach: all that the cheapest lanes
    make of them.
    """

    def is_reached(days: float) -> bool:
        mix = cheapest(offers, samples, days, name)
        return not mix.left_over and mix.usd <= usd + 1e-9

    days = first_day(is_reached)
    if days < inf:
        return cheapest(offers, samples, days, name)
    price = min((each.usd for each in offers), default=0.0)
    reached = min(samples, usd / price) if price else samples
    lanes = [each for each in offers if each.usd == price]
    mix = as_fast_as_possible(lanes, reached, name)
    return Mix(name, mix.days, mix.usd, mix.samples, samples - reached)
