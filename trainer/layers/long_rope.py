"""LongRoPE (Phi) in packed batches: each example is rotated by its own length, not the longest's.

    original_max_position_embeddings = 4096
    lengths      900 | 7000 | 1200       packed end to end
    frequencies  short | long | short    alone, each would have these; by the longest, all had long

transformers chooses the frequencies of a whole batch by its largest position.
"""

from types import MethodType
from typing import Any

import torch
from torch import Tensor


def rotate_by_own_length(model: Any) -> None:
    """Give every LongRoPE embedding of `model` the frequencies of each example. In place."""
    for module in model.modules():
        if getattr(module, "rope_type", None) == "longrope":
            module.forward = MethodType(_forward, module)


def _forward(self: Any, x: Tensor, position_ids: Tensor) -> tuple[Tensor, Tensor]:
    """(cos, sin) [B, T, d] for `position_ids` [B, T], which begin at 0 in each example."""
    plain = type(self).forward
    original = self.config.rope_parameters["original_max_position_embeddings"]
    is_long = example_lengths(position_ids) > original  # [B, T]
    cos, sin = plain(self, x, position_ids)
    if not is_long.any() or is_long.all():
        return cos, sin
    # Positions as far as the original length alone: the short frequencies.
    short_cos, short_sin = plain(self, x, position_ids.clamp(max=original - 1))
    is_long = is_long[..., None]
    return torch.where(is_long, cos, short_cos), torch.where(is_long, sin, short_sin)


def example_lengths(position_ids: Tensor) -> Tensor:
    """[B, T]: of each token, how long its example is."""
    example = (position_ids == 0).cumsum(-1)  # [B, T]
    counts = torch.zeros(position_ids.shape[0], position_ids.shape[1] + 1, dtype=torch.int64)
    counts = counts.to(position_ids.device).scatter_add_(1, example, torch.ones_like(example))
    return counts.gather(1, example)
