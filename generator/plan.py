"""What a run will be, before anything is spent: problems, calls, tokens, cost, days, and the limit
that binds.

`--probe` makes one real call a lane and says what came back.
"""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from math import inf
from pathlib import Path
from statistics import fmean
from typing import Any

from generator.batch import refuse_unpriced
from generator.config import REHEARSAL_URL, GeneratorConfig, LaneConfig
from generator.corpus import Ledger, Total
from generator.corpus.store import read_trace
from generator.intake import Intake
from generator.keys import key_of
from generator.lanes.account import account_name
from generator.lanes.begun_day import BegunDay
from generator.lanes.budget_day import BudgetDay
from generator.lanes.forecast import Expected, Forecast, forecast, lane_paces
from generator.lanes.lane import request_for
from generator.lanes.mixes import Mix, cheapest, compared, fastest_within, offer
from generator.lanes.remedies import with_remedy
from generator.rehearsal.launch import with_rehearsal_teacher
from generator.spending import Spent
from shared.chat_api import ChatClient, Clocks
from shared.chat_api.batch_client import BatchClient
from shared.chat_api.errors import CallError, FieldRefused, UnknownModel
from shared.chat_api.limits import LimitNews
from shared.durations import duration
from shared.errors import InputError
from shared.parts import part_folders
from shared.prompts import messages_for
from shared.records import Completion

# R1 on mixed problems
GUESSED_PROMPT_TOKENS = 150
GUESSED_COMPLETION_TOKENS = 4000
GUESSED_SPEED = 30.0  # tokens a second of one stream
GUESS = "a guess: nothing is in the corpus yet"
LATEST_SAMPLES = 200  # the share of cached prompt tokens is theirs: the ledger does not know it
PROBE_QUESTION = "A box holds 3 red and 4 blue pens. How many pens are in 12 boxes?"
PROBE_ATTEMPTS = 3  # a field that the server does not know costs a call each
DAY_SECONDS = 86_400
NEVER_DAYS = 36_500


@dataclass(frozen=True, slots=True)
class RunPlan:
    """`text` for the user. `usable`: false where a call was made on every lane and none
    answered.
    """

    text: str
    usable: bool
    problems: int | None  # after screening; None: without an end
    left_out: dict[str, int]  # problems, by the reason
    samples_finished: int
    expected: Expected  # of one sample
    forecast: Forecast
    mixes: list[Mix]

    def as_dict(self) -> dict[str, Any]:
        """What `plan --json` prints. `days` is null where the limits let it never end."""
        forecast = asdict(self.forecast)
        if self.forecast.days == inf:
            forecast["days"] = None
        return {
            "usable": self.usable,
            "problems": self.problems,
            "left_out": self.left_out,
            "samples_finished": self.samples_finished,
            "expected": asdict(self.expected),
            "forecast": forecast,
            "mixes": [
                asdict(mix) | {"days": mix.days if mix.days < inf else None} for mix in self.mixes
            ],
        }


@dataclass(frozen=True, slots=True)
class CorpusExpectation:
    """What is in the corpus already, and what it says about the samples to come."""

    samples: int
    expected: Expected  # its `seconds` are not known
    source: str  # of what is expected, in words


@dataclass(frozen=True, slots=True)
class LaneCheck:
    """What one real call to a lane showed."""

    lines: list[str]
    answered: bool = False
    tokens_per_second: float = 0.0


def plan(
    config: GeneratorConfig, probe: bool = False, by: datetime | None = None, usd: float = 0.0
) -> RunPlan:
    """What a run will be. Reads and screens the problems; makes calls only to probe. Errors:
    `InputError`.

    `by`, `usd`: also which mix of lanes meets that date, or that many dollars.
    """
    _check_addresses(config)
    refuse_unpriced(config.lane)
    corpus = Path(config.corpus)
    needs_gold = not config.sampling.keep_unverifiable
    stream = Intake(config.problems, config.screening, corpus, needs_gold=needs_gold).open()
    endless = config.problems.source.startswith("synthetic:") and not config.problems.limit
    problems = 0 if endless else sum(1 for _ in stream)
    progress = _progress(corpus)
    probes = asyncio.run(_probe_lanes(config)) if probe else []
    speeds = [each.tokens_per_second for each in probes if each.tokens_per_second]
    speed = min(speeds, default=GUESSED_SPEED)
    call_seconds = progress.expected.completion_tokens / speed
    expectation = replace(progress.expected, seconds=call_seconds)
    samples_each = _samples_each(config)
    samples = max(0, round(problems * samples_each) - progress.samples)
    outlook, mixes, wishes = _forecasts(config, samples, expectation, by, usd)
    if endless:
        lines = ["endless problems: set problems.limit for a plan"]
    else:
        lines = [_work_line(problems, samples_each, progress.samples, samples)]
    lines += [f"           {line}" for line in stream.tally.in_words()]
    lines += _sample_lines(expectation, progress.source, speed)
    if samples:
        lines += _cost_lines(outlook)
    lines += _lane_lines(outlook)
    lines += [f"compare    {in_words(mix)}" for mix in mixes]
    lines += [f"meets      {in_words(mix)}" for mix in wishes]
    for each in probes:
        lines += each.lines
    return RunPlan(
        text="\n".join(lines),
        usable=not probe or any(each.answered for each in probes),
        problems=None if endless else problems,
        left_out=dict(stream.tally.skipped),
        samples_finished=progress.samples,
        expected=expectation,
        forecast=outlook,
        mixes=mixes + wishes,
    )


def _forecasts(
    config: GeneratorConfig, samples: int, expectation: Expected, by: datetime | None, usd: float
) -> tuple[Forecast, list[Mix], list[Mix]]:
    """(of all lanes as configured, mixes of lanes to compare, the mixes that meet `by` and
    `usd`).
    """
    lanes = [lane for lane in config.lane if lane.name != config.judge.lane]
    now = time.time()
    begun_days = _begun_days(config, now)
    outlook = forecast(samples, expectation, lanes, config.budget, now, begun_days)
    paces = lane_paces(lanes, expectation, now)
    offers = [offer(lane, paces[lane.name], expectation) for lane in lanes]
    has_kinds = len({each.kind for each in offers}) > 1
    has_batches = any(each.kind == "batch" for each in offers)
    mixes = compared(offers, samples) if has_batches or has_kinds else []
    if has_batches:  # nothing of a batch is there before its end
        outlook = replace(outlook, days=max(outlook.days, mixes[-1].days))
    wishes = []
    if by is not None:
        days = max(0.0, by.timestamp() - now) / DAY_SECONDS
        wishes.append(cheapest(offers, samples, days, f"by {by:%Y-%m-%d %H:%M}"))
    if usd:
        wishes.append(fastest_within(offers, samples, usd, f"for ${usd:,.2f}"))
    return outlook, mixes, wishes


def _begun_days(config: GeneratorConfig, now: float) -> dict[str | None, BegunDay]:
    """What the corpus and its parts have spent of the present day, by account where it has spent
    anything; None: the whole run.
    """
    zones: dict[str | None, str] = {account_name(lane): lane.day_timezone for lane in config.lane}
    zones[None] = config.budget.day_timezone
    begun_days = {}
    for account, zone in zones.items():
        begins, ends = BudgetDay(zone).bounds(now)
        spent = Spent()
        for _, ledger in _ledgers(Path(config.corpus)):
            share = ledger.spent(account, begins)
            spent.calls += share.calls
            spent.tokens += share.tokens
            spent.usd += share.usd
        if spent.calls:
            begun_days[account] = BegunDay(spent, (ends - now) / DAY_SECONDS)
    return begun_days


def _ledgers(corpus: Path) -> Iterator[tuple[Path, Ledger]]:
    """(folder, its ledger) of the corpus and its parts, where there is one; each is closed after
    its turn.
    """
    for folder in (corpus, *part_folders(corpus)):
        if not (folder / "ledger.sqlite").exists():
            continue
        ledger = Ledger(folder / "ledger.sqlite", read_only=True)
        try:
            yield folder, ledger
        finally:
            ledger.close()


def in_words(mix: Mix) -> str:
    """batch only: 1 d 0 h, $7.20: 5,000 at files"""
    span = duration(mix.days * DAY_SECONDS) if mix.days < NEVER_DAYS else "never"
    shares = ", ".join(f"{count:,.0f} at {lane}" for lane, count in mix.samples.items())
    left_over = f"; {mix.left_over:,.0f} samples are not reached" if mix.left_over else ""
    return f"{mix.name}: {span}, ${mix.usd:,.2f}: {shares or 'nothing'}{left_over}"


def _progress(corpus: Path) -> CorpusExpectation:
    """Finished samples, and what one takes: from the corpus where it has some, else guessed."""
    totals: list[Total] = []
    cached_shares: list[float] = []
    for folder, ledger in _ledgers(corpus):
        totals += ledger.totals()
        cached_shares.append(_cached_share(folder, ledger))
    samples = sum(total.samples for total in totals)
    if not samples:
        guess = Expected(GUESSED_PROMPT_TOKENS, GUESSED_COMPLETION_TOKENS, seconds=0.0)
        return CorpusExpectation(0, guess, GUESS)
    prompt_tokens = sum(total.prompt_tokens for total in totals) / samples
    measured_means = Expected(
        prompt_tokens=prompt_tokens,
        completion_tokens=sum(total.completion_tokens for total in totals) / samples,
        seconds=0.0,
        calls=max(1.0, sum(total.attempts for total in totals) / samples),
        cached_tokens=fmean(cached_shares) * prompt_tokens,
    )
    return CorpusExpectation(samples, measured_means, f"measured on {samples:,} finished samples")


def _cached_share(corpus: Path, ledger: Ledger) -> float:
    """Of the latest samples' prompt tokens, those that a server took from its cache."""
    prompt_tokens = 0
    cached_tokens = 0
    for position, _ in ledger.latest(LATEST_SAMPLES):
        try:
            usage = read_trace(corpus, position).usage
        except (InputError, ValueError):  # moved away or damaged: `check` is for that
            continue
        prompt_tokens += usage.prompt_tokens
        cached_tokens += usage.cached_tokens
    return cached_tokens / prompt_tokens if prompt_tokens else 0.0


def _samples_each(config: GeneratorConfig) -> float:
    """Samples a problem; with until_correct between the least and the most, half way."""
    sampling = config.sampling
    if not sampling.until_correct:
        return sampling.samples
    return (sampling.until_correct + max(sampling.max_samples, sampling.until_correct)) / 2


def _work_line(problems: int, samples_each: float, finished_samples: int, samples: int) -> str:
    each = f" x {samples_each:g} samples" if samples_each != 1 else ""
    so_far = f", {finished_samples:,} samples finished" if finished_samples else ""
    return f"problems   {problems:,} after screening{each}{so_far}: {samples:,} samples to ask"


def _sample_lines(expected: Expected, source: str, speed: float) -> list[str]:
    cached_part = (
        f", {expected.cached_tokens:,.0f} of them cached" if expected.cached_tokens else ""
    )
    return [
        f"a sample   {expected.completion_tokens:,.0f} completion and"
        f" {expected.prompt_tokens:,.0f} prompt tokens a sample{cached_part} ({source})",
        f"           {expected.calls:.2f} calls, {expected.seconds:,.0f} s at {speed:,.0f}"
        " tokens/s",
    ]


def _cost_lines(outlook: Forecast) -> list[str]:
    lines = [
        f"calls      {outlook.calls:,.0f}",
        f"tokens     {outlook.tokens:,.0f}",
        f"cost       ${outlook.usd:,.2f}" if outlook.usd else "cost       no lane has prices",
    ]
    if outlook.left_over >= 1:
        lines.append(
            f"not done   {outlook.left_over:,.0f} samples: {outlook.binding} is used up before"
        )
    time_needed = duration(outlook.days * DAY_SECONDS) if outlook.days < NEVER_DAYS else "never"
    lines.append(f"time       {time_needed}, bound by {outlook.binding}")
    return lines


def _lane_lines(outlook: Forecast) -> list[str]:
    lines = []
    for lane in outlook.lanes:
        pace = lane.pace
        hours = "" if pace.open_share > 0.999 else f", open {pace.open_share:.0%} of the week"
        cost = f", ${lane.usd:,.2f}" if lane.usd else ""
        lines.append(
            f"lane       {lane.name}: {pace.samples_per_day:,.0f} samples a day by"
            f" {pace.binding}{hours}; takes {lane.samples:,.0f}{cost}"
        )
    return lines


def _check_addresses(config: GeneratorConfig) -> None:
    """A host that no resolver takes is told by a plan that makes no call, too."""
    for lane in config.lane:
        if lane.base_url != REHEARSAL_URL:
            ChatClient(lane.base_url)


async def _probe_lanes(config: GeneratorConfig) -> list[LaneCheck]:
    async with with_rehearsal_teacher(config) as callable_config:
        return [await _probe_lane(callable_config, lane) for lane in callable_config.lane]


async def _probe_batches(lane: LaneConfig) -> LaneCheck:
    """Nothing is sent: whether the server has the endpoints."""
    async with BatchClient(lane.base_url, key_of(lane), lane.batch.purpose) as client:
        try:
            await client.lists()
        except UnknownModel as error:
            remedy = 'it has no batch endpoints: set lane.mode = "stream"'
            return LaneCheck([f"probe      {lane.name}: {error.message} ({remedy})"])
        except CallError as error:
            kind = error.kind.replace("_", " ")
            return LaneCheck([f"probe      {lane.name}: {kind}: {with_remedy(error, lane)}"])
    return LaneCheck([f"probe      {lane.name}: lists its batches; no line was sent"], True)


async def _probe_lane(config: GeneratorConfig, lane: LaneConfig) -> LaneCheck:
    if lane.mode == "batch":
        return await _probe_batches(lane)
    sampling = config.sampling
    messages = messages_for(PROBE_QUESTION, sampling.system_prompt, sampling.prompt)
    params = {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "max_tokens": sampling.max_tokens,
    }
    # To the letter what a run sends: what is refused shows here.
    request = request_for(lane, messages, params)
    news: list[LimitNews] = []
    refusals: list[str] = []
    clocks = Clocks(**config.timeouts.model_dump())
    async with ChatClient(lane.base_url, key_of(lane), clocks) as teacher:
        for _ in range(PROBE_ATTEMPTS):
            try:
                completion = await teacher.call(request, on_limits=news.append)
                return _described(lane, completion, news, refusals)
            except FieldRefused as error:
                refusals.append(error.message)
            except CallError as error:
                kind = error.kind.replace("_", " ")
                return LaneCheck([f"probe      {lane.name}: {kind}: {with_remedy(error, lane)}"])
    return LaneCheck([f"probe      {lane.name}: refuses {'; '.join(refusals)}"])


def _described(
    lane: LaneConfig, completion: Completion, news: list[LimitNews], refusals: list[str]
) -> LaneCheck:
    first_token_seconds = completion.first_token_seconds or 0.0
    streaming_seconds = max(completion.total_seconds - first_token_seconds, 1e-3)
    usage = completion.usage
    speed = usage.completion_tokens / streaming_seconds
    model = completion.model_returned or "unnamed"
    shape = "reasoning apart from the answer" if completion.reasoning else "no reasoning told apart"
    lines = [
        f"probe      {lane.name}: {model} answered ({completion.finish_reason}), {shape}, first"
        f" token after {first_token_seconds:.2f} s, {speed:,.0f} tokens/s,"
        f" {usage.completion_tokens:,} tokens" + (" (our count)" if usage.estimated else "")
    ]
    if refusals:
        lines.append(f"           it refuses: {'; '.join(refusals)}")
    if news:
        lines.append(f"           it says about limits: {_in_words(news[-1])}")
    return LaneCheck(lines, answered=True, tokens_per_second=speed)


def _in_words(news: LimitNews) -> str:
    values = {name: getattr(news, name) for name in LimitNews.__dataclass_fields__}
    return ", ".join(
        f"{name.replace('_', ' ')} {value}"
        for name, value in values.items()
        if value not in (None, "")
    )
