"""[sampling]: how often each problem is asked, and with what."""

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from generator.config.value_types import Count, Samples, Tokens
from shared.config import Config
from shared.prompts import PRESETS


class SamplingConfig(Config):
    """How often each problem is asked, and with what."""

    preset: Literal["r1", "tutorial"] = Field(
        "r1",
        description=(
            "prompts, where not given below: r1 as its authors advise, tutorial asks for the tags"
        ),
    )
    samples: Samples = Field(1, description="traces wanted per problem")
    until_correct: Count = Field(
        0,
        description=(
            "k > 0: go on until k correct, or max_samples, or hopeless (then `samples` is not used)"
        ),
    )
    max_samples: Samples = Field(4, description="most samples of one problem under until_correct")
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
    max_tokens: Tokens = Field(32768, ge=1, description="reasoning and answer together")
    longer_max_tokens: Tokens = Field(
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
        name = values.get("preset") if isinstance(values, dict) else None
        if isinstance(name, str) and name in PRESETS:
            preset = PRESETS[name]
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
