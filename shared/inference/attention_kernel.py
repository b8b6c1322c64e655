"""Attention of one new token a row over slots of different lengths, as one Triton kernel. NVIDIA
GPUs only.

Each program instance serves one row and one key-value head, with all query heads that share it as
the rows of a small matrix product, and walks over just as many keys as that row has. Online softmax
as in FlashAttention (Dao et al., 2022).
"""

# Triton is there with an NVIDIA GPU only, and its language is not Python's.
# mypy: disable-error-code="import-not-found, import-untyped, no-untyped-def, untyped-decorator, unused-ignore"

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
    key_position,
    out_row,
    out_head,
    GROUP: tl.constexpr,
    ROWS: tl.constexpr,
    SIZE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    # q [ROWS, SIZE]: the query heads of one key-value head, the first GROUP rows real.
    row = tl.program_id(0).to(tl.int64)
    head = tl.program_id(1).to(tl.int64)
    length = tl.load(lengths + row)
    group_row = tl.arange(0, ROWS)
    dim = tl.arange(0, SIZE)
    in_group = group_row[:, None] < GROUP
    q = tl.load(
        query + row * query_row + (head * GROUP + group_row)[:, None] * query_head + dim[None, :],
        mask=in_group,
        other=0.0,
    )
    slot = row * key_row + head * key_head
    maximum = tl.full((ROWS,), -float("inf"), tl.float32)
    weight_sum = tl.zeros((ROWS,), tl.float32)
    weighted_values = tl.zeros((ROWS, SIZE), tl.float32)
    # Online softmax: sums so far are rescaled whenever a block brings a larger score.
    for start in range(0, length, BLOCK):
        position = start + tl.arange(0, BLOCK)
        in_row = position < length
        k = tl.load(
            key + slot + position[None, :] * key_position + dim[:, None],
            mask=in_row[None, :],
            other=0.0,
        )
        score = tl.dot(q, k) * scale
        score = tl.where(in_row[None, :], score, -float("inf"))
        new_maximum = tl.maximum(maximum, tl.max(score, 1))
        weight = tl.exp(score - new_maximum[:, None])
        rescale = tl.exp(maximum - new_maximum)
        weight_sum = weight_sum * rescale + tl.sum(weight, 1)
        v = tl.load(
            value + slot + position[:, None] * key_position + dim[None, :],
            mask=in_row[:, None],
            other=0.0,
        )
        weighted_values = weighted_values * rescale[:, None] + tl.dot(weight.to(v.dtype), v)
        maximum = new_maximum
    result = weighted_values / weight_sum[:, None]
    target = out + row * out_row + (head * GROUP + group_row)[:, None] * out_head + dim[None, :]
    tl.store(target, result.to(out.dtype.element_ty), mask=in_group)


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
