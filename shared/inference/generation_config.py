"""Decoding as it was asked for, and nothing of what a model's folder would add to it.

A model ships a `generation_config.json`, and transformers applies it wherever a call is silent:
Qwen2.5-Instruct's repetition penalty of 1.1 also with `do_sample=False`, and beams, n-gram bans,
suppressed or forced tokens alike. What is measured is then another decoding than the one that was
named.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

TOKENS = ("bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id")
# Said outright in a folder that we write: servers fill in what is missing.
NEUTRAL = {
    "do_sample": False,
    "temperature": 1.0,
    "top_p": 1.0,
    "repetition_penalty": 1.0,
    "no_repeat_ngram_size": 0,
}


def neutral(known: Any, **settings: Any) -> Any:
    """A fresh transformers `GenerationConfig`: the token ids of the one that is `known`, then
    `settings`.
    """
    tokens = {name: value for name in TOKENS if (value := getattr(known, name, None)) is not None}
    return type(known)(**(tokens | settings))


@contextmanager
def decoding(model: Any, temperature: float = 0.0, **settings: Any) -> Iterator[Any]:
    """Inside, `model` decodes greedily, or draws from its whole distribution at a `temperature`
    above 0.

    Gives the `generation_config` to call `model.generate` with. The model's own is out of the way
    meanwhile, since transformers fills what a given one leaves out from there. `model`:
    transformers', or with PEFT's adapters.
    """
    causal = model.get_base_model() if hasattr(model, "get_base_model") else model
    drawn: dict[str, Any] = {"do_sample": False}
    if temperature > 0:
        drawn = {"do_sample": True, "temperature": temperature, "top_p": 1.0, "top_k": 0}
    own = causal.generation_config
    asked = neutral(own, **(drawn | settings))
    causal.generation_config = neutral(own)
    try:
        yield asked
    finally:
        causal.generation_config = own
