"""One way to generate: probe, merge proof, chat and evaluation all decode here, by the fastest
decoder that the model's architecture allows.

    prompts = [Prompt(token_ids, limit=512) for token_ids in …]
    answers = generate(model, prompts, Sampling(stop_ids=stop_token_ids(tokenizer, chat, model)))
"""

from collections.abc import Sequence
from typing import Any

import torch

from shared.inference.continuous_batching import Decoder
from shared.inference.hf_generate import HfDecoder
from shared.inference.kv_cache import cache_dtype, has_plain_attention, rows_that_fit
from shared.inference.requests import (
    Generated,
    OnStep,
    OnTokens,
    Prompt,
    Sampling,
    ignore_tokens,
)

_SELF_CHECK = 2e-2  # largest difference of probabilities between our attention and the model's own
MOST_ROWS = 64  # of a batch whose caller names no number

DecoderKind = type[Decoder] | type[HfDecoder]


def generate(
    model: Any,
    prompts: Sequence[Prompt],
    sampling: Sampling,
    on_tokens: OnTokens = ignore_tokens,
    on_step: OnStep | None = None,
    kind: DecoderKind | None = None,
) -> list[Generated]:
    """The answers to all prompts, in their order. `model`: transformers', or with PEFT's adapters.

    `kind`: what `decoder_kind` said of this model before; asked anew where it is None.
    """
    if not prompts:
        return []
    longest = max(len(prompt.ids) + prompt.limit for prompt in prompts)
    most_rows = min(MOST_ROWS, len(prompts))
    config = model.config.get_text_config()
    rows = rows_that_fit(config, cache_dtype(model), model.device, longest, most_rows)
    kind = kind or decoder_kind(model, prompts[0].ids, longest)
    answers: dict[int, Generated] = {}
    kind(model, rows, sampling).run(prompts, answers.__setitem__, on_tokens, on_step)
    return [answers[index] for index in range(len(prompts))]


def decoder_kind(
    model: Any,
    token_ids: Sequence[int],
    longest: int = 0,
) -> DecoderKind:
    """Which decoder serves this model: ours where it says of the token after `token_ids` what the
    model's own attention says.

    transformers' `generate` else: slower, but right for every architecture that it has.
    `longest`: tokens of the longest prompt with its answer, where known.
    """
    if not has_plain_attention(model.config.get_text_config(), longest) or len(token_ids) < 2:
        return HfDecoder
    own_probabilities = next_probabilities(model, token_ids)
    probabilities = Decoder(model, 1, Sampling()).next_probabilities(token_ids)
    is_same = float((probabilities - own_probabilities).abs().max()) <= _SELF_CHECK
    return Decoder if is_same else HfDecoder


def next_probabilities(model: Any, token_ids: Sequence[int]) -> torch.Tensor:
    """Probabilities [vocabulary] of the token after `token_ids`, by the model's own attention."""
    input_ids = torch.tensor([list(token_ids)], device=model.device)  # [1, tokens]
    with torch.inference_mode():
        logits = model(input_ids=input_ids, logits_to_keep=1).logits  # [1, 1, vocabulary]
    return torch.softmax(logits[0, -1].float(), -1)
