"""The loss of a batch: the decoder's hidden states, then head and cross-entropy where a token is
to be learnt.
"""

from typing import Any

import torch
from torch import Tensor

from trainer.layers.linear_cross_entropy import linear_cross_entropy
from trainer.layers.packed_attention import attention_arguments
from trainer.layers.packing import PackedBatch

# Where a model keeps the module around it whose forward is the loss, if its weights are sharded
# (`trainer.layers.sharding`).
SHARDED_LOSS = "_stillhouse_sharded_loss"


def hidden_states(model: Any, batch: PackedBatch) -> Tensor:
    """What the decoder makes of every token: [T, H], or [D * L, H] of a padded batch."""
    if SHARDED_LOSS in model.__dict__:
        return _sharded(model, batch, only_hidden=True)
    return hidden_states_here(model, batch)


def hidden_states_here(model: Any, batch: PackedBatch) -> Tensor:
    """`hidden_states` of weights that are whole in this process."""
    decoder = _causal_lm(model).get_decoder()
    hidden: Tensor = decoder(
        input_ids=batch.input_ids,
        position_ids=batch.position_ids,
        use_cache=False,
        **attention_arguments(decoder, batch),
    )[0]  # [1, T, H] or [D, L, H]
    return hidden.flatten(0, 1)


def loss_sum(model: Any, batch: PackedBatch) -> Tensor:
    """The sum (not the mean) of the cross-entropies of the N tokens in the loss, with its graph.

    `model` is a causal language model with `packed_attention` in force, with or without adapters.
    Divide by the loss tokens of the whole optimiser step: then no micro-batch size changes the loss
    or its gradient.
    """
    if SHARDED_LOSS in model.__dict__:
        return _sharded(model, batch)
    return loss_sum_here(model, batch)


def loss_sum_here(model: Any, batch: PackedBatch) -> Tensor:
    """`loss_sum` of weights that are whole in this process."""
    hidden = hidden_states_here(model, batch)[batch.loss_positions]  # [N, H]
    scale, softcap = logit_shape(_causal_lm(model).config.get_text_config())
    if scale != 1.0:
        hidden = hidden * scale
    return linear_cross_entropy(hidden, head_weight(model), batch.targets, softcap=softcap)


def logit_shape(config: Any) -> tuple[float, float]:
    """(scale, softcap) of a text model's logits x: softcap * tanh(scale * x / softcap), or scale * x
    where softcap is 0.

    Granite divides by `logits_scaling`, Cohere multiplies by `logit_scale`, Gemma caps.
    """
    scale = getattr(config, "logit_scale", None) or 1.0
    divisor = getattr(config, "logits_scaling", None) or 1.0
    softcap = getattr(config, "final_logit_softcapping", None) or 0.0
    return scale / divisor, softcap


def _sharded(model: Any, batch: PackedBatch, only_hidden: bool = False) -> Tensor:
    sharded_loss = model.__dict__[SHARDED_LOSS]
    result: Tensor = sharded_loss(batch, only_hidden)
    if not torch.is_grad_enabled():
        # A backward pass does this at its end. What stayed gathered would be dropped by the first
        # process alone, when it saves, which would then gather it alone.
        sharded_loss.reshard()
    return result


def head_weight(model: Any) -> Tensor:
    """The output head's matrix [V, H]."""
    weight: Tensor = _causal_lm(model).get_output_embeddings().weight
    return weight


def set_checkpointing(model: Any, enabled: bool) -> None:
    """Checkpointing on or off for the next forward pass, where the model was loaded with it."""
    for layer in getattr(_causal_lm(model).get_decoder(), "layers", ()):
        if hasattr(layer, "gradient_checkpointing"):
            layer.gradient_checkpointing = enabled


def _causal_lm(model: Any) -> Any:
    return model.get_base_model() if hasattr(model, "get_base_model") else model
