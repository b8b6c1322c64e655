"""manifest.json of an evaluation: what its numbers came from, and the command that repeats them."""

import importlib.metadata
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from evaluation.benchmarks import slug
from evaluation.config import EvaluationConfig
from evaluation.records import Benchmark
from evaluation.results.folder import describe
from shared.git_commit import git_commit

_LIBRARIES = (
    "lighteval",
    "torch",
    "transformers",
    "tokenizers",
    "math-verify",
    "latex2sympy2_extended",
    "sympy",
    "numpy",
)


def manifest_of(
    config: EvaluationConfig,
    benchmarks: Sequence[Benchmark],
    identities: Mapping[str, Mapping[str, Any]],
    command: str,
    decisions: Mapping[str, Any],
) -> dict[str, Any]:
    """The manifest's content.

    `identities` are the engines' by model name, `decisions` those of `--quick` by benchmark name.
    """
    return {
        "schema": 1,
        "models": [
            {"name": name, "slug": slug(name), **identity} for name, identity in identities.items()
        ],
        "benchmarks": [describe(benchmark) for benchmark in benchmarks],
        "generation": config.generation.model_dump(),
        "engine": config.engine.model_dump(),
        "limit": config.limit,
        "card": _card(config),
        "libraries": {name: importlib.metadata.version(name) for name in _LIBRARIES},
        "python": platform.python_version(),
        "git_commit": git_commit(),
        "command": command,
        "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "quick": dict(decisions),
    }


def template_warning(model: str, identity: Mapping[str, Any]) -> str:
    """A line where a tuned model is asked with another template than it was trained with.

    "" where all is well. `identity` is the engine's.
    """
    try:
        training_manifest = orjson.loads((Path(model).parent / "manifest.json").read_bytes())
        training_template = training_manifest["template"]["digest"]
    except (OSError, orjson.JSONDecodeError, LookupError, TypeError):
        return ""  # not a model of our trainer's
    template = identity.get("template")
    if template in (None, training_template):
        return ""
    return (
        f"{model} was trained with chat template {training_template} and is asked with {template}:"
        " set generation.system as in training"
    )


def _card(config: EvaluationConfig) -> str:
    if config.engine.kind == "endpoint":
        return f"served by {', '.join(config.engine.base_urls)}"
    from evaluation.engines.transformers_engine import card

    return card()
