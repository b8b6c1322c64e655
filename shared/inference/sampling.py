"""Which token comes next. A sampled answer depends on its own stream of random numbers alone,
never on its batch.
"""

import hashlib

import numpy as np
import torch


def uniforms(seed: int, question: str, sample: int, count: int) -> torch.Tensor:
    """[count] float32 in [0, 1): the stream of one answer, the same on every machine and in
    every batch.
    """
    digest = hashlib.sha256(f"{seed} {question} {sample}".encode()).digest()
    key = int.from_bytes(digest[:16], "big")
    stream = np.random.Generator(np.random.Philox(key=key))
    draws = stream.random(count, dtype=np.float32)
    return torch.from_numpy(draws)


def next_tokens(
    logits: torch.Tensor,
    temperature: float,
    top_p: float,
    draws: torch.Tensor,
    top_k: int = 0,
    min_p: float = 0.0,
) -> torch.Tensor:
    """Next tokens [n] from logits [n, vocabulary] and one draw a row [n]: greedy at temperature 0,
    else by inversion.

    Inversion: the first token whose cumulated probability exceeds the draw. With top_k only so many
    of the likeliest tokens take part (0: all); with top_p below 1 of these only the likeliest whose
    probabilities first reach top_p (Holtzman et al., 2020); with min_p only those of at least that
    share of the likeliest one's probability (Nguyen et al., 2024). The order is transformers'.
    """
    if temperature == 0:
        return logits.argmax(-1)
    probabilities = torch.softmax(logits.float() / temperature, -1)
    if top_p >= 1 and not top_k and not min_p:
        return _invert(probabilities, draws)
    descending, token_ids = probabilities.sort(-1, descending=True)
    if top_k:
        descending[:, top_k:] = 0.0
    if top_p < 1:
        mass_before = descending.cumsum(-1) - descending  # [n, vocabulary], of all likelier tokens
        limits = top_p * descending.sum(-1, keepdim=True)  # [n, 1]
        descending = descending.masked_fill(mass_before >= limits, 0.0)
    if min_p:
        least = min_p * descending[:, :1]  # [n, 1]
        descending = descending.masked_fill(descending < least, 0.0)
    ranks = _invert(descending, draws)  # [n]
    return token_ids.gather(-1, ranks[:, None])[:, 0]


def _invert(weights: torch.Tensor, draws: torch.Tensor) -> torch.Tensor:
    """Indices [n] into weights [n, vocabulary], which need not sum to 1, at draws [n]."""
    cumulative = weights.cumsum(-1)
    targets = draws[:, None] * cumulative[:, -1:]
    indices = torch.searchsorted(cumulative, targets, right=True)[:, 0]
    # rounding may point past the last possible token
    zeros_at_end = weights.flip(-1).ne(0).int().argmax(-1)
    highest = weights.shape[-1] - 1 - zeros_at_end
    return torch.minimum(indices, highest)
