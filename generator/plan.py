"""What a run will be, before anything is spent: problems, calls, tokens, cost, days, and the limit
that binds.

`--probe` makes one real call a lane and says what came back.
"""

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from generator.config import REHEARSAL_URL, GeneratorConfig, LaneConfig
from generator.corpus import Ledger
from generator.intake import Intake
from generator.lanes.describe import span
from generator.lanes.forecast import Expected, Forecast, forecast
from generator.lanes.lane import request_for
from generator.lanes.remedies import with_remedy
from generator.startup import key_of, rehearsal_teacher
from shared.chat_api import Clocks, Teacher
from shared.chat_api.errors import CallError
from shared.chat_api.limits import LimitNews
from shared.prompts import messages_for
from shared.records import Completion

GUESS = Expected(
    prompt_tokens=150, completion_tokens=4000, seconds=130
)  # R1 on mixed problems, at 30 tokens/s
GUESSED_SPEED = 30.0  # tokens a second of one stream
PROBE_QUESTION = "A box holds 3 red and 4 blue pens. How many pens are in 12 boxes?"


@dataclass(frozen=True, slots=True)
class Plan:
    """`text` for the user. `usable`: false where a call was made on every lane and none
    answered.
    """

    text: str
    usable: bool


def plan(config: GeneratorConfig, probe: bool = False) -> Plan:
    """What a run will be. Reads and screens the problems; makes calls only to probe. Errors:
    `InputError`.
    """
    corpus = Path(config.corpus)
    stream = Intake(
        config.problems, config.screening, corpus, needs_gold=not config.sampling.keep_unverifiable
    ).open()
    endless = config.problems.source.startswith("synthetic:") and not config.problems.limit
    problems = 0 if endless else sum(1 for _ in stream)
    done, expected, source = _so_far(corpus)
    speed = GUESSED_SPEED
    lines, usable = [], True
    if probe:
        probed = asyncio.run(_probe(config))
        lines += [line for each in probed for line in each.lines]
        usable = any(each.answered for each in probed)
        speeds = [each.tokens_per_second for each in probed if each.tokens_per_second]
        speed = min(speeds) if speeds else speed
    expected = Expected(
        expected.prompt_tokens,
        expected.completion_tokens,
        expected.completion_tokens / speed,
        expected.calls,
    )
    samples = _samples_each(config)
    left = max(0, round(problems * samples) - done)
    lanes = [lane for lane in config.lane if lane.name != config.judge.lane]
    told = forecast(left, expected, lanes, config.budget, time.time())
    head = (
        ["endless problems: set problems.limit for a plan"]
        if endless
        else _work(problems, samples, done, told)
    )
    head += [f"           {line}" for line in stream.tally.in_words()]
    return Plan(
        "\n".join([*head, *_cost(expected, source, told, speed), *_lanes(told), *lines]), usable
    )


def _so_far(corpus: Path) -> tuple[int, Expected, str]:
    """Finished samples, and what one takes: from the corpus where it has some, else guessed."""
    path = corpus / "ledger.sqlite"
    if not path.exists():
        return 0, GUESS, "a guess: nothing is in the corpus yet"
    ledger = Ledger(path, read_only=True)
    try:
        totals = ledger.totals()
    finally:
        ledger.close()
    done = sum(total.samples for total in totals)
    if not done:
        return 0, GUESS, "a guess: nothing is in the corpus yet"

    def mean(values: Iterable[float]) -> float:
        return sum(values) / done

    expected = Expected(
        mean(total.prompt_tokens for total in totals),
        mean(total.completion_tokens for total in totals),
        0.0,
        max(1.0, mean(total.attempts for total in totals)),
    )
    return done, expected, f"measured on {done:,} finished samples"


def _samples_each(config: GeneratorConfig) -> float:
    """Samples a problem; with until_correct between the least and the most, half way."""
    sampling = config.sampling
    if not sampling.until_correct:
        return sampling.samples
    return (sampling.until_correct + max(sampling.max_samples, sampling.until_correct)) / 2


def _work(problems: int, samples: float, done: int, told: Forecast) -> list[str]:
    each = f" x {samples:g} samples" if samples != 1 else ""
    finished = f", {done:,} samples finished" if done else ""
    return [
        f"problems   {problems:,} after screening{each}{finished}: {told.samples:,} samples to ask"
    ]


def _cost(expected: Expected, source: str, told: Forecast, speed: float) -> list[str]:
    sizes = (
        f"{expected.completion_tokens:,.0f} completion and {expected.prompt_tokens:,.0f} prompt"
        " tokens a sample"
    )
    lines = [
        f"a sample   {sizes} ({source})",
        (
            f"           {expected.calls:.2f} calls, {expected.seconds:,.0f} s at {speed:,.0f}"
            " tokens/s"
        ),
        f"calls      {told.calls:,.0f}",
        f"tokens     {told.tokens:,.0f}",
        f"cost       ${told.usd:,.2f}" if told.usd else "cost       no lane has prices",
    ]
    if told.left_over >= 1:
        lines.append(f"not done   {told.left_over:,.0f} samples: {told.binding} is used up before")
    lines.append(
        f"time       {span(told.days * 86400) if told.days < 36500 else 'never'}, bound by"
        f" {told.binding}"
    )
    return lines


def _lanes(told: Forecast) -> list[str]:
    lines = []
    for lane in told.lanes:
        hours = "" if lane.open_share > 0.999 else f", open {lane.open_share:.0%} of the week"
        cost = f", ${lane.usd:,.2f}" if lane.usd else ""
        lines.append(
            f"lane       {lane.name}: {lane.samples_per_day:,.0f} samples a day by"
            f" {lane.binding}{hours}; takes {lane.samples:,.0f}{cost}"
        )
    return lines


@dataclass(frozen=True, slots=True)
class Probed:
    """What one real call to a lane showed."""

    lines: list[str]
    answered: bool = False
    tokens_per_second: float = 0.0


async def _probe(config: GeneratorConfig) -> list[Probed]:
    if any(lane.base_url == REHEARSAL_URL for lane in config.lane):
        async with rehearsal_teacher(config) as ready:
            return [await _probe_lane(ready, lane) for lane in ready.lane]
    return [await _probe_lane(config, lane) for lane in config.lane]


async def _probe_lane(config: GeneratorConfig, lane: LaneConfig) -> Probed:
    sampling, heard = config.sampling, list[LimitNews]()
    messages = messages_for(PROBE_QUESTION, sampling.system_prompt, sampling.prompt)
    params = {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "max_tokens": sampling.max_tokens,
    }
    request = request_for(
        lane, messages, params
    )  # to the letter what a run sends: what is refused shows here
    refused: list[str] = []
    clocks = Clocks(**config.timeouts.model_dump())
    async with Teacher(lane.base_url, key_of(lane), clocks) as teacher:
        for _ in range(3):  # a field that the server does not know costs a call each
            try:
                completion = await teacher.call(request, on_limits=heard.append)
                return _told(lane, completion, heard, refused)
            except CallError as error:
                if error.kind != "field_refused":
                    return Probed(
                        [
                            f"probe      {lane.name}: {error.kind.replace('_', ' ')}:"
                            f" {with_remedy(error, lane)}"
                        ]
                    )
                refused.append(error.message)
    return Probed([f"probe      {lane.name}: refuses {'; '.join(refused)}"])


def _told(
    lane: LaneConfig, answer: Completion, heard: list[LimitNews], refused: list[str]
) -> Probed:
    first = answer.first_token_seconds or 0.0
    speed = answer.usage.completion_tokens / max(answer.total_seconds - first, 1e-3)
    model = answer.model_returned or "unnamed"
    shape = "reasoning apart from the answer" if answer.reasoning else "no reasoning told apart"
    lines = [
        f"probe      {lane.name}: {model} answered ({answer.finish_reason}), {shape}, first token"
        f" after {first:.2f} s, {speed:,.0f} tokens/s, {answer.usage.completion_tokens:,} tokens"
        + (" (our count)" if answer.usage.estimated else "")
    ]
    if refused:
        lines.append(f"           it refuses: {'; '.join(refused)}")
    lines += [f"           it says about limits: {_news(each)}" for each in heard[-1:]]
    return Probed(lines, answered=True, tokens_per_second=speed)


def _news(news: LimitNews) -> str:
    values = {name: getattr(news, name) for name in LimitNews.__dataclass_fields__}
    return ", ".join(
        f"{name.replace('_', ' ')} {value}"
        for name, value in values.items()
        if value not in (None, "")
    )
