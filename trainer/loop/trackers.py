"""Trackers: SwanLab, trackio, TensorBoard, wandb. Each is optional, imported by transformers when a
run has begun.

A tracker that is not installed is refused at the start: it must not end a run after its model is
loaded.
"""

import importlib.util
import os
import sys
from importlib.metadata import version
from pathlib import Path

from shared.errors import InputError
from trainer.config import TrainerConfig

# What pip is asked for where the newest release does not work with the pinned transformers: SwanLab
# 0.10.3 ends the run before its first step with "No active Run".
RELEASES = {"swanlab": "swanlab<0.8"}
TOO_NEW = {"swanlab": (0, 10)}


def check_trackers(config: TrainerConfig) -> None:
    """Refuse trackers whose package is missing or too new. Errors: `InputError`. Imports none
    of them.
    """
    for name in config.track.to:
        remedy = (
            f"`{sys.executable} -m pip install '{RELEASES.get(name, name)}'`, or leave it out of"
            " track.to"
        )
        if importlib.util.find_spec(name) is None:
            raise InputError(f"track.to: {name} is not installed: {remedy}")
        if name in TOO_NEW and _release(name) >= TOO_NEW[name]:
            raise InputError(
                f"track.to: {name} {version(name)} does not work with this transformers: {remedy}"
            )


def _release(name: str) -> tuple[int, int]:
    major, minor = version(name).split(".")[:2]
    return int(major), int(minor)


def set_environment(config: TrainerConfig) -> None:
    """What the trackers read from the environment; a variable that the user has set stays as it
    is.
    """
    run = Path(config.run)
    variables = {
        "TENSORBOARD_LOGGING_DIR": str(run / "tensorboard"),
        "SWANLAB_PROJECT": config.track.project,
        "SWANLAB_LOG_DIR": str(run / "swanlab"),
        "WANDB_PROJECT": config.track.project,
        "WANDB_DIR": str(run),
    }
    if config.track.offline:
        variables |= {"SWANLAB_MODE": "offline", "WANDB_MODE": "offline"}
    for name, value in variables.items():
        os.environ.setdefault(name, value)
