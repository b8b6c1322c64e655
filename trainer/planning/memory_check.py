"""Two real steps on the longest micro-batch before a run is believed: estimates are for
choosing, the card decides.
"""

import os
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from shared.durations import duration
from shared.errors import InputError
from trainer.config import TrainerConfig
from trainer.data.examples import Example
from trainer.data.token_table import lengths_of
from trainer.layers.loss import loss_sum
from trainer.layers.packing import make_batch
from trainer.planning.estimates import ANY, Setting
from trainer.planning.hardware import GIB, Card
from trainer.planning.plan import Plan

# of the card's matrix peak: 23,900 tokens/s of a 1.5B model were 0.28 of an H100's, 5,000 were 0.06
SLOW = 0.1
CHOOSING_SECONDS = 5.0
MOST_EXAMPLES = 256  # in the micro-batch of the check, where none are counted
ADAMW_BYTES = 8  # a trained weight: its two moments in float32


def check_memory(
    model: Any, examples: Sequence[Example], plan: Plan, card: Card, config: TrainerConfig
) -> tuple[Setting, str]:
    """The setting that really fits, and a line that says so, with the time that the run will take
    at the speed seen.

    No weight is changed. Room is kept for the optimiser's state, which does not exist yet. Raises
    `InputError` where one example at a time does not fit.
    """
    is_sharded = plan.setting.sharded
    # With sharded weights all processes must make the same steps, whatever their clocks say.
    if card.kind == "cpu" and "OMP_NUM_THREADS" not in os.environ and not is_sharded:
        _choose_threads(model, examples, plan)
    setting = plan.setting
    num_trained = sum(map(_num_here, model.parameters()))
    while True:
        batch = longest_micro_batch(examples, setting)
        try:
            peak, seconds = _two_steps(model, batch, plan, card, num_trained * ADAMW_BYTES)
        except torch.OutOfMemoryError:
            peak = float("inf")
            seconds = 0.0
        model.zero_grad(set_to_none=True)
        tokens = sum(map(len, batch))
        if peak <= card.total_gib:
            return setting, describe(tokens, peak, seconds, plan, card, config)
        if len(batch) > 1 and is_sharded:
            raise InputError(
                f"{config.model}: the micro-batch of {tokens:,} tokens that was planned does not fit"
                f" {card.name}, and no process can make it smaller alone: set train.micro_batch ="
                f" {max(1, len(batch) // 2)}"
            )
        if len(batch) == 1:
            raise InputError(
                f"{config.model}: one example of {tokens:,} tokens does not fit {card.name}: set "
                'train.checkpointing = "on", lower train.max_length, or use method = "qlora"'
            )
        torch.cuda.empty_cache()
        setting = _half(setting, len(batch), tokens)


def describe(
    tokens: int, peak: float, seconds: float, plan: Plan, card: Card, config: TrainerConfig
) -> str:
    """What the check found, in one line. `tokens`: of its micro-batch; `peak`: GiB; `seconds`: of
    one step on one card.
    """
    speed = plan.cards * tokens / seconds
    cards = f" of {plan.cards} cards" if plan.cards > 1 else ""
    line = (
        f"memory check: two steps on the longest micro-batch ({tokens:,} tokens), {peak:.2f} GiB,"
        f" {speed:,.0f} tokens/s{cards}: {duration(plan.tokens / speed)} for {plan.steps:,} steps"
    )
    share = plan.flops_per_token * tokens / seconds / 1e12 / (card.peak_tflops or float("inf"))
    if card.kind == "cuda" and config.backend == "auto" and 0 < share < SLOW:
        line += (
            f"; {share:.0%} of the matrix peak is little: try the other backend (backend ="
            ' "unsloth" or "trl")'
        )
    return line


def longest_micro_batch(examples: Sequence[Example], setting: Setting) -> list[Example]:
    """The longest examples that one micro-batch of this setting could hold."""
    lengths = lengths_of(examples)
    places: list[int] = []
    tokens = 0
    for place in np.argsort(-lengths.astype(np.int64), kind="stable").tolist():
        length = int(lengths[place])
        if places and setting.padded:
            size = (len(places) + 1) * int(lengths[places[0]])
        else:
            size = tokens + length
        if places and setting.rows == ANY and size > setting.tokens:
            continue  # a shorter one may still fit
        places.append(place)
        tokens += length
        if len(places) >= (MOST_EXAMPLES if setting.rows == ANY else setting.rows):
            break
    return [examples[place] for place in places]


def _choose_threads(model: Any, examples: Sequence[Example], plan: Plan) -> None:
    """All cores or one? On a busy machine, or with a small model, threads that wait for one
    another lose.
    """
    batch = make_batch(examples[:2], padded=plan.setting.padded)
    seconds: dict[int, float] = {}
    deadline = time.perf_counter() + CHOOSING_SECONDS
    for threads in (torch.get_num_threads(), 1, torch.get_num_threads(), 1):
        if seconds and time.perf_counter() > deadline:
            break  # so large a model keeps all cores busy
        torch.set_num_threads(threads)
        start = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=plan.dtype == "bf16"):
            loss = loss_sum(model, batch)
        loss.backward()
        step_seconds = time.perf_counter() - start
        seconds[threads] = min(seconds.get(threads, float("inf")), step_seconds)
    torch.set_num_threads(min(seconds, key=lambda threads: seconds[threads]))


def _two_steps(
    model: Any, examples: Sequence[Example], plan: Plan, card: Card, optimiser_bytes: int
) -> tuple[float, float]:
    """(GiB at the peak, seconds of the second step). A processor's memory is not measured: the
    system shares it.
    """
    device = torch.device(card.device)
    on_gpu = card.kind == "cuda"
    placeholder = None
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
        placeholder = torch.empty(optimiser_bytes, dtype=torch.uint8, device=device)
    model.train()
    seconds = 0.0
    for _ in range(2):
        start = time.perf_counter()
        longest = max(map(len, examples))
        batch = make_batch(examples, padded=plan.setting.padded, max_seqlen=longest).to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=plan.dtype == "bf16"):
            loss = loss_sum(model, batch) / max(1, len(batch.targets))
        loss.backward()
        if on_gpu:
            torch.cuda.synchronize()
        seconds = time.perf_counter() - start
    del placeholder
    if not on_gpu:
        return plan.total_gib, seconds
    return float(torch.cuda.max_memory_allocated()) / GIB, seconds


def _num_here(parameter: Any) -> int:
    """Trained numbers of a parameter that this process holds."""
    if not parameter.requires_grad:
        return 0
    local = parameter.to_local() if hasattr(parameter, "to_local") else parameter
    return int(local.numel())


def _half(setting: Setting, rows: int, tokens: int) -> Setting:
    if setting.rows == ANY:
        return replace(setting, tokens=tokens // 2)
    return replace(setting, rows=max(1, rows // 2))
