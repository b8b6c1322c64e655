"""What a run will take: memory by part, micro-batch, checkpointing, steps, time. Pure: the card is
data.

The formulas are estimates, to choose by and to refuse by before anything is loaded for long. Before
a run is believed, two real steps on the longest micro-batch are made (`memory_check.check_memory`),
and the card has the last word.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from shared.durations import duration
from shared.errors import InputError
from trainer.config import TrainerConfig
from trainer.data.data_order import micro_batches, shares
from trainer.planning.estimates import ANY, Setting, flops_per_token, memory
from trainer.planning.hardware import Card
from trainer.planning.shape import Shape

TOKENS = (1024, 2048, 4096, 8192, 16384, 32768)  # sizes of a packed micro-batch that are tried
FEW_STEPS = 250  # optimiser steps; measured, docs/experiments/effect.md
ENOUGH_STEPS = 500
MOST_EPOCHS = 8  # that are advised where steps are few
AS_FAST = 0.97  # of the fastest: no estimate tells these apart
CUDA_SHARE = 0.92  # of the free memory that an estimate may fill
CPU_SHARE = 0.8
LOSS_SHARE = 0.9  # of the tokens that are learnt, of a long trace
SAMPLED_STEPS = 64  # from which the number of micro-batches is estimated
UNSLOTH_TOKENS = 8192  # the size that was measured; it keeps a 1.5B model under 8 GiB


@dataclass(frozen=True, slots=True)
class Plan:
    """A setting, and what it is expected to take."""

    setting: Setting
    memory_gib: dict[str, float]  # by part
    budget_gib: float
    dtype: Literal["bf16", "fp32"]
    compile: bool
    steps: int
    tokens: int
    flops_per_token: float
    tokens_per_second: float  # expected, of all cards together
    micro_batches_a_step: float  # of one card
    cards: int = 1

    @property
    def total_gib(self) -> float:
        """Memory of all parts."""
        return sum(self.memory_gib.values())

    @property
    def seconds(self) -> float:
        """Time for the whole run."""
        return self.tokens / self.tokens_per_second

    def lines(self) -> list[str]:
        """The plan in words, for the user."""
        setting = self.setting
        parts = ", ".join(f"{name} {gib:.2f}" for name, gib in self.memory_gib.items())
        cut = f"{setting.rows} examples"
        if setting.rows == ANY:
            cut = f"at most {setting.tokens:,} tokens"
        layout = "one example a row, padded" if setting.padded else "end to end without padding"
        checkpointing = "on" if setting.checkpointing else "off"
        suffix = ", layers compiled" if self.compile else ""
        if setting.sharded:
            suffix += f", weights in shards over {self.cards} cards (FSDP2)"
        cards = f" of {self.cards} cards together" if self.cards > 1 else ""
        return [
            f"memory: {self.total_gib:.2f} of {self.budget_gib:.1f} GiB expected ({parts})",
            f"micro-batch: {cut} {layout}, {self.micro_batches_a_step:.1f} a step; "
            f"checkpointing {checkpointing}, {self.dtype}{suffix}",
            f"run: {self.steps:,} steps, {self.tokens:,} tokens, about {duration(self.seconds)} "
            f"({self.tokens_per_second:,.0f} tokens/s expected{cards})",
        ]


def few_steps(config: TrainerConfig, steps: int, examples: int) -> str:
    """What to say of a run that is over before it has learnt much; "" where it is not, or is
    short on purpose.
    """
    if steps >= FEW_STEPS or config.train.max_steps or config.train.epochs < 1:
        return ""
    epochs = min(MOST_EPOCHS, -(-ENOUGH_STEPS * config.train.epochs // steps))
    if epochs <= config.train.epochs:
        return ""
    return (
        f"note: {steps} optimiser steps are few for {examples:,} examples; train.epochs ="
        f" {epochs:g} may pay (SmolLM2-135M, 1,000 traces: 77 of 300 right after one epoch, 253"
        " after eight)"
    )


def make_plan(
    config: TrainerConfig,
    shape: Shape,
    lengths: Sequence[int],
    card: Card,
    world: int = 1,
    backend: str = "trl",
    padded: bool = False,
) -> Plan:
    """The fastest setting that fits the card. `lengths`: tokens of each example of the whole run,
    in its order; `padded`: one example a row (`trainer.layers.recurrent_state`).

    Raises `InputError` where not even one longest example at a time fits.
    """
    batch = config.train.batch
    steps = -(-len(lengths) // batch)
    steps = min(steps, config.train.max_steps or steps)
    base = Plan(
        setting=Setting(max(lengths), 1, checkpointing=False),
        memory_gib={},
        budget_gib=_budget_gib(config, card),
        dtype=precision(config, card),
        compile=config.train.compile and card.kind == "cuda" and backend != "unsloth",
        steps=steps,
        tokens=sum(lengths[: steps * batch]),
        flops_per_token=0.0,
        tokens_per_second=1.0,
        micro_batches_a_step=0.0,
        cards=world,
    )
    step_shares = Shares.of(lengths, batch, world)
    plans: list[Plan] = []
    for is_sharded in _sharding_choices(config, world, backend):
        plans = [
            _expected(base, replace(setting, padded=padded), config, shape, step_shares, card)
            for setting in _settings(config, step_shares, backend, is_sharded)
        ]
        fitting = [plan for plan in plans if plan.total_gib <= base.budget_gib]
        if fitting:
            break
    else:
        leanest = min(plans, key=lambda plan: plan.total_gib)
        raise InputError(_too_big(config, shape, card, leanest))
    best = max(plan.tokens_per_second for plan in fitting)
    # The leanest of those that are as fast as the fastest, within what the estimate can tell apart.
    fast = [plan for plan in fitting if plan.tokens_per_second >= AS_FAST * best]
    return min(fast, key=lambda plan: plan.total_gib)


def _budget_gib(config: TrainerConfig, card: Card) -> float:
    """Of what is free, or may be used, the part that estimates may fill."""
    share = CUDA_SHARE if card.kind == "cuda" else CPU_SHARE
    return (config.train.memory_gib or card.free_gib) * share


def precision(config: TrainerConfig, card: Card) -> Literal["bf16", "fp32"]:
    """The precision of the training's products."""
    if config.train.precision != "auto":
        return config.train.precision
    return "bf16" if card.bf16 else "fp32"


@dataclass(frozen=True, slots=True)
class Shares:
    """What one card gets of the steps: the fullest share of each counts, since all wait for it."""

    batch: int  # examples of a step on one card, at most
    longest: int  # tokens of the longest example
    most: int  # tokens of the fullest share of all steps
    sample: list[list[int]]  # the lengths in the fullest share of each of the first steps
    attended: float  # tokens of its example that a token sees, twice the mean

    @classmethod
    def of(cls, lengths: Sequence[int], batch: int, world: int) -> "Shares":
        """Of examples with these `lengths`, in the run's order, `batch` a step."""
        most = 0
        sample: list[list[int]] = []
        for start in range(0, len(lengths), batch):
            share = _fullest(lengths[start : start + batch], world)
            most = max(most, sum(share))
            if len(sample) < SAMPLED_STEPS:
                sample.append(share)
        attended_tokens = sum(length * length for length in lengths) / sum(lengths)
        return cls(-(-batch // world), max(lengths), most, sample, attended_tokens)


def _fullest(step: Sequence[int], world: int) -> list[int]:
    """The lengths of the largest share of a step."""
    if world == 1:
        return list(step)
    dealt = [[step[i] for i in indices] for indices in shares(step, world)]
    return max(dealt, key=sum)


def _sharding_choices(config: TrainerConfig, world: int, backend: str) -> tuple[bool, ...]:
    """Whether weights are sharded, the first choice first."""
    possible = world > 1 and backend == "trl" and config.method != "qlora"
    if not possible or config.train.fsdp == "off":
        return (False,)
    if config.train.fsdp == "on":
        return (True,)
    # Adapters on sharded weights are for those who ask: on cards their first updates were weaker
    # than those of a whole model, and the mend was not run there (docs/experiments/trainer.md).
    return (False, True) if config.method == "full" else (False,)


def _settings(config: TrainerConfig, steps: Shares, backend: str, sharded: bool) -> list[Setting]:
    """All settings worth an estimate."""
    # With Unsloth nearly all of a step is spent on starting kernels (docs/experiments/trainer.md):
    # what checkpointing computes again hardly shows, and it saves most of the memory. Who shards
    # has no memory to spare.
    auto = (True,) if backend == "unsloth" or sharded else (False, True)
    choices = {"auto": auto, "on": (True,), "off": (False,)}[config.train.checkpointing]
    if config.train.micro_batch != "auto":
        rows = min(config.train.micro_batch, steps.batch)
        return [Setting(ANY, rows, checkpointing, sharded=sharded) for checkpointing in choices]
    largest = UNSLOTH_TOKENS if backend == "unsloth" else max(TOKENS)
    # No room beyond the largest share is of use.
    sizes = sorted(
        {max(min(size, steps.most), steps.longest) for size in TOKENS if size <= largest}
    )
    return [
        Setting(size, ANY, checkpointing, sharded=sharded)
        for checkpointing in choices
        for size in sizes
    ]


def _expected(
    base: Plan,
    setting: Setting,
    config: TrainerConfig,
    shape: Shape,
    steps: Shares,
    card: Card,
) -> Plan:
    """`base` with a setting and what it is expected to take."""
    flops = flops_per_token(shape, config.method, steps.attended, LOSS_SHARE, setting.checkpointing)
    sample = steps.sample
    cuts = [micro_batches(step, setting.rows, setting.tokens, setting.padded) for step in sample]
    micro_batches_a_step = sum(map(len, cuts)) / len(cuts)
    tokens = sum(map(sum, sample)) / len(sample) / micro_batches_a_step  # of a micro-batch
    # Half of the peak once enough tokens are there to share out; a launch cost below.
    if card.kind == "cuda":
        peak = card.peak_tflops or 100.0
        launch_tokens = 1500
    else:
        peak = card.peak_tflops or 0.1
        launch_tokens = 30
    flops_per_second = peak * 1e12 * 0.5 * tokens / (tokens + launch_tokens)
    return replace(
        base,
        setting=setting,
        memory_gib=memory(shape, config, base.dtype, setting, steps.longest, base.cards),
        flops_per_token=flops,
        tokens_per_second=base.cards * flops_per_second / flops,
        micro_batches_a_step=micro_batches_a_step,
    )


def _too_big(config: TrainerConfig, shape: Shape, card: Card, leanest: Plan) -> str:
    remedies = []
    if config.method == "full":
        remedies.append('method = "lora"')
    elif config.method == "lora" and card.kind == "cuda":
        remedies.append('method = "qlora"')
    if config.train.checkpointing == "off":
        remedies.append('train.checkpointing = "auto"')
    if leanest.cards > 1 and config.method != "qlora" and not leanest.setting.sharded:
        remedies.append('train.fsdp = "on", which shards the weights over the cards')
    elif card.kind == "cuda" and config.method == "full":
        remedies.append("more cards (make train GPUS=…), which share the weights")
    remedies.append("a lower train.max_length")
    remedies.append("a smaller model")
    return (
        f"{config.model} ({shape.parameters / 1e9:.2f} billion parameters) does not fit: one"
        f" longest example at a time needs about {leanest.total_gib:.1f} GiB"
        f"{' a card' if leanest.cards > 1 else ''}, {card.name} leaves"
        f" {leanest.budget_gib:.1f}; use {', '.join(remedies[:-1])} or {remedies[-1]}"
    )
