"""Trackers: SwanLab, trackio, TensorBoard, wandb. Each is optional, imported by transformers when a run has begun.

A tracker that is not installed is refused at the start: it must not end a run after its model is loaded.
"""

import importlib.util
import os
from pathlib import Path

from shared.exits import InputError
from trainer.config import TrainerConfig


def check_trackers(config: TrainerConfig) -> None:
    """Refuse trackers whose package is missing. Errors: `InputError`. Imports none of them."""
    for name in config.track.to:
        if importlib.util.find_spec(name) is None:
            raise InputError(f"track.to: {name} is not installed: `pip install {name}`, or leave it out of track.to")


def set_environment(config: TrainerConfig) -> None:
    """What the trackers read from the environment; a variable that the user has set stays as it is."""
    run = Path(config.run)
    wanted = {
        "TENSORBOARD_LOGGING_DIR": str(run / "tensorboard"),
        "SWANLAB_PROJECT": config.track.project,
        "SWANLAB_LOG_DIR": str(run / "swanlab"),
        "WANDB_PROJECT": config.track.project,
        "WANDB_DIR": str(run),
    }
    if config.track.offline:
        wanted |= {"SWANLAB_MODE": "local", "WANDB_MODE": "offline"}
    for name, value in wanted.items():
        os.environ.setdefault(name, value)
