"""The loss on problems that are never trained on, computed as training's is."""

from collections.abc import Sequence
from typing import Any

import torch

from trainer.data.data_order import micro_batches
from trainer.data.examples import Example
from trainer.layers.loss import loss_sum
from trainer.layers.packing import make_batch

PART = 256  # examples


def held_out_loss(trainer: Any, examples: Sequence[Example]) -> float:
    """Mean loss a token of `trainer`'s model over `examples`, without gradients."""
    model = trainer.model
    micro = trainer.micro
    device = trainer.args.device
    total = 0.0
    num_loss_tokens = 0
    training = model.training
    model.eval()
    with torch.no_grad(), trainer.precision():
        # A part at a time: to cut many examples well takes long, and they are read for it.
        for start in range(0, len(examples), PART):
            part = examples[start : start + PART]
            lengths = [len(example) for example in part]
            for indices in micro_batches(lengths, micro.rows, micro.tokens, micro.padded):
                batch = make_batch([part[i] for i in indices], padded=micro.padded).to(device)
                total += float(loss_sum(model, batch))
                num_loss_tokens += len(batch.targets)
    model.train(training)
    return total / num_loss_tokens
