"""FSDP2: the weights in shards over all cards, each layer whole only while it computes.

    every card holds  1/N of each frozen weight (LoRA), or 1/N of weights, gradients and moments (full)
    a layer runs      its shards are gathered, it computes, they are dropped; again in the backward pass
    adapters (LoRA)   whole on every card: they are small, and are summed, clipped, stepped and saved as ever

PyTorch hooks this into the forward of the modules that are sharded. A step of ours calls the decoder
and multiplies by the head's matrix by itself, which no hook would see; so the loss becomes the
forward of a module around the model (`ShardedLoss`), and that module is the root.

Every process must run the same layers equally often, since each gather needs all of them:
`trainer.loop.step` gives a process that has fewer micro-batches fillers whose loss counts nothing.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import torch
from torch import Tensor, nn

from trainer.layers.loss import SHARDED_LOSS, hidden_states_here, loss_sum_here
from trainer.layers.packing import PackedBatch

OPTIMIZER_FILE = "optimizer_by_name.pt"  # of a checkpoint: whole moments, by names of weights
HOST_SHARE = 0.8  # of the free memory that copies of the weights may fill while they are loaded


class ShardedLoss(nn.Module):
    """The student's loss, or its hidden states, as one forward."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: PackedBatch, only_hidden: bool = False) -> Tensor:
        """The loss's sum [], or (`only_hidden`) [T, H]."""
        if only_hidden:
            return hidden_states_here(self.model, batch)
        return loss_sum_here(self.model, batch)


def shard(model: Any, *, full: bool, dtype: torch.dtype, device: torch.device) -> None:
    """Shard `model`, which is whole in the host's memory, over the processes of the default group.

    `full`: weights are trained, kept in float32 and computed with in `dtype`. Otherwise they are
    frozen in the precision they have, and what is trained (the adapters) stays whole.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard

    mesh = init_device_mesh(device.type, (torch.distributed.get_world_size(),))
    whole_parameters = set() if full else {p for p in model.parameters() if p.requires_grad}
    for parameter in whole_parameters:
        parameter.data = parameter.data.to(device)
    options: dict[str, Any] = {"mesh": mesh, "ignored_params": whole_parameters}
    if full:
        options["mp_policy"] = MixedPrecisionPolicy(
            param_dtype=dtype, reduce_dtype=torch.float32, cast_forward_inputs=False
        )
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    for layer in base.get_decoder().layers:
        if full:
            layer.float()  # layer by layer: never the whole model in float32 on one machine's host
        fully_shard(layer, **options)
    if full:
        model.float()  # what is outside the layers
    root = ShardedLoss(model)
    fully_shard(root, **options)
    for module in root.modules():
        if isinstance(module, FSDPModule):
            # Each loss was divided by the loss tokens of all processes: gradients add up.
            module.set_gradient_divide_factor(1.0)
            module.set_force_sum_reduction_for_comms(True)
    # Not as a submodule, which would make a circle of the two.
    model.__dict__[SHARDED_LOSS] = root


def is_sharded(model: Any) -> bool:
    """Whether `shard` was called for this model."""
    return SHARDED_LOSS in model.__dict__


def settle(model: Any) -> None:
    """Make FSDP look again for the weights that it shards. Whoever moved or cast `model` (the
    Trainer does) did it behind the root's back, which would go on gathering what is no longer
    trained.
    """
    root = model.__dict__[SHARDED_LOSS]
    root.to(next(model.parameters()).device)


@contextmanager
def loading_in_turns(num_bytes: int) -> Iterator[None]:
    """Inside, a process of this machine holds `num_bytes` of weights on the host: all of them at
    once where that fits, else one after the other.
    """
    world = torch.distributed.get_world_size()
    local_world = int(os.environ.get("LOCAL_WORLD_SIZE", world))
    free_bytes = torch.tensor(psutil.virtual_memory().available, dtype=torch.int64)
    device = "cuda" if torch.distributed.get_backend() == "nccl" else "cpu"
    smallest = free_bytes.to(device)
    torch.distributed.all_reduce(smallest, torch.distributed.ReduceOp.MIN)
    if local_world * num_bytes <= HOST_SHARE * int(smallest):
        yield
        return
    for turn in range(world):
        if turn == torch.distributed.get_rank():
            yield
        torch.distributed.barrier()


def full_state_dict(model: Any) -> dict[str, Any]:
    """The whole weights on the host of the first process, float32; empty in the others. All
    processes call it.
    """
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    weights = dict(get_model_state_dict(model, options=options))
    if model.config.tie_word_embeddings:
        # Gathered apart, the head's matrix is no longer seen to be the embedding's.
        for name, parameter in model.get_output_embeddings().named_parameters():
            if parameter is model.get_input_embeddings().weight:
                weights.pop(f"lm_head.{name}", None)
    return weights


def save_optimizer(model: Any, optimizer: Any, checkpoint: Path) -> None:
    """The first process writes the whole moments, by the names of the weights. All processes call
    it.

    Not by `torch.distributed.checkpoint`, whose metadata is a pickle that may hold code.
    """
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_optimizer_state_dict

    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    state = get_optimizer_state_dict(model, optimizer, options=options)
    if torch.distributed.get_rank() == 0:
        torch.save(state, checkpoint / OPTIMIZER_FILE)


def load_optimizer(model: Any, optimizer: Any, checkpoint: Path) -> None:
    """Take up the moments of `save_optimizer`, whatever the number of processes now is. All
    processes call it.
    """
    from torch.distributed.checkpoint.state_dict import StateDictOptions, set_optimizer_state_dict

    # Mapped, not read: each process takes its shards of it.
    state = torch.load(checkpoint / OPTIMIZER_FILE, weights_only=True, mmap=True)
    options = StateDictOptions(full_state_dict=True)
    set_optimizer_state_dict(model, optimizer, state, options=options)
