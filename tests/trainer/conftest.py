"""Fixtures of the trainer's tests: one tiny model and one small corpus for the whole session."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.preloaded_programs import preload

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # nothing here may reach a hub
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
preload(
    "trainer.loop.train",
    "trainer.loop.step",
    "trainer.loop.prepare",
    "transformers.models.qwen2.modeling_qwen2",
)


# What a training in this process leaves for its trackers, and the next one would write into.
TRACKER_VARIABLES = (
    "TENSORBOARD_LOGGING_DIR",
    "SWANLAB_PROJECT",
    "SWANLAB_LOG_DIR",
    "WANDB_PROJECT",
    "WANDB_DIR",
)


@pytest.fixture(autouse=True)
def trackers_of_one_training() -> Iterator[None]:
    yield
    for name in TRACKER_VARIABLES:
        os.environ.pop(name, None)


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    from tests.trainer import tiny_models

    return tiny_models.tokenizer()


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.trainer import tiny_models

    return tiny_models.save_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.trainer.corpora import trace, write_corpus

    return write_corpus(tmp_path_factory.mktemp("corpus"), [trace(i) for i in range(120)], rows=50)
