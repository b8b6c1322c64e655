"""manifest.json: everything that a run came from, in one file."""

import importlib.metadata
import json
import platform
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from shared.errors import InputError
from shared.file_writing import write_atomically
from shared.git_commit import git_commit
from shared.rendering import ChatRenderer
from trainer.config import TrainerConfig
from trainer.data.selection import Selection
from trainer.planning.hardware import Card
from trainer.planning.learning_rate import LearningRate
from trainer.planning.plan import Plan

LIBRARIES = (
    "torch",
    "transformers",
    "trl",
    "peft",
    "accelerate",
    "datasets",
    "tokenizers",
    "unsloth",
    "unsloth_zoo",
    "bitsandbytes",
)
DATA_KEY = "examples and their order"
# What a run had whose manifest was written before these were keys.
_EARLIER = {"lora.dropout": 0.0, "train.adam_beta2": 0.999, "train.rope_scaling": None}


def describe_run(
    config: TrainerConfig,
    selection: Selection,
    chat: ChatRenderer,
    card: Card,
    plan: Plan,
    rate: LearningRate,
    backend: str,
    data_digest: str,
) -> dict[str, Any]:
    """The manifest of a run that begins; `finalize` adds what came of it."""
    return {
        "schema": 1,
        "identity": identity(config, chat, data_digest),
        "model": config.model,
        "method": config.method,
        "backend": backend,
        "data": _data_facts(selection),
        "template": {
            "digest": chat.digest,
            "system": config.data.system,
            "inserted_by_template": chat.default_system,
            "date": chat.today.date().isoformat(),
            "end": chat.end,
        },
        "learning_rate": {"value": rate.value, "source": rate.source},
        "plan": {
            "tokens_a_micro_batch": plan.setting.tokens,
            "checkpointing": plan.setting.checkpointing,
            "dtype": plan.dtype,
            "compile": plan.compile,
            "steps": plan.steps,
            "expected_gib": round(plan.total_gib, 2),
        },
        "card": asdict(card),
        "seed": config.train.seed,
        "libraries": versions(),
        "python": platform.python_version(),
        "git_commit": git_commit(),
    }


def _data_facts(selection: Selection) -> dict[str, Any]:
    return {
        "shards": [{"corpus": corpus, **asdict(shard)} for corpus, shard in selection.shards],
        "read": selection.read,
        "train": len(selection.train),
        "held_out": len(selection.held_out),
        "held_out_problems": sorted(selection.held_out_problems()),
        "left_out": selection.reasons,
        "unverified": selection.unverified,
        "boxes_added": {
            "examples": selection.boxes_added,
            "cost_usd": round(selection.cost_of_boxed, 4),
        },
        "left_out_cost_usd": round(selection.cost_left_out, 4),
        "tokens": selection.num_tokens,
        "open_shards_not_read": selection.open_shards,
    }


def identity(config: TrainerConfig, chat: ChatRenderer, data_digest: str) -> dict[str, Any]:
    """What must not change between the parts of one run. How a step is cut, logged, saved or
    tracked may.
    """
    train = config.train
    lora = None
    if config.method != "full":
        lora = config.lora.model_dump(mode="json", exclude={"dropout"})
    return {
        "model": config.model,
        "method": config.method,
        "lora": lora,
        "lora.dropout": config.lora.dropout,
        "template": chat.digest,
        DATA_KEY: data_digest,
        "train.rope_scaling": list(config.rope_scaling) if config.rope_scaling else None,
        "train.batch": train.batch,
        "train.epochs": train.epochs,
        "train.max_steps": train.max_steps,
        "train.learning_rate": train.learning_rate,
        "train.schedule": train.schedule,
        "train.warmup": train.warmup,
        "train.weight_decay": train.weight_decay,
        "train.adam_beta2": train.adam_beta2,
        "train.max_grad_norm": train.max_grad_norm,
        "train.seed": train.seed,
    }


def template_date(manifest: dict[str, Any]) -> datetime | None:
    """The day that a run's chat template saw, where its manifest has one."""
    day = manifest.get("template", {}).get("date")
    return datetime.fromisoformat(day) if day else None


def versions() -> dict[str, str]:
    """The releases of the libraries that are installed."""
    releases = {}
    for name in LIBRARIES:
        try:
            releases[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return releases


def read_manifest(run: Path) -> dict[str, Any] | None:
    """A run's manifest; None where there is none yet. Errors: `InputError` for a damaged one, and
    for another program's: a corpus and an evaluation have one as well, which a run must not write
    over.
    """
    path = run / "manifest.json"
    if not path.exists():
        return None
    try:
        manifest = json.loads(path.read_bytes())
    except ValueError as error:
        raise InputError(
            f"{path}: damaged ({error}): remove it, then run the training again"
        ) from None
    if not isinstance(manifest, dict) or not {"identity", "data", "plan"} <= manifest.keys():
        raise InputError(f"{path}: not a training run's: give another `run` folder")
    manifest["identity"] = _EARLIER | manifest["identity"]
    return manifest


def write_manifest(run: Path, manifest: dict[str, Any]) -> None:
    """Put a run's manifest in place of the one that is there."""
    write_atomically(
        run / "manifest.json", json.dumps(manifest, indent=1, ensure_ascii=False).encode()
    )
