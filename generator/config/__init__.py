"""The generator's configuration: every key, its default and what it means (`--help` prints
this). The longest tables have modules of their own.
"""

import os.path

from pydantic import Field, field_validator, model_validator

from generator.config.lane import REHEARSAL_URL, UNBOUNDED, LaneConfig
from generator.config.problems import ProblemsConfig, ScreeningConfig
from generator.config.sampling import SamplingConfig
from generator.config.value_types import (
    Amount,
    Count,
    Minutes,
    Seconds,
    Seed,
    TimeZone,
    Tokens,
    Variable,
)
from shared.config import Config, OwnFolderText, PathText

__all__ = [
    "EMBEDDED",
    "REHEARSAL_URL",
    "UNBOUNDED",
    "BudgetConfig",
    "DaemonConfig",
    "GeneratorConfig",
    "LaneConfig",
    "ProblemsConfig",
    "RehearsalConfig",
    "SamplingConfig",
    "ScreeningConfig",
    "TimeoutsConfig",
]

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


class BudgetConfig(Config):
    """Limits of the whole run, over all lanes."""

    calls_per_day: Count = Field(0, description="attempts count")
    tokens_per_day: Count = Field(0, description="prompt and completion together")
    usd_per_day: Amount = Field(0.0, description="by the lanes' prices")
    usd_total: Amount = Field(0.0, description="over the corpus' whole life")
    day_timezone: TimeZone = Field("UTC", description="where the day of these limits turns")
    shared_env: Variable = Field(
        "",
        description=(
            "variable with postgresql://…: accounts and this table count over all generators that"
            " name it"
        ),
    )
    shared: OwnFolderText = Field(
        "", description="the same as a folder, for generators on one machine; empty: not shared"
    )

    @field_validator("shared")
    @classmethod
    def _home_is_no_folder_of_that_name(cls, folder: str) -> str:
        return os.path.expanduser(folder)

    @model_validator(mode="after")
    def _is_shared_in_one_place(self) -> "BudgetConfig":
        if self.shared and self.shared_env:
            raise ValueError("shared and shared_env exclude each other: take one of them out")
        return self


class TimeoutsConfig(Config):
    """Seconds; 0 is no limit."""

    connect: Seconds = Field(10, description="to open the connection")
    first_token: Seconds = Field(
        600, description="a keep-alive comment is a sign of life, not a token"
    )
    stall: Seconds = Field(120, description="longest gap between tokens")
    total: Seconds = Field(3600, description="one call, from start to end")


class RetryConfig(Config):
    """What one sample may cost in calls."""

    attempts: int = Field(
        6,
        ge=1,
        le=1000,
        description="calls for a sample before it is `failed`; outages and 429 are free",
    )


class JudgeConfig(Config):
    """A language model asked about `unverifiable` answers and disagreements only."""

    lane: str = Field(
        "",
        description="name of the [[lane]] that judges (it generates nothing then); empty: no judge",
    )
    max_tokens: Tokens = Field(2048, ge=1, description="for one judgement")


class GradingConfig(Config):
    """The grader's worker processes."""

    workers: int = Field(0, ge=0, le=1024, description="processes; 0: one for each core, at most 4")
    timeout_seconds: float = Field(
        5.0, gt=0, le=3600, description="longest check of one answer; beyond it is `unverifiable`"
    )


class DaemonConfig(Config):
    """Waiting, stopping and the HTTP server."""

    wait: bool = Field(
        True, description="sleep through closed windows and used-up days; false: exit 3"
    )
    follow: bool = Field(False, description="keep watching problems.source for new problems")
    drain_seconds: Seconds = Field(
        60, description="grace for calls in flight after the first signal"
    )
    give_up_minutes: Minutes = Field(
        0, description="all circuits open for so long: exit 4; 0: never give up"
    )
    host: str = Field("127.0.0.1", description="elsewhere than loopback only with a token")
    port: int = Field(8700, ge=0, le=65535, description="0: no server")
    token_env: Variable = Field(
        "GENERATOR_TOKEN", description="environment variable with the token that POSTs need"
    )


class ShardsConfig(Config):
    """When a shard is sealed."""

    rows: int = Field(2000, ge=1, le=10**9, description="rows of a full shard")
    megabytes: int = Field(64, ge=1, le=10**6, description="size of a full shard")


class RehearsalConfig(Config):
    """The rehearsal teacher, for lanes with base_url = "rehearsal:"."""

    tokens_per_second: Amount = Field(60, description="speed of each stream; 0: as fast as it can")
    faults: str = Field(
        "", description='rates: "wrong=0.1,429=0.05,cut=0.01" (`rehearse --help` lists them)'
    )
    seed: Seed = Field(0, description="of the faults and of the voice")
    replay: PathText = Field(
        "", description="JSONL with question, reasoning, response: answers come from there"
    )
    batch_seconds: Seconds = Field(3600, description="that a batch takes, by its own clock")
    clock_speed: Seconds = Field(
        60, description="seconds that the clock of batches goes in one: their night in minutes"
    )
    batch_faults: str = Field(
        "", description='rates: "expired=0.1,lost_reply=0.2" (`rehearse --help` lists them)'
    )


class GeneratorConfig(Config):
    """Everything that a run needs to know. A limit of 0 is no limit."""

    corpus: OwnFolderText = Field(min_length=1, description="folder that is filled")
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
        modes = {lane.name: lane.mode for lane in self.lane}
        if modes.get(self.judge.lane) == "batch":
            raise ValueError(
                f"judge.lane {self.judge.lane!r} is a batch lane: a judge answers live"
            )
        if self.judge.lane and len(self.lane) == 1:
            raise ValueError(
                f"judge.lane {self.judge.lane!r} is the only [[lane]], and a judge asks for no"
                " samples"
            )
        return self
