"""Which students may have examples packed end to end, and which must see one example a row.

Attention keeps to its segment (`packed_attention`). Layers that carry a state from token to token
(Mamba, linear attention, short convolutions) do not: packed end to end, an example would begin with
what the one before it left behind. For them examples stand one a row, padded on the right, which no
earlier token sees.
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
SAMPLE_TOKENS = 16
# Relative difference of hidden states that counts as a leak. It would be 0 without one, but for
# experts, whose products are cut by what else came to them.
TOLERANCE = {"bf16": 2e-2, "fp32": 1e-5}


def carries_state(config: Any) -> bool:
    """Whether a transformers configuration has layers that carry a state: by its layer types,
    else by its keys.
    """
    for name in ("layer_types", "layers_block_type"):
        types = getattr(config, name, None)
        if types:
            return not set(types) <= ATTENTION_LAYERS
    return any(
        key.lower().startswith(STATE_KEYS) and value for key, value in config.to_dict().items()
    )


def sees_neighbours(model: Any, device: Any, dtype: str) -> bool:
    """Whether an example packed behind another one depends on it, as the loaded model does it:
    the last word, since a configuration need not say what its layers do.

    `dtype`: "bf16" under autocast, or "fp32".
    """
    import torch

    from trainer.data.examples import Example
    from trainer.layers.loss import hidden_states
    from trainer.layers.packing import pack_examples

    vocabulary = model.get_input_embeddings().weight.shape[0]
    generator = torch.Generator().manual_seed(0)
    neighbour, another_neighbour, sample = (
        torch.randint(vocabulary, (SAMPLE_TOKENS,), generator=generator).tolist() for _ in range(3)
    )
    training = model.training
    model.eval()
    outputs = []
    with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=dtype == "bf16"):
        for token_ids in (neighbour, another_neighbour):
            examples = [Example("", "", "", 0, array("i", ids), 1) for ids in (token_ids, sample)]
            hidden = hidden_states(model, pack_examples(examples).to(device))  # [T, H]
            outputs.append(hidden[-SAMPLE_TOKENS:].float())
    model.train(training)
    difference = (outputs[0] - outputs[1]).norm(dim=-1) / outputs[0].norm(dim=-1)
    return bool(difference.max() > TOLERANCE[dtype])
