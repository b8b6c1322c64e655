"""The loss on problems that are never trained on, computed as training's is."""

from collections.abc import Sequence
from typing import Any

import torch

from trainer.data.data_order import micro_batches
from trainer.data.examples import Example
from trainer.layers.loss import loss_sum
from trainer.layers.packing import make_batch


def held_out_loss(trainer: Any, examples: Sequence[Example]) -> float:
    """Mean loss a token of `trainer`'s model over `examples`, without gradients."""
    model = trainer.model
    micro = trainer.micro
    device = trainer.args.device
    lengths = [len(example) for example in examples]
    total = 0.0
    num_loss_tokens = 0
    training = model.training
    model.eval()
    with torch.no_grad(), trainer.precision():
        for indices in micro_batches(lengths, micro.rows, micro.tokens, micro.padded):
            batch = make_batch([examples[i] for i in indices], padded=micro.padded).to(device)
            total += float(loss_sum(model, batch))
            num_loss_tokens += len(batch.targets)
    model.train(training)
    return total / num_loss_tokens
