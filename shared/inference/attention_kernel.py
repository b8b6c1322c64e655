"""Storing one new token a row, and its attention over slots of different lengths, in Triton
kernels. NVIDIA GPUs only.

A row's keys are cut into parts, so that a few long rows still fill the card (Flash-Decoding, Dao et
al., 2023). Each program instance of the first kernel serves one part of one row and one key-value
head, with all query heads that share it as the rows of a small matrix product. It walks over just
as many keys as are there, with the online softmax of FlashAttention (Dao et al., 2022). The second
kernel adds the parts up, each weighted by the sum of its exponentials.
"""

# Triton is there with an NVIDIA GPU only, and its language is not Python's.
# mypy: disable-error-code="import-not-found, import-untyped, no-untyped-def, untyped-decorator, unused-ignore"

import functools
from typing import Any

import torch
import triton
import triton.language as tl

BLOCK_KEYS = 64
SMALLEST_DOT = 16  # tl.dot wants at least 16 rows
MOST_PARTS = 32
# Program instances for each multiprocessor: several share one, and rows of unlike lengths even out.
INSTANCES_PER_PROCESSOR = 8


@triton.jit
def _add_block(
    q,
    key,
    value,
    place,
    dim,
    in_row,
    scale,
    maximum,
    weight_sum,
    weighted_values,
):
    # One block of keys [SIZE, BLOCK] and values [BLOCK, SIZE], at place [BLOCK] where in_row says.
    # Online softmax: sums so far are rescaled whenever a block brings a larger score.
    k = tl.load(key + place[None, :] + dim[:, None], mask=in_row[None, :], other=0.0)
    score = tl.where(in_row[None, :], tl.dot(q, k) * scale, -float("inf"))
    new_maximum = tl.maximum(maximum, tl.max(score, 1))
    weight = tl.exp(score - new_maximum[:, None])
    rescale = tl.exp(maximum - new_maximum)
    weight_sum = weight_sum * rescale + tl.sum(weight, 1)
    v = tl.load(value + place[:, None] + dim[None, :], mask=in_row[:, None], other=0.0)
    weighted_values = weighted_values * rescale[:, None] + tl.dot(weight.to(v.dtype), v)
    return new_maximum, weight_sum, weighted_values


@triton.jit
def _attend_part(
    query,
    key,
    value,
    lengths,
    part_outputs,
    part_log_sums,
    scale,
    key_row,
    key_head,
    key_position,
    PARTS: tl.constexpr,
    GROUP: tl.constexpr,
    ROWS: tl.constexpr,
    SIZE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    # q [ROWS, SIZE]: the query heads of one key-value head, the first GROUP rows real.
    row = tl.program_id(0).to(tl.int64)
    head = tl.program_id(1).to(tl.int64)
    part = tl.program_id(2)
    length = tl.load(lengths + row)
    part_length = tl.cdiv(tl.cdiv(length, PARTS), BLOCK) * BLOCK
    first = part * part_length
    end = tl.minimum(first + part_length, length)
    group_row = tl.arange(0, ROWS)
    dim = tl.arange(0, SIZE)
    in_group = group_row < GROUP
    # Of query [n, heads, SIZE] and the parts' results [n, heads, PARTS, SIZE]:
    query_head = (row * tl.num_programs(1) + head) * GROUP + group_row
    query_place = query_head[:, None] * SIZE + dim[None, :]
    q = tl.load(query + query_place, mask=in_group[:, None], other=0.0)
    slot = row * key_row + head * key_head
    maximum = tl.full((ROWS,), -float("inf"), tl.float32)
    weight_sum = tl.zeros((ROWS,), tl.float32)
    weighted_values = tl.zeros((ROWS, SIZE), tl.float32)
    for start in range(first, end, BLOCK):
        position = start + tl.arange(0, BLOCK)
        in_row = position < end
        place = slot + position * key_position
        maximum, weight_sum, weighted_values = _add_block(
            q,
            key,
            value,
            place,
            dim,
            in_row,
            scale,
            maximum,
            weight_sum,
            weighted_values,
        )
    # A part without keys has a sum of 0: it says 0 and counts for nothing.
    result = weighted_values / tl.where(weight_sum > 0, weight_sum, 1.0)[:, None]
    part_place = query_head * PARTS + part
    target = part_outputs + part_place[:, None] * SIZE + dim[None, :]
    tl.store(target, result, mask=in_group[:, None])
    tl.store(part_log_sums + part_place, maximum + tl.log(weight_sum), mask=in_group)


@triton.jit
def _add_parts(
    part_outputs,
    part_log_sums,
    out,
    PARTS: tl.constexpr,
    SIZE: tl.constexpr,
):
    # One query head of one row: parts [PARTS, SIZE] and their log sums [PARTS].
    query_head = tl.program_id(0).to(tl.int64)
    part = tl.arange(0, PARTS)
    dim = tl.arange(0, SIZE)
    log_sum = tl.load(part_log_sums + query_head * PARTS + part)
    weight = tl.exp(log_sum - tl.max(log_sum, 0))
    place = (query_head * PARTS + part)[:, None] * SIZE + dim[None, :]
    weighted = tl.load(part_outputs + place) * (weight / tl.sum(weight, 0))[:, None]
    result = tl.sum(weighted, 0)
    tl.store(out + query_head * SIZE + dim, result.to(out.dtype.element_ty))


@triton.jit
def _store_row(
    key,
    value,
    keys,
    values,
    positions,
    key_row,
    key_head,
    value_row,
    value_head,
    slot_row,
    slot_head,
    slot_position,
    SIZE: tl.constexpr,
):
    # One head of one row's new token: [SIZE] of key and of value.
    row = tl.program_id(0).to(tl.int64)
    head = tl.program_id(1).to(tl.int64)
    dim = tl.arange(0, SIZE)
    position = tl.load(positions + row).to(tl.int64)
    target = row * slot_row + head * slot_head + position * slot_position + dim
    new_key = tl.load(key + row * key_row + head * key_head + dim)
    new_value = tl.load(value + row * value_row + head * value_head + dim)
    tl.store(keys + target, new_key.to(keys.dtype.element_ty))
    tl.store(values + target, new_value.to(values.dtype.element_ty))


def store_rows(
    key: Any,
    value: Any,
    keys: Any,
    values: Any,
    positions: Any,
) -> None:
    """Write key and value [n, kv heads, 1, size] into keys and values [rows, kv heads, capacity,
    size], each row at its place in positions [n].
    """
    n, kv_heads, _, size = key.shape
    assert keys.stride() == values.stride()
    assert key.stride(3) == value.stride(3) == keys.stride(3) == 1
    _store_row[(n, kv_heads)](
        key,
        value,
        keys,
        values,
        positions,
        key.stride(0),
        key.stride(1),
        value.stride(0),
        value.stride(1),
        keys.stride(0),
        keys.stride(1),
        keys.stride(2),
        SIZE=size,
    )


def attend_rows(
    query: Any,
    key: Any,
    value: Any,
    lengths: Any,
    scale: float,
) -> Any:
    """query [n, heads, 1, size] over key, value [n, kv heads, capacity, size] up to lengths [n];
    gives [n, 1, heads, size].
    """
    n, heads, _, size = query.shape
    kv_heads = key.shape[1]
    group = heads // kv_heads
    parts = _parts(n * kv_heads, query.device.index)
    query = query.contiguous()
    assert key.stride() == value.stride()
    assert key.stride(3) == 1
    in_float32 = {"dtype": torch.float32, "device": query.device}
    part_outputs = torch.empty(n, heads, parts, size, **in_float32)
    part_log_sums = torch.empty(n, heads, parts, **in_float32)
    out = torch.empty(n, 1, heads, size, dtype=query.dtype, device=query.device)
    _attend_part[(n, kv_heads, parts)](
        query,
        key,
        value,
        lengths,
        part_outputs,
        part_log_sums,
        scale,
        key.stride(0),
        key.stride(1),
        key.stride(2),
        PARTS=parts,
        GROUP=group,
        ROWS=max(SMALLEST_DOT, triton.next_power_of_2(group)),
        SIZE=size,
        BLOCK=BLOCK_KEYS,
    )
    _add_parts[(n * heads,)](part_outputs, part_log_sums, out, PARTS=parts, SIZE=size)
    return out


@functools.cache
def _parts(slots: int, device: int) -> int:
    """Parts of each slot, a power of two: so many that the card is busy."""
    processors = torch.cuda.get_device_properties(device).multi_processor_count
    wanted = INSTANCES_PER_PROCESSOR * processors / slots
    parts: int = triton.next_power_of_2(max(1, round(wanted)))
    return min(MOST_PARTS, parts)
