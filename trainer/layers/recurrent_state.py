"""Which students may have examples laid end to end, and which must see one example a row.

Attention keeps to its segment (`flat.segment_attention`). Layers that carry a state from token to
token (Mamba, linear attention, short convolutions) do not: laid end to end, an example would begin
with what the one before it left behind. For them examples stand side by side, padded on the right,
which no earlier token sees.
"""

from array import array
from typing import Any

ATTENTION_LAYERS = {"full_attention", "attention", "sliding_attention"}
STATE_KEYS = (
    "mamba",
    "ssm",
    "conv_l",
    "linear_conv",
    "linear_attention",
    "lru",
    "rwkv",
    "time_step",
)
PLAYED_TOKENS = 16


def carries_state(config: Any) -> bool:
    """Whether a transformers configuration has layers that carry a state: by its layer types,
    else by its keys.
    """
    for name in ("layer_types", "layers_block_type"):
        if types := getattr(config, name, None):
            return not set(types) <= ATTENTION_LAYERS
    return any(
        key.lower().startswith(STATE_KEYS) and value for key, value in config.to_dict().items()
    )


def sees_neighbours(model: Any, device: Any, dtype: str) -> bool:
    """Whether an example laid behind another one depends on it, as the loaded model does it: the
    last word.

    A configuration need not say what its layers do. `dtype`: "bf16" under autocast, or "fp32".
    """
    import torch

    from trainer.data.examples import Example
    from trainer.layers.packing import hidden_states, lay_flat

    vocabulary = model.get_input_embeddings().weight.shape[0]
    generator = torch.Generator().manual_seed(0)
    first, other, behind = (
        torch.randint(vocabulary, (PLAYED_TOKENS,), generator=generator).tolist() for _ in range(3)
    )
    training = model.training
    model.eval()
    seen = []
    with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=dtype == "bf16"):
        for before in (first, other):
            rows = [Example("", "", "", 0, array("i", ids), 1) for ids in (before, behind)]
            hidden = hidden_states(model, lay_flat(rows).to(device))
            seen.append(hidden[-PLAYED_TOKENS:].float())
    model.train(training)
    # Equal in every bit where nothing is seen, but for experts, whose products are cut by what else
    # came to them.
    difference = (seen[0] - seen[1]).norm(dim=-1) / seen[0].norm(dim=-1)
    return bool(difference.max() > (2e-2 if dtype == "bf16" else 1e-5))
