"""What a run will take: memory by part, micro-batch, checkpointing, steps, time. Pure: the card is
data.

The formulas are estimates, to choose by and to refuse by before anything is loaded for long. Before
a run is believed, two real steps on the longest micro-batch are made (`rehearsal.rehearse`), and
the card has the last word.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from shared.durations import duration
from shared.errors import InputError
from trainer.config import TrainerConfig
from trainer.data.data_order import micro_batches
from trainer.planning.hardware import GIB, Card

ANY = 1 << 40  # "no limit" of rows or tokens
TOKENS = (1024, 2048, 4096, 8192, 16384, 32768)  # sizes of a flat micro-batch that are tried
FEW_STEPS, ENOUGH_STEPS = 250, 500  # optimiser steps; measured, docs/experiments/effect.md
UNSLOTH_TOKENS = 8192  # the size that was measured; it keeps a 1.5B model under 8 GiB


@dataclass(frozen=True, slots=True)
class Shape:
    """A decoder's dimensions, from its configuration."""

    layers: int
    hidden: int
    inner: int  # of the MLP
    queries: int  # heads x head dimension
    keys: int  # key-value heads x head dimension
    vocabulary: int
    tied: bool

    @classmethod
    def of(cls, config: Any) -> "Shape":
        head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        kv_heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
        return cls(
            config.num_hidden_layers,
            config.hidden_size,
            config.intermediate_size,
            config.num_attention_heads * head,
            kv_heads * head,
            config.vocab_size,
            bool(config.tie_word_embeddings),
        )

    @property
    def layer_weights(self) -> int:
        """Weights of the linear maps of one layer."""
        return self.hidden * (2 * self.queries + 2 * self.keys + 3 * self.inner)

    @property
    def head(self) -> int:
        return self.vocabulary * self.hidden

    @property
    def parameters(self) -> int:
        return self.layers * self.layer_weights + self.head * (1 if self.tied else 2)

    def adapters(self, r: int) -> int:
        """LoRA weights of rank r on every linear map."""
        each = 4 * self.hidden + 2 * self.queries + 2 * self.keys + 3 * (self.hidden + self.inner)
        return self.layers * r * each


@dataclass(frozen=True, slots=True)
class Setting:
    """One way to run a step."""

    tokens: int  # in a micro-batch at most
    rows: int
    checkpointing: bool  # activations are computed again ...
    keep: int = 0  # ... by micro-batches of more tokens than this
    apart: bool = (
        False  # one example a row, padded: for layers that carry a state from token to token
    )


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
        return sum(self.memory_gib.values())

    @property
    def seconds(self) -> float:
        return self.tokens / self.tokens_per_second

    def lines(self) -> list[str]:
        parts = ", ".join(f"{name} {gib:.2f}" for name, gib in self.memory_gib.items())
        cut = (
            f"at most {self.setting.tokens:,} tokens"
            if self.setting.rows == ANY
            else f"{self.setting.rows} examples"
        )
        laid = "one example a row, padded" if self.setting.apart else "end to end without padding"
        return [
            f"memory: {self.total_gib:.2f} of {self.budget_gib:.1f} GiB expected ({parts})",
            f"micro-batch: {cut} {laid}, {self.micro_batches_a_step:.1f} a step; "
            f"checkpointing {'on' if self.setting.checkpointing else 'off'}, {self.dtype}"
            + (", layers compiled" if self.compile else ""),
            f"run: {self.steps:,} steps, {self.tokens:,} tokens, about {duration(self.seconds)} "
            f"({self.tokens_per_second:,.0f} tokens/s expected"
            + (f" of {self.cards} cards together)" if self.cards > 1 else ")"),
        ]


def context_length(config: Any) -> int:
    """Positions that a transformers configuration knows, its RoPE scaling included; 0 where it
    does not say.
    """
    known = int(getattr(config, "max_position_embeddings", 0) or 0)
    rope = getattr(config, "rope_parameters", None) or {}
    original = int(rope.get("original_max_position_embeddings") or 0)
    factor = float(rope.get("factor") or 1.0)
    if rope.get("rope_type") in ("linear", "dynamic", "yarn"):
        return max(known, round(factor * (original or known)))
    return known  # llama3's and longrope's already count it


def few_steps(config: TrainerConfig, steps: int, examples: int) -> str:
    """What to say of a run that is over before it has learnt much; "" where it is not, or is
    short on purpose.
    """
    if steps >= FEW_STEPS or config.train.max_steps or config.train.epochs < 1:
        return ""
    epochs = min(8, -(-ENOUGH_STEPS * config.train.epochs // steps))
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
    apart: bool = False,
) -> Plan:
    """The fastest setting that fits the card. `lengths`: tokens of each example of the whole run,
    in its order; `apart`: one example a row (`trainer.layers.recurrent_state`).

    Raises `InputError` where not even one longest example at a time fits.
    """
    dtype = precision(config, card)
    budget = (config.train.memory_gib or card.free_gib) * (0.92 if card.kind == "cuda" else 0.8)
    longest = max(lengths)
    batch = config.train.batch
    share = -(-batch // world)  # examples of a step on one card
    steps = -(-len(lengths) // batch)
    steps = min(steps, config.train.max_steps or steps)
    base = Plan(
        Setting(longest, 1, checkpointing=False),
        {},
        budget,
        dtype,
        False,
        steps,
        sum(lengths[: steps * batch]),
        0.0,
        1.0,
        0.0,
        world,
    )
    most = max(
        sum(lengths[i : i + share]) for i in range(0, len(lengths), share)
    )  # in one step: no room beyond it
    plans = [
        _judged(base, replace(setting, apart=apart), config, shape, lengths, card, share)
        for setting in _settings(config, longest, most, share, backend)
    ]
    fitting = [plan for plan in plans if plan.total_gib <= budget]
    if not fitting:
        least = min(plans, key=lambda plan: plan.total_gib)
        raise InputError(_too_big(config, shape, card, least))
    best = max(plan.tokens_per_second for plan in fitting)
    # The leanest of those that are as fast as the fastest, within what the estimate can tell apart.
    chosen = min(
        (p for p in fitting if p.tokens_per_second >= 0.97 * best), key=lambda plan: plan.total_gib
    )
    return replace(
        chosen, compile=config.train.compile and card.kind == "cuda" and backend != "unsloth"
    )


def precision(config: TrainerConfig, card: Card) -> Literal["bf16", "fp32"]:
    if config.train.precision != "auto":
        return config.train.precision
    return "bf16" if card.bf16 else "fp32"


def memory(
    shape: Shape, config: TrainerConfig, dtype: str, setting: Setting, longest: int
) -> dict[str, float]:
    """GiB by part. Activations are counted tensor by tensor of a Llama-like layer with LoRA on
    every linear map.
    """
    size = 2 if dtype == "bf16" else 4
    weights = shape.parameters * (0.6 if config.method == "qlora" else size)
    if config.method == "full":
        weights, trained = shape.parameters * 4.0, shape.parameters
    else:
        trained = shape.adapters(config.lora.r)
    tokens = max(setting.tokens, longest) if setting.rows == ANY else setting.rows * longest
    if (
        config.method == "lora" and not config.lora.dropout
    ):  # as `trainer.layers.fused_lora` keeps them, one of the four wide ones to spare
        layer, again = 6 * shape.hidden + 4 * shape.inner + 3 * shape.queries + 2 * shape.keys, 0.9
    else:
        layer, again = 7 * shape.hidden + 4 * shape.inner + 4 * shape.queries + 3 * shape.keys, 1.5
    edges = (
        shape.hidden * shape.layers
    )  # what checkpointing keeps, beside one layer that is computed again
    kept = (
        tokens * size * (edges + again * layer if setting.checkpointing else layer * shape.layers)
    )
    rows = min(tokens, max(64, (1 << 26) // shape.vocabulary))
    parts = {
        "weights": float(weights),
        "adapters and optimiser" if config.method != "full" else "gradients and optimiser": (
            trained * (16.0 if config.method != "full" else 12.0)
        ),
        "activations": float(kept),
        "logits": (
            rows * shape.vocabulary * (4.0 + size + (4.0 if config.method == "full" else 0.0))
        ),
        "runtime": (0.9 if dtype == "bf16" else 0.5) * GIB,
    }
    return {name: value / GIB for name, value in parts.items()}


def flops_per_token(
    shape: Shape, method: str, mean_length: float, learnt: float, checkpointing: bool
) -> float:
    """Floating-point operations a token: forward, backward to the inputs, weight gradients (full),
    recomputation.

    `learnt`: share of the tokens whose logits are made. LoRA's own small products are left out.
    """
    passes = 2 + (method == "full") + checkpointing
    attention = (
        2 * 2 * shape.queries * mean_length / 2 * shape.layers
    )  # causal: half of each square
    body = 2 * shape.layers * shape.layer_weights + attention
    return body * passes + 2 * shape.head * learnt * (2 + (method == "full"))


def _settings(
    config: TrainerConfig, longest: int, most: int, share: int, backend: str
) -> list[Setting]:
    # With Unsloth nearly all of a step is spent on starting kernels (docs/experiments/trainer.md):
    # what checkpointing computes again hardly shows, and it saves most of the memory.
    auto = (True,) if backend == "unsloth" else (False, True)
    ways = {"auto": auto, "on": (True,), "off": (False,)}[config.train.checkpointing]
    if config.train.micro_batch != "auto":
        return [
            Setting(ANY, min(config.train.micro_batch, share), checkpointing)
            for checkpointing in ways
        ]
    known = UNSLOTH_TOKENS if backend == "unsloth" else max(TOKENS)
    sizes = sorted({max(min(size, most), longest) for size in TOKENS if size <= known})
    return [Setting(size, ANY, checkpointing) for checkpointing in ways for size in sizes]


def _judged(
    base: Plan,
    setting: Setting,
    config: TrainerConfig,
    shape: Shape,
    lengths: Sequence[int],
    card: Card,
    share: int,
) -> Plan:
    mean = sum(length * length for length in lengths) / sum(lengths)  # seen from a token
    flops = flops_per_token(shape, config.method, mean, 0.9, setting.checkpointing)
    sample = [lengths[i : i + share] for i in range(0, min(len(lengths), 64 * share), share)]
    cuts = [micro_batches(step, setting.rows, setting.tokens, setting.apart) for step in sample]
    micros = sum(map(len, cuts)) / len(cuts)
    filled = sum(map(sum, sample)) / len(sample) / micros
    if (
        card.kind == "cuda"
    ):  # half of the peak once about 2,000 tokens are there to share out; a launch cost below
        rate = (card.peak_tflops or 100.0) * 1e12 * 0.5 * filled / (filled + 1500)
    else:
        rate = (card.peak_tflops or 0.1) * 1e12 * 0.5 * filled / (filled + 30)
    return replace(
        base,
        setting=setting,
        memory_gib=memory(shape, config, base.dtype, setting, max(lengths)),
        flops_per_token=flops,
        tokens_per_second=base.cards * rate / flops,
        micro_batches_a_step=micros,
    )


def _too_big(config: TrainerConfig, shape: Shape, card: Card, least: Plan) -> str:
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
        f" longest example at a time needs about {least.total_gib:.1f} GiB, {card.name} leaves"
        f" {least.budget_gib:.1f}; use {', '.join(remedies[:-1])} or {remedies[-1]}"
    )
