"""Attention of one new token a row over slots of different lengths, as one Triton kernel. NVIDIA
GPUs only.

Each program instance serves one row and one key-value head, with all query heads that share it as
the rows of a small matrix product, and walks over just as many keys as that row has. Online softmax
as in FlashAttention (Dao et al., 2022).
"""

# Triton is there with an NVIDIA GPU only, and its language is not Python's.
# mypy: disable-error-code="import-not-found, no-untyped-def, untyped-decorator, unused-ignore"

from typing import Any

import torch
import triton
import triton.language as tl

BLOCK_KEYS = 64
SMALLEST_DOT = 16  # tl.dot wants at least 16 rows


@triton.jit
def _attend(
    query,
    key,
    value,
    lengths,
    out,
    scale,
    query_row,
    query_head,
    key_row,
    key_head,
    key_place,
    out_row,
    out_head,
    GROUP: tl.constexpr,
    ROWS: tl.constexpr,
    SIZE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64)
    head = tl.program_id(1).to(tl.int64)
    length = tl.load(lengths + row)
    member = tl.arange(0, ROWS)
    dim = tl.arange(0, SIZE)
    own = member[:, None] < GROUP
    q = tl.load(
        query + row * query_row + (head * GROUP + member)[:, None] * query_head + dim[None, :],
        mask=own,
        other=0.0,
    )
    base = row * key_row + head * key_head
    highest = tl.full((ROWS,), -float("inf"), tl.float32)
    total = tl.zeros((ROWS,), tl.float32)
    mixed = tl.zeros((ROWS, SIZE), tl.float32)
    for start in range(0, length, BLOCK):
        place = start + tl.arange(0, BLOCK)
        there = place < length
        k = tl.load(
            key + base + place[None, :] * key_place + dim[:, None], mask=there[None, :], other=0.0
        )
        score = tl.dot(q, k) * scale
        score = tl.where(there[None, :], score, -float("inf"))
        higher = tl.maximum(highest, tl.max(score, 1))
        weight = tl.exp(score - higher[:, None])
        fade = tl.exp(highest - higher)
        total = total * fade + tl.sum(weight, 1)
        v = tl.load(
            value + base + place[:, None] * key_place + dim[None, :], mask=there[:, None], other=0.0
        )
        mixed = mixed * fade[:, None] + tl.dot(weight.to(v.dtype), v)
        highest = higher
    result = mixed / total[:, None]
    target = out + row * out_row + (head * GROUP + member)[:, None] * out_head + dim[None, :]
    tl.store(target, result.to(out.dtype.element_ty), mask=own)


def attend_rows(query: Any, key: Any, value: Any, lengths: Any, scale: float) -> Any:
    """query [n, heads, 1, size] over key, value [n, kv heads, capacity, size] up to lengths [n];
    gives [n, 1, heads, size].
    """
    n, heads, _, size = query.shape
    group = heads // key.shape[1]
    out = torch.empty(n, 1, heads, size, dtype=query.dtype, device=query.device)
    query = query.contiguous()
    assert key.stride() == value.stride()
    assert key.stride(3) == 1
    _attend[(n, key.shape[1])](
        query,
        key,
        value,
        lengths,
        out,
        scale,
        query.stride(0),
        query.stride(1),
        key.stride(0),
        key.stride(1),
        key.stride(2),
        out.stride(0),
        out.stride(2),
        GROUP=group,
        ROWS=max(SMALLEST_DOT, triton.next_power_of_2(group)),
        SIZE=size,
        BLOCK=BLOCK_KEYS,
    )
    return out
