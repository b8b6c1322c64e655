"""What each `train.max_length` would keep of the corpora, and what it would cost: for `plan`.

R1's thoughts on hard problems are 8,000 to 32,000 tokens; what exceeds `max_length` is left out.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from shared.durations import duration
from shared.errors import InputError
from trainer.config import TrainerConfig
from trainer.planning.plan import Plan

LENGTHS = (4096, 8192, 16384, 32768)


def length_lines(
    config: TrainerConfig,
    lengths_of_all: Any,
    share: float,
    positions: int,
    made: Callable[..., Plan],
) -> list[str]:
    """A line for each length: traces and tokens kept, memory and time.

    Args:
        lengths_of_all: [n] tokens of each trace that could be learnt, whatever its length.
        share: of them that is learnt and not held out.
        positions: that the model knows; 0: it does not say.
        made: `make_plan` with all that is the same for each length.
    """
    if not len(lengths_of_all):
        return []
    lines = ["train.max_length would keep, before the cap of a problem:"]
    for max_length in sorted({*LENGTHS, config.train.max_length}):
        kept_lengths = lengths_of_all[lengths_of_all <= max_length]
        line = (
            f"  {max_length:>6,}: {len(kept_lengths):,} of {len(lengths_of_all):,} traces"
            f" ({len(kept_lengths) / len(lengths_of_all):.0%}),"
            f" {int(kept_lengths.sum(dtype=np.int64)):,} tokens"
        )
        lines.append(line + _cost(config, max_length, kept_lengths, share, positions, made))
    return lines


def _cost(
    config: TrainerConfig,
    max_length: int,
    kept: Any,
    share: float,
    positions: int,
    made: Callable[..., Plan],
) -> str:
    if positions and max_length > positions:
        return f"; above the {positions:,} positions of this model"
    train_lengths = kept[: round(share * len(kept))]
    if not len(train_lengths):
        return ""
    epochs = config.train.epochs
    epoch_lengths = np.resize(train_lengths, max(1, round(epochs * len(train_lengths))))
    train = config.train.model_copy(update={"max_length": max_length})
    try:
        plan = made(config.model_copy(update={"train": train}), lengths=epoch_lengths.tolist())
    except InputError:
        return "; does not fit"
    return f"; {plan.total_gib:.1f} GiB a card, about {duration(plan.seconds)}"
