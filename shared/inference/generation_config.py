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


def neutral(shipped: Any, **settings: Any) -> Any:
    """A fresh transformers `GenerationConfig`: the token ids of the `shipped` one, then
    `settings`.
    """
    token_ids = {name: getattr(shipped, name, None) for name in TOKENS}
    set_token_ids = {name: value for name, value in token_ids.items() if value is not None}
    return type(shipped)(**(set_token_ids | settings))


@contextmanager
def greedy_decoding(model: Any, **settings: Any) -> Iterator[Any]:
    """Inside, `model.generate` decodes greedily, with `settings` and without any of its folder's.

    Gives the `generation_config` to call it with. The model's own is out of the way meanwhile,
    since transformers fills what a given one leaves out from there. `model`: transformers', or with
    PEFT's adapters.
    """
    causal = model.get_base_model() if hasattr(model, "get_base_model") else model
    own_config = causal.generation_config
    greedy = neutral(own_config, **({"do_sample": False} | settings))
    causal.generation_config = neutral(own_config)
    try:
        yield greedy
    finally:
        causal.generation_config = own_config
