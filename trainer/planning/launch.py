"""Several processes, one a card: who this one is, what a launcher may ask of it, and what all must
agree on.

`accelerate launch` and `torchrun` say by environment variables which process of how many this is. A
run without a launcher is the first of one.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from shared.errors import InputError
from trainer.planning.hardware import Card

# Each wraps the model's `forward`. A step here calls the decoder and multiplies by the head's matrix
# by itself (`loss.loss_sum`), so that weights would be met in shards; our own sharding
# (`trainer.layers.sharding`) wraps that.
WRAPPERS = {
    "ACCELERATE_USE_FSDP": "FSDP",
    "ACCELERATE_USE_DEEPSPEED": "DeepSpeed",
    "ACCELERATE_USE_MEGATRON_LM": "Megatron-LM",
    "ACCELERATE_USE_PARALLELISM_CONFIG": "a parallelism configuration",
}
# What a launcher's own configuration would change behind the plan's back: precision and compilation
# are ours.
OURS = {"ACCELERATE_MIXED_PRECISION": "no", "ACCELERATE_DYNAMO_BACKEND": "no"}
VARIABLES = (
    "RANK",
    "LOCAL_RANK",
    "WORLD_SIZE",
    "LOCAL_WORLD_SIZE",
    "GROUP_RANK",
    "MASTER_ADDR",
    "MASTER_PORT",
)


@dataclass(frozen=True, slots=True)
class Launch:
    """This process among those of one training run."""

    rank: int  # from 0, over all machines
    local_rank: int  # on this machine: the card's number
    world: int  # processes in all
    local_world: int  # on this machine

    @classmethod
    def here(cls) -> "Launch":
        """As the launcher's variables say it."""
        world = int(os.environ.get("WORLD_SIZE", "1"))
        return cls(
            int(os.environ.get("RANK", "0")),
            int(os.environ.get("LOCAL_RANK", "0")),
            world,
            int(os.environ.get("LOCAL_WORLD_SIZE", world)),
        )

    @property
    def first(self) -> bool:
        """Whether this process speaks, and writes what all of them made."""
        return self.rank == 0


def check_launch(batch: int) -> Launch:
    """This process's place, before anything is imported. `batch`: examples an optimiser step.

    Errors: `InputError` for launches that the step cannot serve.
    """
    launch = Launch.here()
    for variable, name in WRAPPERS.items():
        if os.environ.get(variable, "false").lower() in ("true", "1", "yes"):
            raise InputError(
                f"launched with {name}, which wraps a forward pass that a step here never calls:"
                f" start it with `python -m trainer run … --gpus {launch.world}`; where the model"
                " does not fit one card, train.fsdp shards it"
            )
    if batch < launch.world:
        raise InputError(
            f"train.batch {batch}: less than the {launch.world} processes of this launch: give more"
        )
    if launch.world > 1:
        os.environ.update(OURS)
    return launch


def take_card(launch: Launch) -> None:
    """Make this process's card the current one: Triton and Unsloth start their kernels there, not
    where tensors are.

    Errors: `InputError` where there are fewer cards than processes.
    """
    import torch

    if not torch.cuda.is_available():
        return
    cards = torch.cuda.device_count()
    if launch.local_rank >= cards:
        raise InputError(
            f"{launch.local_world} processes for {cards} cards: start at most {cards}, one a card"
            f" (--gpus {cards})"
        )
    torch.cuda.set_device(launch.local_rank)


def idle_cards(planned: int) -> str:
    """What to say where a run that is planned for one card leaves others unused; "" where none
    is.
    """
    import torch

    cards = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if planned > 1 or cards < 2:
        return ""
    return (
        f"note: 1 of {cards} cards is used; `make train GPUS={cards}` (`python -m trainer run …"
        f" --gpus {cards}`) uses all"
    )


def agree(card: Card, launch: Launch) -> Card:
    """The card that all processes plan for: a precision that each of them has, the speed of the
    slowest.

    Processors are measured side by side and need not find the same. Those of one machine share its
    memory; of several cards the fullest counts, since all cut their steps alike.
    """
    if launch.world == 1:
        return card
    import torch.distributed
    from accelerate import PartialState

    # Joins the group, which the Trainer then uses: one process may wait for another that generates
    # or saves.
    PartialState(cpu=card.kind == "cpu", timeout=timedelta(minutes=30))
    cards: list[Any] = [None] * launch.world
    torch.distributed.all_gather_object(cards, (card.bf16, card.peak_tflops, card.free_gib))
    has_bf16, peaks, free_gibs = zip(*cards, strict=True)
    free = min(free_gibs)
    if card.kind == "cpu":
        free /= launch.local_world
    return replace(card, bf16=all(has_bf16), peak_tflops=min(peaks), free_gib=free)


def leave() -> None:
    """Leave the group of processes, where there is one: the first goes on alone, for minutes.

    With gloo all leave together: a thread of its that loses its peer before it is told to end aborts
    the whole process.
    """
    import torch.distributed

    if torch.distributed.is_available() and torch.distributed.is_initialized():
        if torch.distributed.get_backend() == "gloo":
            torch.distributed.barrier()
        torch.distributed.destroy_process_group()


def alone(environment: Mapping[str, str]) -> dict[str, str]:
    """`environment` without what a launcher put there: for a child process that is to wait for
    nobody.
    """
    return {
        name: value
        for name, value in environment.items()
        if name not in VARIABLES and not name.startswith(("ACCELERATE_", "TORCHELASTIC_"))
    }
