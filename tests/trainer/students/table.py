"""The table of docs/students.md, made from what the code says of each tiny model.

PYTHONPATH=. .venv/trainer/bin/python -m tests.trainer.students.table
"""

import tempfile
from pathlib import Path
from typing import Any

import torch

from shared.inference.generation import decoder_kind
from shared.inference.hf_generate import HfDecoder
from shared.inference.loading import load_model, load_tokenizer
from shared.rendering import ChatRenderer
from shared.template_date import has_date
from tests.trainer.students.models import STUDENTS, Student, save
from trainer.artifacts.gguf_writer import ARCHITECTURES, ROPE_TYPES
from trainer.config import TrainerConfig
from trainer.layers.backends import Setup, load_config, open_backend
from trainer.layers.recurrent_state import carries_state

HEAD = """\
| student | architecture | thinking | the template adds | examples | layers | GGUF | answers by |
|---|---|---|---|---|---|---|---|"""


def row_of(student: Student, folder: Path) -> str:
    """The student's line of the table. `folder`: its tiny model."""
    config = load_config(str(folder))
    chat = ChatRenderer.of(load_tokenizer(folder))
    cells = [
        student.name,
        config.model_type,
        _thinking(chat),
        _additions(chat),
        "one a row, padded" if carries_state(config) else "end to end",
        _layers(folder),
        "yes" if _has_gguf(config) else "no",
        _decoder(folder),
    ]
    return f"| {' | '.join(cells)} |"


def _thinking(chat: ChatRenderer) -> str:
    if not chat.opening:
        return "`<think>` is learnt"
    asked = " by `enable_thinking`" if chat._arguments else ""
    return f"opened in the prompt{asked}"


def _additions(chat: ChatRenderer) -> str:
    parts = []
    if chat.default_system:
        parts.append("a system text")
    if has_date(chat.template):
        parts.append("the date, frozen")
    return ", ".join(parts) or "–"


def _layers(folder: Path) -> str:
    config = TrainerConfig(run="unused", model=str(folder), corpora=("unused",))
    setup = Setup("fp32", checkpointing=False, compile=False, device="cpu")
    model = open_backend(config).load_model(config, setup)
    ways = {type(module.__dict__.get("forward")).__name__ for module in model.modules()}
    if "_Mlp" in ways:
        return "fused"
    return "fused projections" if "_Linear" in ways else "PEFT's"


def _has_gguf(config: Any) -> bool:
    rope = (config.rope_parameters or {}).get("rope_type", "default")
    return config.model_type in ARCHITECTURES and rope in ROPE_TYPES


def _decoder(folder: Path) -> str:
    model = load_model(folder, torch.device("cpu"), torch.float32)
    kind = decoder_kind(model, [5, 6, 7], 100)
    return "transformers" if kind is HfDecoder else "our decoder"


def table() -> str:
    """All lines."""
    with tempfile.TemporaryDirectory() as root:
        rows = [row_of(student, save(student, Path(root) / student.name)) for student in STUDENTS]
    return "\n".join([HEAD, *rows])


if __name__ == "__main__":
    print(table())
