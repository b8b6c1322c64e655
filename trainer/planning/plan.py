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
from trainer.data.data_order import micro_batches
from trainer.planning.hardware import GIB, Card
from trainer.planning.shape import Shape

ANY = 1 << 40  # "no limit" of rows or tokens


TOKENS = (1024, 2048, 4096, 8192, 16384, 32768)  # sizes of a packed micro-batch that are tried


FEW_STEPS = 250  # optimiser steps; measured, docs/experiments/effect.md


ENOUGH_STEPS = 500


MOST_EPOCHS = 8  # that are advised where steps are few


CHUNK_LOGITS = 1 << 26  # as `trainer.layers.linear_cross_entropy`, which imports torch, cuts them


MIN_ROWS = 64


AS_FAST = 0.97  # of the fastest: no estimate tells these apart


CUDA_SHARE = 0.92  # of the free memory that an estimate may fill


CPU_SHARE = 0.8


LOSS_SHARE = 0.9  # of the tokens that are learnt, of a long trace


SAMPLED_STEPS = 64  # from which the number of micro-batches is estimated


UNSLOTH_TOKENS = 8192  # the size that was measured; it keeps a 1.5B model under 8 GiB


@dataclass(frozen=True, slots=True)
class Setting:
    """One way to run a step."""

    tokens: int  # in a micro-batch at most
    rows: int
    checkpointing: bool  # activations are computed again
    padded: bool = False  # one example a row: for layers that carry a state from token to token


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
        compiled = ", layers compiled" if self.compile else ""
        cards = f" of {self.cards} cards together" if self.cards > 1 else ""
        return [
            f"memory: {self.total_gib:.2f} of {self.budget_gib:.1f} GiB expected ({parts})",
            f"micro-batch: {cut} {layout}, {self.micro_batches_a_step:.1f} a step; "
            f"checkpointing {checkpointing}, {self.dtype}{compiled}",
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
    card_batch = -(-batch // world)  # examples of a step on one card
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
    plans = [
        _expected(base, replace(setting, padded=padded), config, shape, lengths, card, card_batch)
        for setting in _settings(config, lengths, card_batch, backend)
    ]
    fitting = [plan for plan in plans if plan.total_gib <= base.budget_gib]
    if not fitting:
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


def memory(
    shape: Shape, config: TrainerConfig, dtype: str, setting: Setting, longest: int
) -> dict[str, float]:
    """GiB by part. Activations are counted tensor by tensor of a Llama-like layer with LoRA on
    every linear map.
    """
    full = config.method == "full"
    size = 2 if dtype == "bf16" else 4  # bytes a number
    if full:
        weights = shape.parameters * 4.0
        optimiser = shape.parameters * 12.0  # gradient and two moments
    else:
        weights = shape.parameters * (0.6 if config.method == "qlora" else size)
        optimiser = shape.adapters(config.lora.r) * 16.0  # the masters as well
    tokens = setting.rows * longest
    if setting.rows == ANY:
        tokens = max(setting.tokens, longest)
    rows = min(tokens, max(MIN_ROWS, CHUNK_LOGITS // shape.vocabulary))
    parts = {
        "weights": weights,
        "gradients and optimiser" if full else "adapters and optimiser": optimiser,
        "activations": tokens * size * _activations_a_token(shape, config, setting),
        "logits": rows * shape.vocabulary * (4.0 + size + (4.0 if full else 0.0)),
        "runtime": (0.9 if dtype == "bf16" else 0.5) * GIB,
    }
    return {name: num_bytes / GIB for name, num_bytes in parts.items()}


def _activations_a_token(shape: Shape, config: TrainerConfig, setting: Setting) -> float:
    """Numbers kept of each token for the backward pass, over all layers."""
    hidden = shape.hidden
    inner = shape.inner
    queries = shape.queries
    keys = shape.keys
    if config.method == "lora" and not config.lora.dropout:
        # as `trainer.layers.fused_lora` keeps them, one of the four wide ones to spare
        layer = 6 * hidden + 4 * inner + 3 * queries + 2 * keys
        recomputed_layers = 0.9
    else:
        layer = 7 * hidden + 4 * inner + 4 * queries + 3 * keys
        recomputed_layers = 1.5
    if not setting.checkpointing:
        return layer * shape.layers
    # each layer's input, beside one layer that is computed again
    return hidden * shape.layers + recomputed_layers * layer


def flops_per_token(
    shape: Shape, method: str, mean_length: float, loss_share: float, checkpointing: bool
) -> float:
    """Floating-point operations a token: forward, backward to the inputs, weight gradients (full),
    recomputation.

    `loss_share`: share of the tokens whose logits are made. LoRA's own small products are left out.
    """
    head_passes = 3 if method == "full" else 2
    passes = head_passes + 1 if checkpointing else head_passes
    # causal: half of each square
    attention = 2 * 2 * shape.queries * mean_length / 2 * shape.layers
    body = 2 * shape.layers * shape.layer_weights + attention
    return body * passes + 2 * shape.head * loss_share * head_passes


def _settings(
    config: TrainerConfig, lengths: Sequence[int], card_batch: int, backend: str
) -> list[Setting]:
    """All settings worth an estimate. `card_batch`: examples of a step on one card."""
    # With Unsloth nearly all of a step is spent on starting kernels (docs/experiments/trainer.md):
    # what checkpointing computes again hardly shows, and it saves most of the memory.
    auto = (True,) if backend == "unsloth" else (False, True)
    choices = {"auto": auto, "on": (True,), "off": (False,)}[config.train.checkpointing]
    if config.train.micro_batch != "auto":
        rows = min(config.train.micro_batch, card_batch)
        return [Setting(ANY, rows, checkpointing) for checkpointing in choices]
    largest = UNSLOTH_TOKENS if backend == "unsloth" else max(TOKENS)
    longest = max(lengths)
    # The tokens of the largest step on one card: no room beyond them is of use.
    starts = range(0, len(lengths), card_batch)
    most = max(sum(lengths[start : start + card_batch]) for start in starts)
    sizes = sorted({max(min(size, most), longest) for size in TOKENS if size <= largest})
    return [Setting(size, ANY, checkpointing) for checkpointing in choices for size in sizes]


def _expected(
    base: Plan,
    setting: Setting,
    config: TrainerConfig,
    shape: Shape,
    lengths: Sequence[int],
    card: Card,
    card_batch: int,
) -> Plan:
    """`base` with a setting and what it is expected to take."""
    mean_length = sum(length * length for length in lengths) / sum(lengths)  # seen from a token
    flops = flops_per_token(shape, config.method, mean_length, LOSS_SHARE, setting.checkpointing)
    starts = range(0, min(len(lengths), SAMPLED_STEPS * card_batch), card_batch)
    steps = [lengths[start : start + card_batch] for start in starts]
    cuts = [micro_batches(step, setting.rows, setting.tokens, setting.padded) for step in steps]
    micro_batches_a_step = sum(map(len, cuts)) / len(cuts)
    tokens = sum(map(sum, steps)) / len(steps) / micro_batches_a_step  # of a micro-batch
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
        memory_gib=memory(shape, config, base.dtype, setting, max(lengths)),
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
    remedies.append("a lower train.max_length")
    remedies.append("a smaller model")
    return (
        f"{config.model} ({shape.parameters / 1e9:.2f} billion parameters) does not fit: one"
        f" longest example at a time needs about {leanest.total_gib:.1f} GiB, {card.name} leaves"
        f" {leanest.budget_gib:.1f}; use {', '.join(remedies[:-1])} or {remedies[-1]}"
    )
