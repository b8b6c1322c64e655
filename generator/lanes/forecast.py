"""How long and how dear a run will be under its limits, and which limit binds. Pure: the time
is a parameter.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

from generator.config import BudgetConfig, LaneConfig
from generator.lanes.windows import Windows, windows_of

DAY_SECONDS = 86_400.0
MILLION = 1_000_000
LOOK_AHEAD_DAYS = 7  # over which the share of open hours is taken


@dataclass(frozen=True, slots=True)
class Expected:
    """What one sample is expected to take."""

    prompt_tokens: float
    completion_tokens: float
    seconds: float  # of one call
    calls: float = 1.0  # HTTP calls, failed ones included

    @property
    def tokens(self) -> float:
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True, slots=True)
class LaneForecast:
    """One lane's share of the work."""

    name: str
    samples_per_day: float
    binding: str  # the configuration's key that keeps it from more
    samples: float
    usd: float
    open_share: float  # of the week


@dataclass(frozen=True, slots=True)
class Forecast:
    samples: int
    calls: float
    tokens: float
    usd: float
    days: float  # inf: never, under these limits
    binding: str
    lanes: list[LaneForecast]
    left_over: float  # samples that usd_total does not reach for


def forecast(
    samples: int, expected: Expected, lanes: Sequence[LaneConfig], budget: BudgetConfig, now: float
) -> Forecast:
    """Lanes work side by side, each as fast as it may; keys of one account share its limits."""
    sharing = {
        lane.name: sum((each.account or each.name) == (lane.account or lane.name) for each in lanes)
        for lane in lanes
    }
    paces = {lane.name: lane_pace(lane, expected, now, sharing[lane.name]) for lane in lanes}
    per_day = sum(pace[0] for pace in paces.values())
    run_cap, run_key = _least(_day_limits(budget, expected, _mean_usd(lanes, expected)))
    binding = _binding(lanes, paces)
    if run_cap < per_day:
        binding, per_day = f"budget.{run_key}", run_cap
    full = sum(pace[0] for pace in paces.values())
    shares = [
        LaneForecast(
            lane.name,
            paces[lane.name][0],
            paces[lane.name][1],
            done := min(
                samples * paces[lane.name][0] / full if full else 0.0,
                _in_total(lane.usd_total, lane, expected),
            ),
            done * usd_per_sample(lane, expected),
            paces[lane.name][2],
        )
        for lane in lanes
    ]
    done = sum(share.samples for share in shares)
    usd = sum(share.usd for share in shares)
    if budget.usd_total and usd > budget.usd_total:
        done, usd, binding = done * budget.usd_total / usd, budget.usd_total, "budget.usd_total"
    elif done < samples - 0.5:
        binding = "usd_total"
    days = done / per_day if per_day else inf
    return Forecast(
        samples,
        done * expected.calls,
        done * expected.tokens,
        usd,
        days,
        binding,
        shares,
        max(0.0, samples - done),
    )


def lane_pace(
    lane: LaneConfig, expected: Expected, now: float, sharing: int = 1
) -> tuple[float, str, float]:
    """(samples a day, the key that binds, share of the week in which it may work)."""
    share = open_share(windows_of(lane), now)
    calls = max(expected.calls, 1.0)
    limits = _day_limits(lane, expected, usd_per_sample(lane, expected))
    limits["concurrency"] = (
        (lane.concurrency or 4096) * DAY_SECONDS * share / max(expected.seconds * calls, 1e-9)
    )
    if lane.requests_per_minute:
        limits["requests_per_minute"] = lane.requests_per_minute * 1440 * share / calls
    if lane.tokens_per_minute:
        limits["tokens_per_minute"] = (
            lane.tokens_per_minute * 1440 * share / max(expected.tokens, 1.0)
        )
    pace, key = _least(limits)
    return pace / sharing, "windows" if share == 0 else key, share


def quota_seconds(
    left: float, by_rate: float, lanes: Sequence[tuple[float, float, float]]
) -> tuple[float, bool]:
    """(seconds until `left` samples are done, whether a quota and not the rate says so).

    `by_rate`: seconds at the present rate. `lanes`: (samples still allowed today, samples a day,
    seconds to the turn).
    """
    today = sum(lane[0] for lane in lanes)
    if left <= today:
        return by_rate, False
    per_day = sum(lane[1] for lane in lanes)
    turn = min((lane[2] for lane in lanes), default=0.0)
    if not per_day:
        return inf, True
    later = left - today
    whole_days = int(later // per_day) if later % per_day else int(later // per_day) - 1
    return max(by_rate, turn + whole_days * DAY_SECONDS), True


def open_share(windows: Windows, now: float) -> float:
    """The share of the next week in which the windows are open."""
    end, at, opened = now + LOOK_AHEAD_DAYS * DAY_SECONDS, now, 0.0
    while at < end:
        closes = windows.open_until(at)
        if closes is not None:
            opened += min(closes, end) - at
            at = closes
        if (
            at < end
            and (opens := windows.opens_at(at)) is not None
            and windows.open_until(at) is None
        ):
            at = opens
        elif windows.open_until(at) is None:
            break
    return opened / (LOOK_AHEAD_DAYS * DAY_SECONDS)


def usd_per_sample(lane: LaneConfig, expected: Expected) -> float:
    return (
        expected.prompt_tokens * lane.price_in + expected.completion_tokens * lane.price_out
    ) / MILLION


def _mean_usd(lanes: Sequence[LaneConfig], expected: Expected) -> float:
    return sum(usd_per_sample(lane, expected) for lane in lanes) / max(len(lanes), 1)


def _day_limits(
    table: LaneConfig | BudgetConfig, expected: Expected, usd: float
) -> dict[str, float]:
    limits: dict[str, float] = {}
    if table.calls_per_day:
        limits["calls_per_day"] = table.calls_per_day / max(expected.calls, 1.0)
    if table.tokens_per_day:
        limits["tokens_per_day"] = table.tokens_per_day / max(expected.tokens, 1.0)
    if table.usd_per_day and usd:
        limits["usd_per_day"] = table.usd_per_day / usd
    return limits


def _in_total(usd_total: float, lane: LaneConfig, expected: Expected) -> float:
    usd = usd_per_sample(lane, expected)
    return usd_total / usd if usd_total and usd else inf


def _least(limits: dict[str, float]) -> tuple[float, str]:
    key = min(limits, key=lambda name: limits[name], default="")
    return (limits[key], key) if key else (inf, "")


def _binding(lanes: Sequence[LaneConfig], paces: dict[str, tuple[float, str, float]]) -> str:
    largest = max(lanes, key=lambda lane: paces[lane.name][0])
    return f"lane {largest.name}: {paces[largest.name][1]}"
