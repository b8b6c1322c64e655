"""The key-value cache of rows that come and go, and attention over it, for any decoder that
transformers can run.

Each row of the batch owns a slot: `capacity` places for keys and values, filled from 0 to the row's
own length. No row is padded, so there is no left padding and no position to correct: place i of a
slot is position i of that row. Prompts are read in right-padded groups under a plain causal mask
(what a pad token sees or says is never used); then every row takes one token a step, at its own
position. A row that ends leaves its slot; a new one may take it at once.

    slots = Slots(model, rows=32, capacity=512)
    with slots.reading(first_row=0):           # prompts [n, longest]
        model(input_ids=…, position_ids=…, past_key_values=slots, slots=slots)
    with slots.stepping(positions):            # one token a row: [n, 1]
        model(input_ids=…, position_ids=…, past_key_values=slots, slots=slots)
"""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

ATTENTION = "stillhouse_slots"


class Slots:
    """Keys and values of all layers in one tensor: [layers, 2, rows, kv heads, capacity, head
    size].
    """

    is_compileable = False

    def __init__(
        self, config: Any, rows: int, capacity: int, dtype: torch.dtype, device: torch.device
    ) -> None:
        self.rows, self.capacity = rows, capacity
        heads = config.num_key_value_heads
        size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        # zeros, since even a weight of 0 on an uninitialised NaN is NaN
        self.kv = torch.zeros(
            config.num_hidden_layers, 2, rows, heads, capacity, size, dtype=dtype, device=device
        )
        # the kernel reads each row's own length; elsewhere a bias hides what lies beyond it
        self.by_kernel = (
            device.type == "cuda" and find_spec("triton") is not None and size.bit_count() == 1
        )
        self._first_row: int | None = None  # while reading prompts
        self._index = (
            torch.empty(0),
            torch.empty(0),
        )  # while stepping: (row, position) of each new token
        self.lengths = torch.empty(0)  # while stepping: [n] int32, the new token counted
        self.span = 0  # while stepping: no length is above it
        self.bias = torch.empty(0)

    @contextmanager
    def reading(self, first_row: int) -> Iterator[None]:
        """The next forward call reads prompts [n, longest] into slots from `first_row` on."""
        self._first_row = first_row
        yield
        self._first_row = None

    @contextmanager
    def stepping(self, positions: torch.Tensor, span: int) -> Iterator[None]:
        """The next forward call adds one token to each of the first n rows at `positions` [n],
        each below `span`.
        """
        self._index = (torch.arange(len(positions), device=positions.device), positions)
        self.lengths = (positions + 1).to(torch.int32)
        self.span = span
        if not self.by_kernel:
            unseen = torch.arange(span, device=positions.device)[None, :] > positions[:, None]
            bias = torch.zeros(unseen.shape, dtype=self.kv.dtype, device=positions.device)
            self.bias = bias.masked_fill_(unseen, -torch.inf)[:, None, None, :]
        yield

    def move(self, source: int, target: int, length: int) -> None:
        """Copy a row of `length` tokens into another slot."""
        self.kv[:, :, target, :, :length] = self.kv[:, :, source, :, :length]

    def grow(self, capacity: int) -> None:
        """Make room for longer rows, keeping what is there."""
        old = self.kv
        self.kv = torch.zeros(
            *old.shape[:4], capacity, old.shape[5], dtype=old.dtype, device=old.device
        )
        self.kv[..., : self.capacity, :] = old
        self.capacity = capacity

    @property
    def is_reading(self) -> bool:
        return self._first_row is not None

    # What transformers asks of a cache

    def update(
        self, key: torch.Tensor, value: torch.Tensor, layer_idx: int, *_: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Store new keys and values [n, kv heads, tokens, size]; give back what attention needs
        of this layer.
        """
        keys, values = self.kv[layer_idx]
        if self._first_row is not None:
            rows = slice(self._first_row, self._first_row + len(key))
            keys[rows, :, : key.shape[2]] = key
            values[rows, :, : key.shape[2]] = value
            return key, value
        rows_, positions = self._index
        keys[rows_, :, positions] = key[:, :, 0]
        values[rows_, :, positions] = value[:, :, 0]
        return keys[: len(key)], values[: len(key)]

    def get_seq_length(self, layer_idx: int = 0) -> int:
        return 0

    def get_max_cache_shape(self, layer_idx: int = 0) -> int:
        return self.capacity


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    slots: Slots | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Attention of query [n, heads, tokens, size] over slots; gives [n, tokens, heads, size]."""
    assert slots is not None, "the model was called without slots"
    if slots.is_reading:
        out = scaled_dot_product_attention(
            query, key, value, is_causal=True, scale=scaling, enable_gqa=True
        )
        return out.transpose(1, 2), None
    n, heads, _one, size = query.shape
    if slots.by_kernel:
        from shared.inference.attention_kernel import attend_rows

        return attend_rows(query, key, value, slots.lengths, scaling or size**-0.5), None
    # The heads that share keys become the query's tokens: nothing is repeated in memory.
    grouped = query.view(n, key.shape[1], heads // key.shape[1], size)
    seen = slots.span
    out = scaled_dot_product_attention(
        grouped, key[:, :, :seen], value[:, :, :seen], slots.bias, scale=scaling
    )
    return out.reshape(n, 1, heads, size), None


AttentionInterface.register(ATTENTION, attend)
