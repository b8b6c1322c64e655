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
    stream = np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "big")))
    return torch.from_numpy(stream.random(count, dtype=np.float32))


def choose(
    logits: torch.Tensor, temperature: float, top_p: float, draws: torch.Tensor
) -> torch.Tensor:
    """Next tokens [n] from logits [n, vocabulary] and one draw a row [n]: greedy at temperature 0,
    else inverted.

    Inversion: the first token whose cumulated probability exceeds the draw. With top_p below 1 only
    the most likely tokens whose probabilities first reach top_p take part (Holtzman et al., 2020).
    """
    if temperature == 0:
        return logits.argmax(-1)
    probabilities = torch.softmax(logits.float() / temperature, -1)
    if top_p >= 1:
        return _invert(probabilities, draws)
    ordered, tokens = probabilities.sort(-1, descending=True)
    before = ordered.cumsum(-1) - ordered
    chosen = _invert(ordered.masked_fill(before >= top_p, 0.0), draws)
    return tokens.gather(-1, chosen[:, None])[:, 0]


def _invert(weights: torch.Tensor, draws: torch.Tensor) -> torch.Tensor:
    cumulated = weights.cumsum(-1)
    target = draws[:, None] * cumulated[:, -1:]
    index = torch.searchsorted(cumulated, target, right=True)[:, 0]
    last = (
        weights.shape[-1] - 1 - weights.flip(-1).ne(0).int().argmax(-1)
    )  # rounding may point past the last possible token
    return torch.minimum(index, last)
