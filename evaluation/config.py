"""The evaluation's configuration: `configs/evaluate-*.toml`, validated once, at the door."""

from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, JsonValue, field_validator, model_validator

from shared.addresses import names_a_server
from shared.benchmarks.names import LIGHTEVAL, WHAT_A_NAME_IS
from shared.config import Config, OwnFolder, PathText
from shared.prompts import PRESETS

# Fields of a request that have a key of their own, or that the evaluation's reading of an answer
# depends on.
_OWN_FIELDS = frozenset(
    {"model", "messages", "stream", "n", "max_tokens", "max_completion_tokens", "seed"}
    | {"temperature", "top_p", "top_k", "min_p", "chat_template_kwargs"}
)
ENDPOINT_ONLY = ("extra_body",)
# What sets several keys at once, where they are not set. r1: DeepSeek-R1's README, "DeepSeek-R1-Evaluation".
SAMPLING_PRESETS: dict[str, dict[str, Any]] = {
    "r1": {"temperature": 0.6, "top_p": 0.95, "samples": 64, "max_new_tokens": 32768}
}


class GenerationConfig(Config):
    """How an answer is asked for. Every key but `samples` is part of the answer cache's key."""

    preset: Literal["", "r1"] = Field(
        "",
        description=(
            "r1: as R1's authors evaluate, temperature 0.6, top_p 0.95, 64 samples, 32,768 tokens;"
            " keys that you set go before it"
        ),
    )
    max_new_tokens: int = Field(
        4096,
        ge=1,
        le=10**8,
        description="tokens of an answer, asserted; an answer cut off here is `truncated`",
    )
    temperature: float = Field(0.0, ge=0.0, le=100.0, description="0: greedy")
    top_p: float = Field(
        1.0, gt=0.0, le=1.0, description="nucleus; R1's authors advise 0.95 with temperature 0.6"
    )
    top_k: int = Field(0, ge=0, le=10**9, description="only the k most likely tokens; 0: all")
    min_p: float = Field(
        0.0,
        ge=0.0,
        le=1.0,
        description="least share of the likeliest token's probability",
    )
    samples: int = Field(
        1, ge=1, le=100_000, description="answers a problem; more than 1: avg@n and pass@k"
    )
    seed: int = Field(
        0,
        ge=-(2**63),
        le=2**63 - 1,
        description="of sampled answers; each answer has its own stream, whatever the batch",
    )
    system_prompt: str = Field("", description="empty: no system message, as in training")
    system: str = Field(
        "template",
        description=(
            'the chat template\'s own system text: "template" keeps it, "" silences it; or a text'
        ),
    )
    chat_template_kwargs: dict[str, JsonValue] = Field(
        {}, description="for the chat template, for example {enable_thinking = false}"
    )
    extra_body: dict[str, JsonValue] = Field(
        {}, description="endpoint: more fields of each request, sent as they are"
    )
    prompt: str = Field(
        PRESETS["r1"].prompt, description="the user's turn; {problem} is put in last"
    )

    @model_validator(mode="before")
    @classmethod
    def _fill_in_preset(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        return SAMPLING_PRESETS.get(str(values.get("preset")), {}) | values

    @model_validator(mode="after")
    def _samples_need_a_temperature(self) -> "GenerationConfig":
        if self.samples > 1 and self.temperature == 0:
            raise ValueError(
                "samples > 1 at temperature 0 gives the same answer each time: set temperature"
                " (0.6), or samples = 1"
            )
        doubled_fields = sorted(_OWN_FIELDS & self.extra_body.keys())
        if doubled_fields:
            raise ValueError(
                f"extra_body: {doubled_fields[0]} is set by the evaluation: use generation's own"
                " key for it"
            )
        if "{problem}" not in self.prompt:
            raise ValueError("prompt has no {problem}: the model would not see the question")
        return self


def _check_address(url: str) -> None:
    if not names_a_server(url):
        raise ValueError('kind = "endpoint" needs base_url, for example "http://localhost:8000/v1"')
    parts = urlsplit(url)
    if parts.username is not None or parts.query:  # it stands in manifest.json and on the page
        raise ValueError(
            "base_url holds a password or a query: leave them out, the key is read from"
            " OPENAI_API_KEY"
        )


class EngineConfig(Config):
    """Who answers."""

    kind: Literal["transformers", "endpoint"] = Field(
        "transformers",
        description=(
            "transformers, or endpoint: an OpenAI-compatible server (vLLM, SGLang, llama.cpp)"
        ),
    )
    base_url: str | list[str] = Field(
        "",
        description=(
            "of the endpoint, with /v1, or of several that serve the same; the key: OPENAI_API_KEY"
        ),
    )
    batch: Annotated[int, Field(le=100_000)] | Literal["auto"] = Field(
        "auto", description="answers decoded at once (endpoint: calls in flight)"
    )
    processes: int = Field(
        1, ge=1, le=64, description="transformers: processes that answer, one a card"
    )
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="auto: bfloat16 on a GPU that has it, float32 on a CPU"
    )
    timeout_seconds: float = Field(
        3600.0, gt=0, le=3.2e7, description="of one call to the endpoint"
    )
    attempts: int = Field(
        4,
        ge=1,
        le=1000,
        description="calls for one answer before the endpoint counts as dead (exit 4)",
    )

    @property
    def base_urls(self) -> list[str]:
        """The addresses as a list, also where the configuration names a single one."""
        return [self.base_url] if isinstance(self.base_url, str) else self.base_url

    @model_validator(mode="after")
    def _endpoint_has_an_address(self) -> "EngineConfig":
        if self.kind == "endpoint":
            for url in self.base_urls or [""]:
                _check_address(url)
            if len(set(self.base_urls)) < len(self.base_urls):
                raise ValueError("base_url names one address twice")
        if self.kind == "endpoint" and self.processes > 1:
            raise ValueError("processes is for transformers: give several addresses in base_url")
        if isinstance(self.batch, int) and self.batch < 1:
            raise ValueError('batch is at least 1, or "auto"')
        return self


class EvaluationConfig(Config):
    """One evaluation: some models, the first of them the base, over some benchmarks."""

    out: OwnFolder = Field(description="folder for answers, comparison.json and report.html")
    models: list[PathText] = Field(
        description="hub names or folders (endpoint: model names); the first is the base"
    )
    benchmarks: list[PathText] = Field(
        description=f"{WHAT_A_NAME_IS}, {LIGHTEVAL}TASK or {LIGHTEVAL}TASK|EXAMPLES"
    )
    limit: int = Field(0, ge=0, le=10**15, description="0: all; N: the first N problems")
    data: PathText = Field(
        "", description="folder with local copies of the benchmarks; empty: the hub"
    )
    option_seed: int = Field(
        0,
        ge=-(2**63),
        le=2**63 - 1,
        description="of the order of gpqa's options: the same for all models and runs",
    )
    generation: GenerationConfig = Field(
        GenerationConfig(), description="how answers are asked for"
    )
    engine: EngineConfig = Field(EngineConfig(), description="who answers")

    @field_validator("out", mode="before")
    @classmethod
    def _a_folder(cls, out: Any) -> Any:
        if out == "":
            raise ValueError("out is empty: name a folder")
        return out

    @model_validator(mode="after")
    def _no_setting_without_effect(self) -> "EvaluationConfig":
        if self.engine.kind == "endpoint":
            return self
        for key in ENDPOINT_ONLY:
            if getattr(self.generation, key):
                raise ValueError(
                    f'generation.{key} is for endpoints: set engine.kind = "endpoint", or leave'
                    " it out"
                )
        return self

    @model_validator(mode="after")
    def _something_to_do(self) -> "EvaluationConfig":
        for name in ("models", "benchmarks"):
            entries = getattr(self, name)
            if not entries:
                raise ValueError(f"{name} is empty: name at least one")
            for entry in entries:
                if entries.count(entry) > 1:
                    raise ValueError(f"{name} names {entry!r} twice")
        return self
