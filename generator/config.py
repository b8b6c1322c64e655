"""The generator's configuration: every key, its default and what it means (`--help` prints
this).
"""

import os.path
import re
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field, field_validator, model_validator

from generator import presets
from shared.config import Config
from shared.prompts import PRESETS

LONG_AS_A_KEY = 20  # characters; variables are named in capitals
# a lane with this base_url is served by a rehearsal teacher that the run starts itself
REHEARSAL_URL = "rehearsal:"
UNBOUNDED = 4096  # calls in flight of a lane that sets no ceiling

# What `make generate` does without CONFIG; it takes about a minute.
EMBEDDED = """
corpus = "data/rehearsal"

[problems]
source = "synthetic:arithmetic"
limit = 300

[[lane]]
name = "rehearsal"
base_url = "rehearsal:"
model = "rehearsal-r1"
concurrency = 32

[rehearsal]
tokens_per_second = 120
faults = "wrong=0.08,429=0.02,503=0.01"
"""


def _timezone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        raise ValueError('no such time zone; write it like "Asia/Shanghai" or "UTC"') from None
    return name


def _variable(name: str) -> str:
    """Mistaken for the place of the key, it would show the key in messages."""
    if name and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise ValueError("the name of an environment variable belongs here, never a key itself")
    if len(name) >= LONG_AS_A_KEY and re.search(r"[a-z]", name) and re.search(r"\d", name):
        raise ValueError(
            "this looks like a key: put it into an environment variable, and the variable's name"
            " here"
        )
    return name


TimeZone = Annotated[str, AfterValidator(_timezone)]
Variable = Annotated[str, AfterValidator(_variable)]
Count = Annotated[int, Field(ge=0)]
Amount = Annotated[float, Field(ge=0)]
Seconds = Annotated[float, Field(gt=0)]


class ProblemsConfig(Config):
    """Where problems come from and which of them are taken."""

    source: str = Field(
        min_length=1,
        description='hub data set, file or folder (JSON lines or array, CSV, Parquet, .gz), or "synthetic:arithmetic"',
    )
    split: str = Field(
        "train",
        description='split of a hub data set, or of a folder by the names in it; "all": every file',
    )
    problem_field: str = Field(
        "problem", description="column with the problem (GSM8K's `question` is found as well)"
    )
    answer_field: str = Field(
        "", description="column with the final answer; empty: taken from the solution"
    )
    solution_field: str = Field(
        "solution", description="column with the solution: last \\boxed{…}, or after ####"
    )
    only_sources: tuple[str, ...] = Field(
        (), description="NuminaMath-CoT's `source` column; empty: all"
    )
    limit: Count = Field(0, description="problems to take; 0: all")
    seed: int = Field(0, description="order of the problems; the same seed gives the same problems")
    on_bad_line: Literal["stop", "skip"] = Field(
        "stop", description='"stop": exit 2 before the first call; "skip": count and list them'
    )
    exclude: tuple[str, ...] = Field(
        (), description='evaluation sets kept out: ["gsm8k:test", "MATH-500", "path/to/eval.jsonl"]'
    )


class ScreeningConfig(Config):
    """What is left out of the problems before a call is spent."""

    near_duplicates: float = Field(
        0.85,
        ge=0,
        le=1,
        description=(
            "similarity from which a problem is a near-duplicate (local files); 0: exact ones only"
        ),
    )
    overlap: float = Field(
        0.7,
        gt=0,
        le=1,
        description="share of an evaluation problem's text from which a problem is a copy of it",
    )
    exclude_other_numbers: bool = Field(
        False,
        description=(
            "true: an evaluation problem with other numbers is left out too, not only reported"
        ),
    )
    data: str = Field(
        "", description="folder with local copies of the sets in problems.exclude; empty: the hub"
    )


class SamplingConfig(Config):
    """How often each problem is asked, and with what."""

    preset: Literal["r1", "tutorial"] = Field(
        "r1",
        description=(
            "prompts, where not given below: r1 as its authors advise, tutorial asks for the tags"
        ),
    )
    samples: int = Field(1, ge=1, description="traces wanted per problem")
    until_correct: Count = Field(
        0,
        description=(
            "k > 0: go on until k correct, or max_samples, or hopeless (then `samples` is not used)"
        ),
    )
    max_samples: int = Field(4, ge=1, description="most samples of one problem under until_correct")
    hopeless: float = Field(
        0.05,
        ge=0,
        lt=1,
        description=(
            "chance of still reaching until_correct below which a problem is left; 0: never"
        ),
    )
    keep_unverifiable: bool = Field(False, description="true: they go to traces/ as well")
    temperature: float = Field(0.6, ge=0, le=2, description="R1's authors advise 0.5 to 0.7")
    top_p: float = Field(0.95, gt=0, le=1, description="nucleus")
    max_tokens: int = Field(32768, ge=1, description="reasoning and answer together")
    longer_max_tokens: Count = Field(
        0, description="a sample cut by max_tokens is asked once more with this budget; 0: never"
    )
    system_prompt: str = Field("", description="empty sends none, as R1's authors advise")
    prompt: str = Field(
        PRESETS["r1"].prompt,
        description="the user's turn; {problem} is put in last, {{ }} are single braces",
    )

    @model_validator(mode="before")
    @classmethod
    def _fill_from_preset(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("preset") in PRESETS:
            preset = PRESETS[values["preset"]]
            return {"system_prompt": preset.system_prompt, "prompt": preset.prompt, **values}
        return values

    @field_validator("prompt")
    @classmethod
    def _has_a_place_for_the_problem(cls, prompt: str) -> str:
        if "{problem}" not in prompt:
            raise ValueError("the prompt has no {problem}: write it where the problem belongs")
        return prompt

    @model_validator(mode="after")
    def _can_be_reached(self) -> "SamplingConfig":
        """Each problem would be hopeless from the start, and none asked."""
        if self.until_correct > self.max_samples:
            raise ValueError(
                f"until_correct = {self.until_correct} is never reached with max_samples ="
                f" {self.max_samples}: raise max_samples"
            )
        return self


# Fields of a request that other keys set.
OWN_FIELDS = {
    "model": "lane.model",
    "messages": "sampling.prompt and sampling.system_prompt",
    "temperature": "sampling.temperature",
    "top_p": "sampling.top_p",
    "max_tokens": "sampling.max_tokens",
    "max_completion_tokens": "sampling.max_tokens",
    "stream": "the generator, which always streams",
    "stream_options": "the generator, which asks for the usage",
}


class LaneConfig(Config):
    """One provider, model and key, with its own limits and prices."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9_.-]+$", description="how traces, logs and budgets call this lane"
    )
    preset: str = Field(
        "", description="a shipped preset fills in base_url, model, limits and prices"
    )
    base_url: str = Field(
        "",
        description=(
            '"https://…/v1" of an OpenAI-compatible server; "rehearsal:" starts the rehearsal'
            " teacher"
        ),
    )
    model: str = Field("", description="model name as this provider spells it")
    api_key_env: Variable = Field(
        "", description="environment variable with the key; a key never stands in a file"
    )
    account: str = Field(
        "", description="lanes with the same account share its limits; empty: the lane's own"
    )
    concurrency: Count = Field(
        64, description="ceiling of calls in flight; the real limit is found; 0: no ceiling"
    )
    max_tokens: Count = Field(
        0, description="this provider's ceiling for max_tokens; 0: none known"
    )
    extra_body: dict[str, Any] = Field(
        default_factory=dict,
        description="the provider's own fields, sent as they are: { enable_thinking = true }",
    )
    require_reasoning: bool = Field(
        False,
        description=(
            "true: a lane whose first answers carry no reasoning stops, and an answer without"
            " reasoning is rejected"
        ),
    )
    requests_per_minute: Count = Field(0, description="0: no limit of this kind")
    tokens_per_minute: Count = Field(0, description="0: no limit of this kind")
    calls_per_day: Count = Field(0, description="attempts count, not successes")
    day_timezone: TimeZone = Field("UTC", description="where its day turns")
    tokens_per_day: Count = Field(0, description="prompt and completion together")
    usd_per_day: Amount = Field(0.0, description="by the prices below")
    usd_total: Amount = Field(0.0, description="over the corpus' whole life")
    price_in: Amount = Field(0.0, description="USD per million prompt tokens")
    price_cached: Amount = Field(
        0.0, description="USD per million cached prompt tokens; 0: as price_in"
    )
    price_out: Amount = Field(0.0, description="USD per million completion tokens")
    windows: tuple[str, ...] = Field(
        (), description='when calls may start: ["mon-fri 00:30-08:30 Asia/Shanghai"]'
    )
    holidays: tuple[str, ...] = Field((), description='dates that count as Sundays: ["2026-10-01"]')

    @model_validator(mode="before")
    @classmethod
    def _fill_from_preset(cls, values: Any) -> Any:
        return presets.fill(values) if isinstance(values, dict) else values

    @field_validator("base_url")
    @classmethod
    def _is_a_url(cls, url: str) -> str:
        if not url or url == REHEARSAL_URL:
            return url
        if not url.startswith(("http://", "https://")):
            raise ValueError('a base_url starts with http:// or https:// (or is "rehearsal:")')
        try:
            parts = urlsplit(url)
            whole = bool(parts.hostname) and parts.port != 0
        except ValueError:  # brackets that do not close, a port beyond 65535
            whole = False
        if not whole:
            raise ValueError(
                'no server in this address: write it like "https://api.example.com/v1"'
            )
        if parts.query or parts.fragment:  # the path of each call comes behind it
            raise ValueError(
                "a base_url has no ? and no #: leave them out; a key belongs in the variable of"
                " api_key_env"
            )
        return url.rstrip("/")

    @field_validator("extra_body")
    @classmethod
    def _holds_no_field_of_ours(cls, extra: dict[str, Any]) -> dict[str, Any]:
        for name in OWN_FIELDS.keys() & extra.keys():
            raise ValueError(f"{name!r} is set by {OWN_FIELDS[name]}: take it out of extra_body")
        return extra

    @model_validator(mode="after")
    def _can_be_called(self) -> "LaneConfig":
        if not self.base_url:
            raise ValueError(
                f"lane {self.name!r} has no base_url: give its server's address, or a preset"
            )
        if not self.model:
            raise ValueError(
                f"lane {self.name!r} has no model: give its name as the provider spells it, or a"
                " preset"
            )
        if self.api_key_env and urlsplit(self.base_url).username is not None:
            raise ValueError(
                "a user in base_url and api_key_env exclude each other: take one of them out"
            )
        return self

    @model_validator(mode="after")
    def _dollars_need_prices(self) -> "LaneConfig":
        """Without prices every call costs 0, and the limit that the user relies on would never
        hold.
        """
        if (self.usd_per_day or self.usd_total) and not (self.price_in or self.price_out):
            raise ValueError(
                "usd_per_day and usd_total hold nothing without prices: set price_in and price_out"
            )
        return self


class BudgetConfig(Config):
    """Limits of the whole run, over all lanes."""

    calls_per_day: Count = Field(0, description="attempts count")
    tokens_per_day: Count = Field(0, description="prompt and completion together")
    usd_per_day: Amount = Field(0.0, description="by the lanes' prices")
    usd_total: Amount = Field(0.0, description="over the corpus' whole life")
    day_timezone: TimeZone = Field("UTC", description="where the day of these limits turns")


class TimeoutsConfig(Config):
    """Seconds; 0 is no limit."""

    connect: Amount = Field(10, description="to open the connection")
    first_token: Amount = Field(
        600, description="a keep-alive comment is a sign of life, not a token"
    )
    stall: Amount = Field(120, description="longest gap between tokens")
    total: Amount = Field(3600, description="one call, from start to end")


class RetryConfig(Config):
    """What one sample may cost in calls."""

    attempts: int = Field(
        6, ge=1, description="calls for a sample before it is `failed`; outages and 429 are free"
    )


class JudgeConfig(Config):
    """A language model asked about `unverifiable` answers and disagreements only."""

    lane: str = Field(
        "",
        description="name of the [[lane]] that judges (it generates nothing then); empty: no judge",
    )
    max_tokens: int = Field(2048, ge=1, description="for one judgement")


class GradingConfig(Config):
    """The grader's worker processes."""

    workers: Count = Field(0, description="processes; 0: one for each core, at most 4")
    timeout_seconds: Seconds = Field(
        5.0, description="longest check of one answer; beyond it is `unverifiable`"
    )


class DaemonConfig(Config):
    """Waiting, stopping and the HTTP server."""

    wait: bool = Field(
        True, description="sleep through closed windows and used-up days; false: exit 3"
    )
    follow: bool = Field(False, description="keep watching problems.source for new problems")
    drain_seconds: Amount = Field(
        60, description="grace for calls in flight after the first signal"
    )
    give_up_minutes: Amount = Field(
        0, description="all circuits open for so long: exit 4; 0: never give up"
    )
    host: str = Field("127.0.0.1", description="elsewhere than loopback only with a token")
    port: int = Field(8700, ge=0, le=65535, description="0: no server")
    token_env: Variable = Field(
        "GENERATOR_TOKEN", description="environment variable with the token that POSTs need"
    )


class ShardsConfig(Config):
    """When a shard is sealed."""

    rows: int = Field(2000, ge=1, description="rows of a full shard")
    megabytes: int = Field(64, ge=1, description="size of a full shard")


class RehearsalConfig(Config):
    """The rehearsal teacher, for lanes with base_url = "rehearsal:"."""

    tokens_per_second: Amount = Field(60, description="speed of each stream; 0: as fast as it can")
    faults: str = Field(
        "", description='rates: "wrong=0.1,429=0.05,cut=0.01" (`rehearse --help` lists them)'
    )
    seed: int = Field(0, description="of the faults and of the voice")
    replay: str = Field(
        "", description="JSONL with question, reasoning, response: answers come from there"
    )


class GeneratorConfig(Config):
    """Everything that a run needs to know. A limit of 0 is no limit."""

    corpus: str = Field(min_length=1, description="folder that is filled")
    problems: ProblemsConfig
    screening: ScreeningConfig = Field(ScreeningConfig(), description="before a call is spent")
    sampling: SamplingConfig = Field(
        SamplingConfig(), description="how often and how each problem is asked"
    )
    lane: tuple[LaneConfig, ...] = Field(
        (), validate_default=True, description="one table for each provider, model and key"
    )
    budget: BudgetConfig = Field(BudgetConfig(), description="limits over all lanes")
    timeouts: TimeoutsConfig = Field(TimeoutsConfig(), description="seconds; 0: no limit")
    retry: RetryConfig = Field(RetryConfig(), description="what one sample may cost")
    judge: JudgeConfig = Field(JudgeConfig(), description="optional")
    grading: GradingConfig = Field(
        GradingConfig(), description="answers are checked in killable processes"
    )
    daemon: DaemonConfig = Field(DaemonConfig(), description="waiting, stopping, the HTTP server")
    shards: ShardsConfig = Field(ShardsConfig(), description="when a shard is sealed")
    rehearsal: RehearsalConfig = Field(
        RehearsalConfig(), description='for lanes with base_url = "rehearsal:"'
    )

    @field_validator("corpus")
    @classmethod
    def _home_is_no_folder_of_that_name(cls, corpus: str) -> str:
        return os.path.expanduser(corpus)

    @field_validator("lane")
    @classmethod
    def _lanes_are_told_apart(cls, lanes: tuple[LaneConfig, ...]) -> tuple[LaneConfig, ...]:
        if not lanes:
            raise ValueError("no lane: add a [[lane]] table with name, base_url and model")
        names = [lane.name for lane in lanes]
        repeated_names = {name for name in names if names.count(name) > 1}
        if repeated_names:
            raise ValueError(
                f"two lanes are called {min(repeated_names)!r}: give each its own name"
            )
        return lanes

    @model_validator(mode="after")
    def _judge_is_a_lane(self) -> "GeneratorConfig":
        if self.judge.lane and self.judge.lane not in {lane.name for lane in self.lane}:
            raise ValueError(
                f"judge.lane {self.judge.lane!r} is no [[lane]]: name one of them or leave it empty"
            )
        if self.judge.lane and len(self.lane) == 1:
            raise ValueError(
                f"judge.lane {self.judge.lane!r} is the only [[lane]], and a judge asks for no"
                " samples"
            )
        return self
