"""Causal attention of packed examples: each sees itself alone."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from trainer.layers.packing import PackedBatch

ATTENTION = "stillhouse_segments"  # the name under which transformers finds `packed_attention`


def packed_attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    cu_seq_lens_q: Tensor | None = None,
    max_length_q: int = 0,
    segment_lengths: tuple[int, ...] | None = None,
    padded_rows: bool = False,
    sliding_window: int | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """Causal attention within each segment of a packed batch, or within each row (`padded_rows`).

    Shapes: query [1, heads, T, d], key and value [1, kv, T, d]; returned [1, T, heads, d]. Padded:
    as many rows as there are examples, instead of 1. `sliding_window`: a token sees itself and the
    `sliding_window` - 1 before it; None: all before it.

    On an NVIDIA GPU in half precision one variable-length flash kernel; elsewhere
    scaled_dot_product_attention for each segment: the same numbers, and still no work between
    segments.
    """
    if padded_rows:
        out = _causal_attention(query, key, value, scaling, sliding_window)
        return out.transpose(1, 2).contiguous(), None
    half_precision = query.is_cuda and query.dtype != torch.float32
    if segment_lengths is None and cu_seq_lens_q is not None and half_precision:
        query, key, value = (t[0].transpose(0, 1) for t in (query, key, value))  # [T, heads, d]
        out = _flash(query, key, value, cu_seq_lens_q, max_length_q, scaling, sliding_window)
        return out[None], None
    if segment_lengths is None:
        assert cu_seq_lens_q is not None, "packed attention needs the segments of a batch"
        segment_lengths = tuple(length for length in cu_seq_lens_q.diff().tolist() if length)
    segments = zip(*(t.split(segment_lengths, dim=2) for t in (query, key, value)), strict=True)
    outs = [_causal_attention(q, k, v, scaling, sliding_window) for q, k, v in segments]
    return torch.cat(outs, dim=2).transpose(1, 2).contiguous(), None


def _causal_attention(
    query: Tensor, key: Tensor, value: Tensor, scaling: float | None, window: int | None
) -> Tensor:
    """[D, heads, L, d] each, `key` and `value` with fewer heads perhaps; every row sees itself."""
    grouped_queries = query.shape[1] != key.shape[1]
    length = query.shape[2]
    mask = None
    if window is not None and window < length:
        position = torch.arange(length, device=query.device)
        distance = position[:, None] - position[None, :]  # [L, L]
        mask = (distance >= 0) & (distance < window)
    return functional.scaled_dot_product_attention(
        query, key, value, mask, is_causal=mask is None, scale=scaling, enable_gqa=grouped_queries
    )


def _flash(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    cu_seqlens: Tensor,
    max_seqlen: int,
    scaling: float | None,
    window: int | None,
) -> Tensor:
    """The flash kernel that PyTorch carries. Shapes: query [T, heads, d], key and value [T, kv,
    d].
    """
    left_window = None
    right_window = None
    if window is not None and window < max_seqlen:
        left_window = window - 1
        right_window = 0
    # Not nn.attention.varlen_attn: before PyTorch 2.12 it takes no grouped queries.
    out: Tensor = torch.ops.aten._flash_attention_forward(
        query,
        key,
        value,
        cu_seqlens,
        cu_seqlens,
        max_seqlen,
        max_seqlen,
        0.0,
        True,
        False,
        scale=scaling,
        window_size_left=left_window,
        window_size_right=right_window,
    )[0]
    return out


def register_attention() -> None:
    """Make ATTENTION known to transformers. No mask function goes with it: segments are all the
    mask there is.
    """
    from transformers import AttentionInterface

    AttentionInterface.register(ATTENTION, packed_attention)


def attention_arguments(decoder: Any, batch: PackedBatch) -> dict[str, Any]:
    """The segments of a batch in the words of whoever computes attention: Unsloth's own, or
    `packed_attention`.
    """
    if type(decoder).forward.__module__.startswith("unsloth"):
        if batch.padded:
            return {}
        return {"packed_seq_lengths": torch.tensor(batch.lengths, dtype=torch.int32)}
    if batch.padded:
        return {"padded_rows": True}
    if batch.input_ids.device.type == "cpu":
        return {"segment_lengths": batch.lengths}
    return {"cu_seq_lens_q": batch.cu_seqlens, "max_length_q": batch.max_seqlen}
