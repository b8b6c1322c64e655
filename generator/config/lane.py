"""[[lane]]: one provider, model and key, with its limits and prices."""

from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from generator import presets
from generator.config.value_types import Amount, Count, Seconds, TimeZone, Tokens, Variable
from shared.addresses import names_a_server
from shared.config import Config

# a lane with this base_url is served by a rehearsal teacher that the run starts itself
REHEARSAL_URL = "rehearsal:"
UNBOUNDED = 4096  # calls in flight of a lane that sets no ceiling

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


class BatchConfig(Config):
    """Of a lane with mode = "batch": what its provider allows, and how long to wait."""

    lines: int = Field(5000, ge=1, le=10**7, description="most requests in a file")
    megabytes: int = Field(100, ge=1, le=10**6, description="largest file; a million bytes each")
    files: int = Field(2, ge=1, le=10_000, description="batches under way at once")
    window_hours: int = Field(
        24, ge=1, le=8760, description="completion_window: a batch expires after it"
    )
    poll_seconds: Seconds = Field(60, description="between two looks at a batch")
    gather_seconds: Amount = Field(
        30, description="a file that is not full is sent after so long without a new sample"
    )
    purpose: str = Field("batch", description='of the uploaded file; Together\'s is "batch-api"')
    url: str = Field("/v1/chat/completions", description="of each line; Zhipu's is /v4/…")
    delete_files: bool = Field(
        True, description="remove the provider's copies once all rows are in the corpus"
    )


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
    mode: Literal["stream", "batch"] = Field(
        "stream",
        description='"batch": files of requests, answered within hours at the provider\'s price for it',
    )
    batch: BatchConfig = Field(BatchConfig(), description='for mode = "batch"')
    api_key_env: Variable = Field(
        "", description="environment variable with the key; a key never stands in a file"
    )
    account: str = Field(
        "", description="lanes with the same account share its limits; empty: the lane's own"
    )
    concurrency: int = Field(
        64,
        ge=0,
        le=100_000,
        description="ceiling of calls in flight; the real limit is found; 0: no ceiling",
    )
    max_tokens: Tokens = Field(
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
        if not names_a_server(url):
            raise ValueError(
                'no server in this address: write it like "https://api.example.com/v1"'
            )
        parts = urlsplit(url)
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
