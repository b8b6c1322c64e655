"""TRL's trainer on a list of the parameters that are trained: to find them, its own calls walk the
thousands of modules that PEFT makes, four times a step, while the GPU waits.
"""

from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from trainer.layers.sharding import settle
from trainer.loop.sharded_checkpoints import CheckpointsOfShards


class ListedParameters(CheckpointsOfShards):  # type: ignore[misc]
    """Looks the parameters up once."""

    sharded = False  # weights in shards over all processes

    @cached_property
    def trained_parameters(self) -> list[torch.nn.Parameter]:
        """Of the model, those that get a gradient."""
        return [parameter for parameter in self.model.parameters() if parameter.requires_grad]

    def drop_gradients(self) -> None:
        """As `zero_grad`, which walks the modules."""
        for parameter in self.trained_parameters:
            parameter.grad = None

    def _clip_grad_norm(self, model: Any) -> Tensor:
        """Clip in place; the norm before, []."""
        return torch.nn.utils.clip_grad_norm_(self.trained_parameters, self.args.max_grad_norm)

    def _prepare_for_training(self, *arguments: Any) -> Any:
        if self.sharded:
            settle(self.model)
        model, dataloader = super()._prepare_for_training(*arguments)
        model.zero_grad = self.drop_gradients  # called after each step, without arguments
        return model, dataloader
