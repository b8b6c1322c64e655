"""What a step of a model takes: memory by part, and arithmetic. Pure formulas of the model's shape."""

from dataclasses import dataclass

from trainer.config import TrainerConfig
from trainer.planning.hardware import GIB
from trainer.planning.shape import Shape

ANY = 1 << 40  # "no limit" of rows or tokens
CHUNK_LOGITS = 1 << 26  # as `trainer.layers.linear_cross_entropy`, which imports torch, cuts them
MIN_ROWS = 64


@dataclass(frozen=True, slots=True)
class Setting:
    """One way to run a step."""

    tokens: int  # in a micro-batch at most
    rows: int
    checkpointing: bool  # activations are computed again
    padded: bool = False  # one example a row: for layers that carry a state from token to token
    sharded: bool = False  # the weights, over all cards (FSDP2)


def memory(
    shape: Shape,
    config: TrainerConfig,
    dtype: str,
    setting: Setting,
    longest: int,
    cards: int = 1,
) -> dict[str, float]:
    """GiB by part, on one of `cards`. Activations are counted tensor by tensor of a Llama-like
    layer with LoRA on every linear map.
    """
    full = config.method == "full"
    size = 2 if dtype == "bf16" else 4  # bytes a number
    holders = cards if setting.sharded else 1
    if full:
        weights = shape.parameters * 4.0 / holders
        optimiser = shape.parameters * 12.0 / holders  # gradient and two moments
    else:
        weights = shape.parameters * (0.6 if config.method == "qlora" else size) / holders
        optimiser = shape.adapters(config.lora.r) * 16.0  # the masters as well
    tokens = setting.rows * longest
    if setting.rows == ANY:
        tokens = max(setting.tokens, longest)
    rows = min(tokens, max(MIN_ROWS, CHUNK_LOGITS // shape.vocabulary))
    parts = {
        "weights": weights,
        "gradients and optimiser" if full else "adapters and optimiser": optimiser,
        "activations": tokens * size * _activations_a_token(shape, config, setting),
        "logits": rows * shape.vocabulary * (4.0 + size) + (4.0 * shape.head if full else 0.0),
        "runtime": (0.9 if dtype == "bf16" else 0.5) * GIB,
    }
    if setting.sharded:
        parts["gathered"] = _gathered(shape, size, full)
    return {name: num_bytes / GIB for name, num_bytes in parts.items()}


def _gathered(shape: Shape, size: int, full: bool) -> float:
    """Bytes of what is whole for a while where weights are sharded: the embedding and the head as
    long as a step takes, a layer while the next one is gathered, and (full) their gradients.
    """
    ends = shape.head * (1 if shape.tied else 2)
    layers = 2 * shape.layer_weights
    if not full:
        return size * (ends + layers)
    # and its gradient, in float32 as well while it is summed
    return size * (ends + layers) + (size + 4) * layers


def _activations_a_token(shape: Shape, config: TrainerConfig, setting: Setting) -> float:
    """Numbers kept of each token for the backward pass, over all layers.

    Fitted to peaks on H100s: 1.5B and 7B shapes, 6,800 to 32,600 tokens, kept and computed again
    (docs/experiments/trainer.md).
    """
    hidden = shape.hidden
    inner = shape.inner
    queries = shape.queries
    keys = shape.keys
    if config.method == "lora" and not config.lora.dropout and not setting.sharded:
        # as `trainer.layers.fused_lora` keeps them
        layer = 5 * hidden + 3 * inner + 2 * queries + 2 * keys
        recomputed_layers = 1.2
    else:
        # a residual stream in float32 beside products in bfloat16, where that is the precision
        layer = 9 * hidden + 4 * inner + 5 * queries + 4 * keys
        recomputed_layers = 1.2
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
