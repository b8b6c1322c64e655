"""[problems] and [screening]: where problems come from, and which are left out."""

from typing import Literal

from pydantic import Field

from generator.config.value_types import Count, Seed
from shared.config import Config, PathText


class ProblemsConfig(Config):
    """Where problems come from and which of them are taken."""

    source: PathText = Field(
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
    seed: Seed = Field(
        0, description="order of the problems; the same seed gives the same problems"
    )
    on_bad_line: Literal["stop", "skip"] = Field(
        "stop", description='"stop": exit 2 before the first call; "skip": count and list them'
    )
    exclude: tuple[PathText, ...] = Field(
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
    data: PathText = Field(
        "", description="folder with local copies of the sets in problems.exclude; empty: the hub"
    )
