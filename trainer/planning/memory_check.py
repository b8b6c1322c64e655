"""Two real steps on the longest micro-batch before a run is believed: estimates are for
choosing, the card decides.
"""

import os
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from shared.durations import duration
from shared.errors import InputError
from trainer.config import TrainerConfig
from trainer.data.examples import Example
from trainer.layers.packing import lay_apart, lay_flat, loss_sum
from trainer.planning.hardware import GIB, Card
from trainer.planning.plan import ANY, Plan, Setting

# of the card's matrix peak: 23,900 tokens/s of a 1.5B model were 0.28 of an H100's, 5,000 were 0.06
SLOW = 0.1
CHOOSING_SECONDS = 5.0


def rehearse(
    model: Any, examples: Sequence[Example], plan: Plan, card: Card, config: TrainerConfig
) -> tuple[Setting, str]:
    """The setting that really fits, and a line that says so, with the time that the run will take
    at the speed seen.

    No weight is changed. Room is kept for the optimiser's state, which does not exist yet. Raises
    `InputError` where one example at a time does not fit.
    """
    if card.kind == "cpu" and "OMP_NUM_THREADS" not in os.environ:
        _choose_threads(model, examples, plan)
    setting = plan.setting
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    while True:
        batch = _worst(examples, setting, plan)
        try:
            peak, seconds = _two_steps(model, batch, plan, card, room=8 * trained)
        except torch.OutOfMemoryError:
            peak, seconds = None, 0.0
        model.zero_grad(set_to_none=True)
        tokens = sum(map(len, batch))
        if peak is not None and peak <= card.total_gib:
            return setting, in_words(tokens, peak, seconds, plan, card, config)
        if len(batch) == 1:
            raise InputError(
                f"{config.model}: one example of {tokens:,} tokens does not fit {card.name}: set "
                'train.checkpointing = "on", lower train.max_length, or use method = "qlora"'
            )
        torch.cuda.empty_cache()
        setting = _half(setting, len(batch), tokens)


def in_words(
    tokens: int, peak: float, seconds: float, plan: Plan, card: Card, config: TrainerConfig
) -> str:
    speed = plan.cards * tokens / seconds
    line = (
        f"rehearsal: two steps on the longest micro-batch ({tokens:,} tokens), {peak:.2f} GiB,"
        f" {speed:,.0f} tokens/s{f' of {plan.cards} cards' if plan.cards > 1 else ''}:"
        f" {duration(plan.tokens / speed)} for {plan.steps:,} steps"
    )
    share = plan.flops_per_token * tokens / seconds / 1e12 / (card.peak_tflops or float("inf"))
    if card.kind == "cuda" and config.backend == "auto" and 0 < share < SLOW:
        line += (
            f"; {share:.0%} of the matrix peak is little: try the other backend (backend ="
            ' "unsloth" or "trl")'
        )
    return line


def _choose_threads(model: Any, examples: Sequence[Example], plan: Plan) -> None:
    """All cores or one? On a busy machine, or with a small model, threads that wait for one
    another lose.
    """
    batch = lay_apart(examples[:2]) if plan.setting.apart else lay_flat(examples[:2])
    seconds: dict[int, float] = {}
    deadline = time.perf_counter() + CHOOSING_SECONDS
    for threads in (torch.get_num_threads(), 1, torch.get_num_threads(), 1):
        if seconds and time.perf_counter() > deadline:
            break  # so large a model keeps all cores busy
        torch.set_num_threads(threads)
        began = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=plan.dtype == "bf16"):
            loss = loss_sum(model, batch)
        loss.backward()
        seconds[threads] = min(seconds.get(threads, float("inf")), time.perf_counter() - began)
    torch.set_num_threads(min(seconds, key=lambda threads: seconds[threads]))


def _worst(examples: Sequence[Example], setting: Setting, plan: Plan) -> list[Example]:
    """The longest examples that one micro-batch of this setting could hold."""
    taken: list[Example] = []
    total = 0
    for example in sorted(examples, key=len, reverse=True):
        size = (len(taken) + 1) * len(taken[0]) if taken and setting.apart else total + len(example)
        if taken and (size > setting.tokens and setting.rows == ANY):
            continue
        if len(taken) >= setting.rows:
            break
        taken.append(example)
        total += len(example)
        if setting.rows == ANY and len(taken) >= 256:
            break
    return taken


def _two_steps(
    model: Any, examples: Sequence[Example], plan: Plan, card: Card, room: int
) -> tuple[float, float]:
    """(GiB at the peak, seconds of the second step). A processor's memory is not measured: the
    system shares it.
    """
    device = torch.device(card.device)
    if card.kind == "cuda":
        torch.cuda.reset_peak_memory_stats()
    held = torch.empty(room, dtype=torch.uint8, device=device) if card.kind == "cuda" else None
    model.train()
    for _ in range(2):
        began = time.perf_counter()
        laid = (
            lay_apart(examples)
            if plan.setting.apart
            else lay_flat(examples, max(map(len, examples)))
        )
        batch = laid.to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=plan.dtype == "bf16"):
            loss = loss_sum(model, batch) / max(1, len(batch.targets))
        loss.backward()
        if card.kind == "cuda":
            torch.cuda.synchronize()
    seconds = time.perf_counter() - began
    del held
    peak = float(torch.cuda.max_memory_allocated()) / GIB if card.kind == "cuda" else plan.total_gib
    return peak, seconds


def _half(setting: Setting, rows: int, tokens: int) -> Setting:
    if setting.rows == ANY:
        return replace(setting, tokens=tokens // 2)
    return replace(setting, rows=max(1, rows // 2))
