"""The key-value cache of rows that come and go, and attention over it, for any decoder that
transformers can run.

Each row of the batch owns a slot: `capacity` positions for keys and values, filled from 0 to the
row's own length. No row is padded, so there is no left padding and no position to correct: place i
of a slot is position i of that row. Prefill reads prompts in right-padded groups under a plain
causal mask (what a pad token sees or says is never used); then each decode step adds one token to
every row, at its own position. A row that ends leaves its slot; a new one may take it at once.

    kv_cache = KVCache(model.config, rows=32, capacity=512, dtype=model.dtype, device=model.device)
    with kv_cache.prefill(first_row=0):            # input_ids [n, longest]
        model(input_ids=…, position_ids=…, past_key_values=kv_cache, kv_cache=kv_cache)
    with kv_cache.decode(positions, span):         # input_ids [n, 1]
        model(input_ids=…, position_ids=…, past_key_values=kv_cache, kv_cache=kv_cache)
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

ATTENTION = "stillhouse_kv_cache"
_GPU_RESERVE = 3 << 30  # bytes left for activations, logits and the graphs' pool


class KVCache:
    """Keys and values of all layers in one tensor: [layers, 2, rows, kv_heads, capacity,
    head_dim].
    """

    is_compileable = False

    def __init__(
        self,
        config: Any,
        rows: int,
        capacity: int,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        self.rows = rows
        self.capacity = capacity
        head_dim = _head_dim(config)
        # zeros, since even a weight of 0 on an uninitialised NaN is NaN
        self.keys_values = torch.zeros(
            config.num_hidden_layers,
            2,
            rows,
            config.num_key_value_heads,
            capacity,
            head_dim,
            dtype=dtype,
            device=device,
        )
        # The kernel reads each row's own length; elsewhere a bias hides what lies beyond it.
        has_triton = device.type == "cuda" and find_spec("triton") is not None
        self.by_kernel = has_triton and head_dim.bit_count() == 1
        self._prefill_from: int | None = None  # the first row, during prefill
        # During a decode step of rows 0 … n - 1:
        self._rows_index = torch.empty(0)  # [n]
        self._positions = torch.empty(0)  # [n], where each row's new token goes
        self.lengths = torch.empty(0)  # [n] int32, the new token counted
        self.span = 0  # no length is above it
        self.bias = torch.empty(0)  # [n, 1, 1, span], -inf beyond a row's length

    @contextmanager
    def prefill(self, first_row: int) -> Iterator[None]:
        """The next forward call reads prompts [n, longest] into the slots from `first_row` on."""
        self._prefill_from = first_row
        try:
            yield
        finally:
            self._prefill_from = None

    @contextmanager
    def decode(self, positions: torch.Tensor, span: int) -> Iterator[None]:
        """The next forward call adds one token to each of the first n rows at `positions` [n],
        each below `span`.
        """
        self._rows_index = torch.arange(len(positions), device=positions.device)
        self._positions = positions
        self.lengths = (positions + 1).to(torch.int32)
        self.span = span
        if not self.by_kernel:
            unseen = torch.arange(span, device=positions.device)[None, :] > positions[:, None]
            bias = torch.zeros(unseen.shape, dtype=self.keys_values.dtype, device=positions.device)
            self.bias = bias.masked_fill_(unseen, -torch.inf)[:, None, None, :]
        yield

    def move(self, source: int, target: int, length: int) -> None:
        """Copy a row of `length` tokens into another slot."""
        self.keys_values[:, :, target, :, :length] = self.keys_values[:, :, source, :, :length]

    def grow(self, capacity: int) -> None:
        """Make room for longer rows, keeping what is there."""
        smaller = self.keys_values
        layers, two, rows, kv_heads, _, head_dim = smaller.shape
        self.keys_values = torch.zeros(
            layers,
            two,
            rows,
            kv_heads,
            capacity,
            head_dim,
            dtype=smaller.dtype,
            device=smaller.device,
        )
        self.keys_values[..., : self.capacity, :] = smaller
        self.capacity = capacity

    @property
    def is_prefill(self) -> bool:
        """Whether prompts are being read, rather than one token a row."""
        return self._prefill_from is not None

    # What transformers asks of a cache

    def update(
        self,
        key: torch.Tensor,
        value: torch.Tensor,
        layer_idx: int,
        *_: Any,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Store new keys and values [n, kv_heads, tokens, head_dim]; give back what attention
        needs of this layer: in prefill the same, in decode [n, kv_heads, capacity, head_dim].
        """
        keys, values = self.keys_values[layer_idx]  # each [rows, kv_heads, capacity, head_dim]
        if self._prefill_from is not None:
            rows = slice(self._prefill_from, self._prefill_from + len(key))
            keys[rows, :, : key.shape[2]] = key
            values[rows, :, : key.shape[2]] = value
            return key, value
        if self.by_kernel:
            from shared.inference.attention_kernel import store_rows

            store_rows(key, value, keys, values, self._positions)
            return keys[: len(key)], values[: len(key)]
        # Under autocast a rotary embedding may leave float32 keys beside bfloat16 values.
        keys[self._rows_index, :, self._positions] = key[:, :, 0].to(keys.dtype)
        values[self._rows_index, :, self._positions] = value[:, :, 0].to(values.dtype)
        return keys[: len(key)], values[: len(key)]

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """0: positions are given with each call, since each row has its own."""
        return 0

    def get_max_cache_shape(self, layer_idx: int = 0) -> int:
        """The capacity of a slot."""
        return self.capacity


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    kv_cache: KVCache | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Attention of query [n, heads, tokens, head_dim] over the cache; gives [n, tokens, heads,
    head_dim].
    """
    assert kv_cache is not None, "the model was called without its kv_cache"
    if kv_cache.is_prefill:
        out = scaled_dot_product_attention(
            query,
            key,
            value,
            is_causal=True,
            scale=scaling,
            enable_gqa=True,
        )
        return out.transpose(1, 2), None
    n, heads, _one, head_dim = query.shape
    query = query.to(key.dtype)
    if kv_cache.by_kernel:
        from shared.inference.attention_kernel import attend_rows

        scale = scaling or head_dim**-0.5
        return attend_rows(query, key, value, kv_cache.lengths, scale), None
    # The heads that share keys become the query's tokens: nothing is repeated in memory.
    kv_heads = key.shape[1]
    query_groups = query.view(n, kv_heads, heads // kv_heads, head_dim)
    span = kv_cache.span
    out = scaled_dot_product_attention(
        query_groups,
        key[:, :, :span],
        value[:, :, :span],
        kv_cache.bias,
        scale=scaling,
    )  # [n, kv_heads, heads / kv_heads, head_dim]
    return out.reshape(n, 1, heads, head_dim), None


AttentionInterface.register(ATTENTION, attend)


@contextmanager
def cached_attention(model: Any) -> Iterator[None]:
    """Inside, `model` attends over a `KVCache`; afterwards as it did before."""
    own_attention = model.config._attn_implementation
    model.set_attn_implementation(ATTENTION)
    try:
        yield
    finally:
        model.set_attn_implementation(own_attention)


def has_plain_attention(config: Any, longest: int = 0) -> bool:
    """Whether every layer attends to all earlier tokens in the usual way: what the slots can
    serve. Sliding windows, linear attention and capped logits are not.

    `longest`: tokens of the longest row, 0 where that is not known: a window or frequencies that
    change beyond it (LongRoPE) change nothing.
    """
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    is_capped = bool(getattr(config, "attn_logit_softcapping", None))
    if kinds != {"full_attention"} or is_capped or not hasattr(config, "num_key_value_heads"):
        return False
    plain_length = _plain_length(config)
    return plain_length is None or 0 < longest <= plain_length


def _plain_length(config: Any) -> int | None:
    """Up to how many tokens a row is attended to and rotated in the usual way; None: any number."""
    limits = []
    window = getattr(config, "sliding_window", None)
    # With layer types it is they that say which layers have a window.
    if window and not getattr(config, "layer_types", None):
        limits.append(window)
    rope = getattr(config, "rope_parameters", None) or {}
    if rope.get("rope_type") in ("longrope", "dynamic"):
        original = rope.get("original_max_position_embeddings")
        limits.append(original or config.max_position_embeddings)
    return min(limits, default=None)


def cache_dtype(model: Any) -> torch.dtype:
    """The precision of keys and values: autocast's inside it, else the model's."""
    kind = model.device.type
    if torch.is_autocast_enabled(kind):
        return torch.get_autocast_dtype(kind)
    dtype: torch.dtype = model.dtype
    return dtype


def rows_that_fit(
    config: Any,
    dtype: torch.dtype,
    device: torch.device,
    longest: int,
    most: int,
) -> int:
    """How many rows of `longest` tokens have room in what is free of a GPU's memory: 1 to `most`.

    On a CPU `most`: its memory grows with what is used.
    """
    if device.type != "cuda":
        return most
    bytes_per_token = (
        2
        * config.num_hidden_layers
        * getattr(config, "num_key_value_heads", config.num_attention_heads)
        * _head_dim(config)
        * dtype.itemsize
    )
    # What torch keeps of an earlier batch is free as well.
    gc.collect()
    torch.cuda.empty_cache()
    free_bytes, _ = torch.cuda.mem_get_info(device)
    fitting = (free_bytes - _GPU_RESERVE) // (bytes_per_token * longest)
    return int(max(1, min(most, fitting)))


def _head_dim(config: Any) -> int:
    head_dim = getattr(config, "head_dim", None)
    return int(head_dim or config.hidden_size // config.num_attention_heads)
