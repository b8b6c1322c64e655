"""One forward call over the key-value cache: prompts of unlike lengths, or one token a row."""

from collections.abc import Sequence
from typing import Any

import torch

from shared.inference.kv_cache import KVCache


def prefill_logits(
    model: Any,
    kv_cache: KVCache,
    texts: Sequence[Sequence[int]],
    first_row: int,
) -> torch.Tensor:
    """Read token sequences [n] into the slots from `first_row` on, which have room for them; logits
    [n, vocabulary] after each one's last token.
    """
    n = len(texts)
    device = model.device
    lengths = torch.tensor([len(token_ids) for token_ids in texts])
    longest = int(lengths.max())
    input_ids = torch.zeros(n, longest, dtype=torch.long)  # padded on the right
    for row, token_ids in enumerate(texts):
        input_ids[row, : len(token_ids)] = torch.as_tensor(token_ids)
    # Logits at each text's last token only: the model makes them at all last positions that
    # occur, [n, positions, vocabulary], and each text takes its own.
    last_positions, own = torch.unique(lengths - 1, return_inverse=True)
    positions = torch.arange(longest, device=device)
    with kv_cache.prefill(first_row):
        output = model(
            input_ids=input_ids.to(device),
            position_ids=positions.expand(n, -1),
            past_key_values=kv_cache,
            use_cache=True,
            kv_cache=kv_cache,
            logits_to_keep=last_positions.to(device),
        )
    logits: torch.Tensor = output.logits[torch.arange(n), own]
    return logits


def decode_logits(
    model: Any,
    kv_cache: KVCache,
    tokens: torch.Tensor,
    positions: torch.Tensor,
    span: int,
) -> torch.Tensor:
    """Read the newest `tokens` [n] of the first n rows into their slots at `positions` [n], after
    which no row is longer than `span`; logits [n, vocabulary] after them.
    """
    # A slot that no row holds is computed along in a graph: it stays inside its own bounds.
    positions = positions.clamp(max=kv_cache.capacity - 1)
    with kv_cache.decode(positions, span):
        output = model(
            input_ids=tokens[:, None],
            position_ids=positions[:, None],
            past_key_values=kv_cache,
            use_cache=True,
            kv_cache=kv_cache,
        )
    logits: torch.Tensor = output.logits[:, -1]
    return logits
