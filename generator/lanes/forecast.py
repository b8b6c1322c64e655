"""How long and how dear a run will be under its limits, and which limit binds. Pure: the time
is a parameter.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil, inf

from generator.config import UNBOUNDED, BudgetConfig, LaneConfig
from generator.lanes.account import account_name
from generator.lanes.begun_day import NOT_BEGUN, BegunDay, Course, days_until
from generator.lanes.prices import price
from generator.lanes.windows import Windows, windows_of
from generator.spending import Spent

DAY_SECONDS = 86_400.0
DAY_MINUTES = 1440
DAY_HOURS = 24
RATE_KEYS = ("concurrency", "requests_per_minute", "tokens_per_minute")
LOOK_AHEAD_DAYS = 7  # over which the share of open hours is taken


@dataclass(frozen=True, slots=True)
class Expected:
    """What one sample is expected to take."""

    prompt_tokens: float
    completion_tokens: float
    seconds: float  # of one call
    calls: float = 1.0  # HTTP calls, failed ones included
    cached_tokens: float = 0.0  # of the prompt's: those that the server takes from its cache

    @property
    def tokens(self) -> float:
        """Prompt and completion."""
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True, slots=True)
class LanePace:
    """How fast one lane may work."""

    samples_per_day: float
    binding: str  # the configuration's key that keeps it from more
    open_share: float  # of the week
    day_quota: float = inf  # samples that the present day's calls, tokens and dollars still allow
    rate_per_day: float = 0.0  # as if its day had no quota
    rate_binding: str = ""


@dataclass(frozen=True, slots=True)
class LaneForecast:
    """One lane's share of the work."""

    name: str
    pace: LanePace
    samples: float
    usd: float


@dataclass(frozen=True, slots=True)
class Forecast:
    """The whole run."""

    samples: int
    calls: float
    tokens: float
    usd: float
    days: float  # inf: never, under these limits
    binding: str
    lanes: list[LaneForecast]
    left_over: float  # samples that usd_total does not reach for


def forecast(
    samples: int,
    expected: Expected,
    lanes: Sequence[LaneConfig],
    budget: BudgetConfig,
    now: float,
    begun_days: Mapping[str | None, BegunDay] | None = None,
) -> Forecast:
    """Lanes work side by side, each as fast as it may; keys of one account share its limits.

    `now`: seconds since 1970, for the windows. `begun_days`: where something of the present day is
    spent already, by account; None: of the whole run.
    """
    begun_days = begun_days or {}
    run_day = begun_days.get(None, NOT_BEGUN)
    paces = lane_paces(lanes, expected, now, begun_days)
    one_day = _within_one_day(samples, expected, lanes, budget, paces, run_day.spent)
    if one_day is not None:
        return one_day
    return _over_days(samples, expected, lanes, budget, paces, begun_days)


def _over_days(
    samples: int,
    expected: Expected,
    lanes: Sequence[LaneConfig],
    budget: BudgetConfig,
    paces: Mapping[str, LanePace],
    begun_days: Mapping[str | None, BegunDay],
) -> Forecast:
    """Work that the quotas of a day, dollars in total or a batch's window bind."""
    run_day = begun_days.get(None, NOT_BEGUN)
    fastest = max(paces, key=lambda name: paces[name].samples_per_day)
    binding = f"lane {fastest}: {paces[fastest].binding}"
    all_lanes_per_day = sum(pace.samples_per_day for pace in paces.values())
    mean_usd = sum(usd_per_sample(lane, expected) for lane in lanes) / len(lanes)
    budget_per_day, budget_key = _least(_day_limits(budget, expected, mean_usd))
    if budget_per_day < all_lanes_per_day:
        binding = f"budget.{budget_key}"
    shares = [
        _lane_share(lane, paces[lane.name], samples, all_lanes_per_day, expected) for lane in lanes
    ]
    reached_samples = sum(share.samples for share in shares)
    usd = sum(share.usd for share in shares)
    if budget.usd_total and usd > budget.usd_total:
        reached_samples *= budget.usd_total / usd
        usd = budget.usd_total
        binding = "budget.usd_total"
    elif reached_samples < samples - 0.5:
        binding = "usd_total"
    per_day = min(all_lanes_per_day, budget_per_day)
    days = reached_samples / per_day if per_day else inf
    if begun_days:
        courses = [_course(lane, paces[lane.name], begun_days) for lane in lanes]
        today, _ = _least(_day_limits(budget, expected, mean_usd, run_day.spent))
        run_course = _run_course(budget_per_day, today, courses, run_day)
        days = days_until(reached_samples, courses, run_course)
    return Forecast(
        samples=samples,
        calls=reached_samples * expected.calls,
        tokens=reached_samples * expected.tokens,
        usd=usd,
        days=days,
        binding=binding,
        lanes=shares,
        left_over=max(0.0, samples - reached_samples),
    )


def _course(lane: LaneConfig, pace: LanePace, begun_days: Mapping[str | None, BegunDay]) -> Course:
    """How a lane goes on; evenly where nothing of its day is spent."""
    day = begun_days.get(account_name(lane))
    if day is None:
        return Course(pace.samples_per_day)
    rate = pace.rate_per_day or pace.samples_per_day  # a batch lane has no rate
    return Course(pace.samples_per_day, rate, pace.day_quota, day.days_to_turn)


def _run_course(
    budget_per_day: float, samples_today: float, lanes: Sequence[Course], day: BegunDay
) -> Course | None:
    """What the run's own budget allows, no faster than the lanes are; None: it has no limit."""
    if budget_per_day == inf:
        return None
    rate = sum(max(lane.rate_per_day, lane.samples_per_day) for lane in lanes)
    return Course(budget_per_day, rate, samples_today, day.days_to_turn)


def _within_one_day(
    samples: int,
    expected: Expected,
    lanes: Sequence[LaneConfig],
    budget: BudgetConfig,
    paces: Mapping[str, LanePace],
    spent: Spent,
) -> Forecast | None:
    """Work for which what is left of one day's quotas suffices: they slow nothing down. None where
    they do not, or where dollars in total or a batch's window bind.
    """
    prices = {lane.name: usd_per_sample(lane, expected) for lane in lanes}
    per_day, _ = _least(_day_limits(budget, expected, max(prices.values()), spent))
    capacity = sum(min(pace.rate_per_day, pace.day_quota) for pace in paces.values())
    has_batches = any(lane.mode == "batch" for lane in lanes)
    if has_batches or not 0 < samples <= min(capacity, per_day):
        return None
    days = _days_for(samples, list(paces.values()))
    shares = []
    for lane in lanes:
        pace = paces[lane.name]
        count = min(pace.rate_per_day * days, pace.day_quota)
        if count < pace.day_quota:
            pace = replace(pace, samples_per_day=pace.rate_per_day, binding=pace.rate_binding)
        usd = count * prices[lane.name]
        if lane.usd_total and usd > lane.usd_total:
            return None
        shares.append(LaneForecast(lane.name, pace, count, usd))
    all_usd = sum(share.usd for share in shares)
    if budget.usd_total and all_usd > budget.usd_total:
        return None
    last = max(shares, key=lambda share: (share.samples < share.pace.day_quota, share.samples))
    return Forecast(
        samples=samples,
        calls=samples * expected.calls,
        tokens=samples * expected.tokens,
        usd=all_usd,
        days=days,
        binding=f"lane {last.name}: {last.pace.binding}",
        lanes=shares,
        left_over=0.0,
    )


def _days_for(samples: float, paces: Sequence[LanePace]) -> float:
    """The part of a day after which lanes at their rates, each up to its quota, have done it."""
    days = 0.0
    working_paces = [pace for pace in paces if pace.rate_per_day]
    for pace in sorted(working_paces, key=lambda pace: pace.day_quota / pace.rate_per_day):
        rate = sum(each.rate_per_day for each in working_paces)
        end = days + samples / rate
        used_up_at = pace.day_quota / pace.rate_per_day
        if end <= used_up_at:
            return end
        samples -= (used_up_at - days) * rate
        days = used_up_at
        working_paces.remove(pace)
    return days


def _lane_share(
    lane: LaneConfig, pace: LanePace, samples: int, all_lanes_per_day: float, expected: Expected
) -> LaneForecast:
    """What one lane takes of the work: as its pace is to that of all, and as its dollars reach."""
    usd = usd_per_sample(lane, expected)
    share = samples * pace.samples_per_day / all_lanes_per_day if all_lanes_per_day else 0.0
    if lane.usd_total and usd:
        share = min(share, lane.usd_total / usd)
    return LaneForecast(lane.name, pace, share, share * usd)


def lane_paces(
    lanes: Sequence[LaneConfig],
    expected: Expected,
    now: float,
    begun_days: Mapping[str | None, BegunDay] | None = None,
) -> dict[str, LanePace]:
    """Of each lane by name; keys of one account share its limits."""
    begun_days = begun_days or {}
    keys_of_account = Counter(account_name(lane) for lane in lanes)
    paces = {}
    for lane in lanes:
        account = account_name(lane)
        spent = begun_days.get(account, NOT_BEGUN).spent
        paces[lane.name] = lane_pace(lane, expected, now, keys_of_account[account], spent)
    return paces


def lane_pace(
    lane: LaneConfig,
    expected: Expected,
    now: float,
    sharing: int = 1,
    spent: Spent = NOT_BEGUN.spent,
) -> LanePace:
    """How fast a lane may work, by its limits as configured. `sharing`: lanes of its account.
    `spent`: of the account's present day.
    """
    share = open_share(windows_of(lane), now)
    calls = max(expected.calls, 1.0)
    usd = usd_per_sample(lane, expected)
    limits = _day_limits(lane, expected, usd)
    sample_seconds = max(expected.seconds * calls, 1e-9)
    if lane.mode == "batch":
        windows_per_day = DAY_HOURS / lane.batch.window_hours
        limits["batch"] = lane.batch.lines * lane.batch.files * windows_per_day / calls
        samples_per_day, key = _least(limits)
        return LanePace(samples_per_day / sharing, key, share)
    limits["concurrency"] = (lane.concurrency or UNBOUNDED) * DAY_SECONDS * share / sample_seconds
    open_minutes = DAY_MINUTES * share
    if lane.requests_per_minute:
        limits["requests_per_minute"] = lane.requests_per_minute * open_minutes / calls
    if lane.tokens_per_minute:
        sample_tokens = max(expected.tokens, 1.0)
        limits["tokens_per_minute"] = lane.tokens_per_minute * open_minutes / sample_tokens
    samples_per_day, key = _least(limits)
    rate, rate_key = _least({name: limits[name] for name in RATE_KEYS if name in limits})
    quota, _ = _least(_day_limits(lane, expected, usd, spent))
    return LanePace(
        samples_per_day / sharing,
        key if share else "windows",
        share,
        day_quota=quota / sharing,
        rate_per_day=rate / sharing,
        rate_binding=rate_key,
    )


@dataclass(frozen=True, slots=True)
class Quota:
    """What an account may still do, in samples."""

    today: float
    per_day: float
    seconds_to_turn: float  # until its day turns


def quota_seconds(samples: float, by_rate: float, quotas: Sequence[Quota]) -> tuple[float, bool]:
    """(seconds until `samples` more are done, whether a quota and not the rate says so).

    `by_rate`: seconds at the present rate.
    """
    today = sum(quota.today for quota in quotas)
    if samples <= today:
        return by_rate, False
    per_day = sum(quota.per_day for quota in quotas)
    if not per_day:
        return inf, True
    first_turn = min((quota.seconds_to_turn for quota in quotas), default=0.0)
    whole_days = ceil((samples - today) / per_day) - 1
    return max(by_rate, first_turn + whole_days * DAY_SECONDS), True


def open_share(windows: Windows, now: float) -> float:
    """The share of the next week in which the windows are open."""
    moment = now
    end = now + LOOK_AHEAD_DAYS * DAY_SECONDS
    open_seconds = 0.0
    while moment < end:
        closes = windows.open_until(moment)
        if closes is None:
            opens = windows.opens_at(moment)
            if opens is None:
                break
            moment = opens
        else:
            open_seconds += min(closes, end) - moment
            moment = closes
    return open_seconds / (LOOK_AHEAD_DAYS * DAY_SECONDS)


def usd_per_sample(lane: LaneConfig, expected: Expected) -> float:
    """Dollars, by the lane's prices."""
    return price(lane, expected.prompt_tokens, expected.completion_tokens, expected.cached_tokens)


def _day_limits(
    table: LaneConfig | BudgetConfig,
    expected: Expected,
    usd: float,
    spent: Spent = NOT_BEGUN.spent,
) -> dict[str, float]:
    """Samples that a day allows beyond what is spent of it, by the configuration's key of each
    limit that is set.
    """
    limits: dict[str, float] = {}
    if table.calls_per_day:
        limits["calls_per_day"] = (table.calls_per_day - spent.calls) / max(expected.calls, 1.0)
    if table.tokens_per_day:
        limits["tokens_per_day"] = (table.tokens_per_day - spent.tokens) / max(expected.tokens, 1.0)
    if table.usd_per_day and usd:
        limits["usd_per_day"] = (table.usd_per_day - spent.usd) / usd
    return {key: max(0.0, limit) for key, limit in limits.items()}


def _least(limits: Mapping[str, float]) -> tuple[float, str]:
    if not limits:
        return inf, ""
    key = min(limits, key=lambda name: limits[name])
    return limits[key], key
