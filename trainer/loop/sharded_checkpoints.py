"""Checkpoints of weights that are trained in shards: the first process writes whole weights and
moments. Adapters are whole everywhere: they are saved as ever, and no frozen weight is.
"""

from pathlib import Path
from typing import Any

import torch
from trl import SFTTrainer  # type: ignore[attr-defined]

from shared.errors import InputError
from trainer.layers.sharding import (
    OPTIMIZER_FILE,
    full_state_dict,
    load_optimizer,
    save_optimizer,
)

SCHEDULER_FILE = "scheduler.pt"  # the Trainer's name


class CheckpointsOfShards(SFTTrainer):  # type: ignore[misc]
    """TRL's trainer, whose checkpoints also hold what is trained in shards."""

    model: Any
    args: Any
    optimizer: Any
    lr_scheduler: Any
    trains_shards = False

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Write the model's files, or the adapter's."""
        if not self.trains_shards:
            super().save_model(output_dir, _internal_call)
            return
        weights = full_state_dict(self.model)
        if self.args.should_save:
            self._save(output_dir, state_dict=weights)

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        if not self.trains_shards:
            super()._save_optimizer_and_scheduler(output_dir)
            return
        save_optimizer(self.model, self.optimizer.optimizer, Path(output_dir))
        if self.args.should_save:
            torch.save(self.lr_scheduler.state_dict(), Path(output_dir) / SCHEDULER_FILE)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        if not self.trains_shards:  # else they were loaded from there
            super()._load_from_checkpoint(resume_from_checkpoint, model)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is None:
            return
        folder = Path(checkpoint)
        in_shards = (folder / OPTIMIZER_FILE).is_file()
        if not in_shards and not self.trains_shards:
            super()._load_optimizer_and_scheduler(checkpoint)
            return
        if not in_shards:
            raise InputError(
                f"{folder}: was made with whole weights on each card, and cannot go on with sharded"
                ' ones: set train.fsdp = "off"'
            )
        load_optimizer(self.model, self.optimizer.optimizer, folder)
        schedule = torch.load(folder / SCHEDULER_FILE, weights_only=True)
        self.lr_scheduler.load_state_dict(schedule)
