"""RMSNorm and rotary embedding of one new token a row, as one Triton kernel each. NVIDIA GPUs only.

transformers writes the one as seven kernels and the other as ten, and a decode step lasts as long as
its kernels need to start.
"""

# Triton is there with an NVIDIA GPU only, and its language is not Python's.
# mypy: disable-error-code="import-not-found, import-untyped, no-untyped-def, untyped-decorator, unused-ignore"

import torch
import triton
import triton.language as tl


@triton.jit
def _rms_norm(
    x,
    weight,
    out,
    eps,
    offset,
    SIZE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    # One row [SIZE].
    row = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, BLOCK)
    in_row = column < SIZE
    value = tl.load(x + row * SIZE + column, mask=in_row, other=0.0).to(tl.float32)
    scale = 1.0 / tl.sqrt(tl.sum(value * value, 0) / SIZE + eps)
    factor = tl.load(weight + column, mask=in_row, other=0.0).to(tl.float32) + offset
    result = (value * scale * factor).to(out.dtype.element_ty)
    tl.store(out + row * SIZE + column, result, mask=in_row)


def rms_norm(
    x: torch.Tensor,
    weight: torch.Tensor,
    eps: float,
    offset: float,
) -> torch.Tensor:
    """x [..., size] over its root mean square, times weight [size] + offset; like x."""
    size = x.shape[-1]
    x = x.contiguous()
    out = torch.empty_like(x)
    block = triton.next_power_of_2(size)
    _rms_norm[(x.numel() // size,)](x, weight, out, eps, offset, SIZE=size, BLOCK=block)
    return out


@triton.jit
def _rotate(
    x,
    cos,
    sin,
    out,
    x_row,
    x_head,
    angle_row,
    HALF: tl.constexpr,
    BLOCK: tl.constexpr,
):
    # One head [2 HALF] of one row: its halves are the two coordinates of each rotated pair.
    row = tl.program_id(0).to(tl.int64)
    head = tl.program_id(1).to(tl.int64)
    pair = tl.arange(0, BLOCK)
    in_half = pair < HALF
    source = x + row * x_row + head * x_head + pair
    first = tl.load(source, mask=in_half).to(tl.float32)
    second = tl.load(source + HALF, mask=in_half).to(tl.float32)
    angle = row * angle_row + pair
    first_cos = tl.load(cos + angle, mask=in_half).to(tl.float32)
    first_sin = tl.load(sin + angle, mask=in_half).to(tl.float32)
    second_cos = tl.load(cos + angle + HALF, mask=in_half).to(tl.float32)
    second_sin = tl.load(sin + angle + HALF, mask=in_half).to(tl.float32)
    target = out + (row * tl.num_programs(1) + head) * 2 * HALF + pair
    kind = out.dtype.element_ty
    tl.store(target, (first * first_cos - second * first_sin).to(kind), mask=in_half)
    tl.store(target + HALF, (second * second_cos + first * second_sin).to(kind), mask=in_half)


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """x [n, heads, 1, size] rotated by angles whose cos and sin are [n or 1, 1, size]; like x."""
    n, heads, tokens, size = x.shape
    if tokens != 1 or cos.shape[-1] != size or x.stride(3) != 1:
        raise NotImplementedError(f"a rotary embedding of {tuple(x.shape)} by {tuple(cos.shape)}")
    cos = cos.contiguous()
    sin = sin.contiguous()
    out = torch.empty(n, heads, 1, size, dtype=x.dtype, device=x.device)
    _rotate[(n, heads)](
        x,
        cos,
        sin,
        out,
        x.stride(0),
        x.stride(1),
        size if len(cos) > 1 else 0,
        HALF=size // 2,
        BLOCK=triton.next_power_of_2(size // 2),
    )
    return out
