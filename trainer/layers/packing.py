"""Micro-batches without padding: examples laid end to end in one row, each attending only to
itself.

    ids        p p p a a e | p p a a a a e      two examples, one row of T tokens
    positions  0 1 2 3 4 5 | 0 1 2 3 4 5 6
    loss at    . . x x x . | . x x x x x .      where the NEXT token is in the loss: no logits are made elsewhere

There is no pad token anywhere, so no loss can be hidden by one, and no step pays for padding.
Students whose layers carry a state over that border (`trainer.layers.recurrent_state`) get one
example a row instead, padded on the right.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from trainer.data.examples import Example

ATTENTION = "stillhouse_segments"  # the name under which transformers finds `segment_attention`


@dataclass(frozen=True, slots=True)
class FlatBatch:
    """Examples laid end to end. Shapes: T tokens, D examples, N tokens in the loss."""

    ids: Tensor  # [1, T] int64; apart: [D, L]
    positions: Tensor  # as `ids`, from 0 in each example
    # [D + 1] int32 or longer: where each example starts, and T; then T again for empty segments
    starts: Tensor
    at: Tensor  # [N] int64: positions in `ids`, flattened, whose next token is in the loss
    targets: Tensor  # [N] int64: those next tokens
    lengths: tuple[int, ...]
    # an upper bound of `lengths`, the same for the whole run so that nothing is compiled twice
    longest: int
    apart: bool = False  # one example a row

    def to(self, device: torch.device) -> "FlatBatch":
        def move(tensor: Tensor) -> Tensor:
            if device.type == "cuda":
                return tensor.pin_memory().to(device, non_blocking=True)
            return tensor.to(device)

        ids, positions, starts = move(self.ids), move(self.positions), move(self.starts)
        return replace(
            self,
            ids=ids,
            positions=positions,
            starts=starts,
            at=move(self.at),
            targets=move(self.targets),
        )


def lay_flat(
    examples: Sequence[Example], longest: int = 0, multiple: int = 1, segments: int = 0
) -> FlatBatch:
    """Examples as one flat batch, its length rounded up to `multiple` by a last segment that no
    loss looks at.

    `segments`: at least so many segments, the last ones empty, so that compiled code meets one
    shape.
    """
    lengths = [len(example) for example in examples]
    starts = [0, *accumulate(lengths)]
    ids = [token for example in examples for token in example.ids]
    at = [
        start + i
        for start, example in zip(starts, examples, strict=False)
        for i in range(example.prompt_length - 1, len(example) - 1)
    ]
    targets = [ids[i + 1] for i in at]
    if rest := -len(ids) % multiple:
        lengths.append(rest)
        starts.append(starts[-1] + rest)
        ids += [0] * rest
    positions = [i for length in lengths for i in range(length)]
    starts += [starts[-1]] * (segments + 1 - len(starts))
    return FlatBatch(
        torch.tensor([ids]),
        torch.tensor([positions]),
        torch.tensor(starts, dtype=torch.int32),
        torch.tensor(at),
        torch.tensor(targets),
        tuple(lengths),
        max(longest, *lengths),
    )


def lay_apart(examples: Sequence[Example], multiple: int = 1) -> FlatBatch:
    """One example a row, padded on the right to the longest, rounded up to `multiple`. Causal
    layers never see that.
    """
    longest = max(map(len, examples))
    width = longest + -longest % multiple
    ids = torch.zeros(len(examples), width, dtype=torch.int64)
    for row, example in enumerate(examples):
        ids[row, : len(example)] = torch.tensor(example.ids)
    at = [
        row * width + i
        for row, example in enumerate(examples)
        for i in range(example.prompt_length - 1, len(example) - 1)
    ]
    places = torch.tensor(at)
    return FlatBatch(
        ids,
        torch.arange(width).repeat(len(examples), 1),
        torch.arange(len(examples) + 1, dtype=torch.int32) * width,
        places,
        ids.flatten()[places + 1],
        (width,) * len(examples),
        width,
        apart=True,
    )


def hidden_states(model: Any, batch: FlatBatch) -> Tensor:
    """What the decoder makes of every token: [T, H], or [D * L, H] where examples are apart."""
    decoder = _causal_lm(model).get_decoder()
    segments = _segments(decoder, batch)
    hidden: Tensor = decoder(
        input_ids=batch.ids, position_ids=batch.positions, use_cache=False, **segments
    )[0]
    return hidden.flatten(0, 1)


def loss_sum(model: Any, batch: FlatBatch) -> Tensor:
    """The sum (not the mean) of the cross-entropies of the N tokens in the loss, with its graph.

    `model` is a causal language model with ATTENTION in force, with or without adapters. Divide by
    the tokens of the whole optimiser step: then no micro-batch size changes the loss or its
    gradient.
    """
    return linear_cross_entropy(
        hidden_states(model, batch)[batch.at], head_weight(model), batch.targets
    )


def head_weight(model: Any) -> Tensor:
    """The output head's matrix [V, H]."""
    weight: Tensor = _causal_lm(model).get_output_embeddings().weight
    return weight


def linear_cross_entropy(hidden: Tensor, weight: Tensor, targets: Tensor, chunk: int = 0) -> Tensor:
    """Sum of cross-entropies of `hidden` [N, H] @ `weight`.T [H, V] against `targets` [N], in
    float32.

    The N x V logits never exist at once: `chunk` rows at a time, the gradient of each chunk being
    taken on the spot, so nothing is kept or computed again: at a vocabulary of 150,000 and 8,192
    tokens, 5 GB that are never there.
    """
    rows = chunk or max(64, (1 << 26) // weight.shape[0])  # about 64 million logits
    total: Tensor = _LinearCrossEntropy.apply(hidden, weight, targets, rows)
    return total


class _LinearCrossEntropy(torch.autograd.Function):  # type: ignore[misc]
    @staticmethod
    def forward(context: Any, hidden: Tensor, weight: Tensor, targets: Tensor, rows: int) -> Tensor:
        total = torch.zeros((), dtype=torch.float32, device=hidden.device)
        hidden_needs, weight_needs = context.needs_input_grad[:2]
        to_hidden = torch.empty_like(hidden) if hidden_needs else None
        to_weight = torch.zeros_like(weight, dtype=torch.float32) if weight_needs else None
        compute = hidden if hidden.dtype == weight.dtype else hidden.to(weight.dtype)
        for start in range(0, len(targets), rows):
            part, wanted = compute[start : start + rows], targets[start : start + rows, None]
            logits = part @ weight.T
            with torch.autocast(
                logits.device.type, enabled=False
            ):  # it would make a float32 copy of the logits first
                chances = functional.log_softmax(logits, -1, dtype=torch.float32)
            picked = chances.gather(-1, wanted)
            total -= picked.sum()
            if to_hidden is None and to_weight is None:
                continue
            # Few passes: what lies between two matrix products is a third of the time. exp(x) - 1
            # of the targets is taken before rounding, or a token that is nearly learnt would have
            # no gradient in bfloat16.
            slope = torch.exp(chances, out=logits)
            slope.scatter_(-1, wanted, picked.expm1().to(slope.dtype))
            if to_hidden is not None:
                to_hidden[start : start + rows] = slope @ weight
            if to_weight is not None:
                to_weight += slope.T @ part
        context.save_for_backward(
            to_hidden, None if to_weight is None else to_weight.to(weight.dtype)
        )
        return total

    @staticmethod
    def backward(context: Any, *slopes: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        to_hidden, to_weight = context.saved_tensors
        (slope,) = slopes
        return (
            None if to_hidden is None else to_hidden * slope.to(to_hidden.dtype),
            None if to_weight is None else to_weight * slope.to(to_weight.dtype),
            None,
            None,
        )


def segment_attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    cu_seq_lens_q: Tensor | None = None,
    max_length_q: int = 0,
    segment_lengths: tuple[int, ...] | None = None,
    rows_apart: bool = False,
    **_: Any,
) -> tuple[Tensor, None]:
    """Causal attention within each segment of a flat batch, or within each row (`rows_apart`).

    Shapes: query [1, heads, T, d], key and value [1, kv, T, d]; returned [1, T, heads, d]. Rows
    apart: as many as there are, instead of 1.

    On an NVIDIA GPU in half precision one variable-length flash kernel; elsewhere
    scaled_dot_product_attention for each segment: the same numbers, and still no work between
    segments.
    """
    grouped = query.shape[1] != key.shape[1]
    if rows_apart:
        out = functional.scaled_dot_product_attention(
            query, key, value, is_causal=True, scale=scaling, enable_gqa=grouped
        )
        return out.transpose(1, 2).contiguous(), None
    if (
        segment_lengths is None
        and cu_seq_lens_q is not None
        and query.is_cuda
        and query.dtype != torch.float32
    ):
        query, key, value = (t[0].transpose(0, 1) for t in (query, key, value))
        return _flash(query, key, value, cu_seq_lens_q, max_length_q, scaling)[None], None
    if segment_lengths is None:
        assert cu_seq_lens_q is not None, "segment attention needs the segments of a flat batch"
        segment_lengths = tuple(length for length in cu_seq_lens_q.diff().tolist() if length)
    parts = [
        functional.scaled_dot_product_attention(
            q, k, v, is_causal=True, scale=scaling, enable_gqa=grouped
        )
        for q, k, v in zip(
            *(t.split(segment_lengths, dim=2) for t in (query, key, value)), strict=True
        )
    ]
    return torch.cat(parts, dim=2).transpose(1, 2).contiguous(), None


def _flash(
    query: Tensor, key: Tensor, value: Tensor, starts: Tensor, longest: int, scaling: float | None
) -> Tensor:
    """The flash kernel that PyTorch carries. Shapes: query [T, heads, d], key and value [T, kv,
    d].
    """
    # Not nn.attention.varlen_attn: before PyTorch 2.12 it takes no grouped queries.
    out: Tensor = torch.ops.aten._flash_attention_forward(
        query, key, value, starts, starts, longest, longest, 0.0, True, False, scale=scaling
    )[0]
    return out


def register_attention() -> None:
    """Make ATTENTION known to transformers. No mask function goes with it: segments are all the
    mask there is.
    """
    from transformers import AttentionInterface

    AttentionInterface.register(ATTENTION, segment_attention)


def _causal_lm(model: Any) -> Any:
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def _segments(decoder: Any, batch: FlatBatch) -> dict[str, Any]:
    """The segments of a batch in the words of whoever computes attention: Unsloth's own, or
    `segment_attention`.
    """
    if type(decoder).forward.__module__.startswith("unsloth"):
        if batch.apart:
            return {}
        return {"packed_seq_lengths": torch.tensor(batch.lengths, dtype=torch.int32)}
    if batch.apart:
        return {"rows_apart": True}
    if batch.ids.device.type == "cpu":
        return {"segment_lengths": batch.lengths}
    return {"cu_seq_lens_q": batch.starts, "max_length_q": batch.longest}


def recompute(model: Any, wanted: bool) -> None:
    """Checkpointing on or off for the next forward pass, where the model was loaded with it."""
    for layer in getattr(_causal_lm(model).get_decoder(), "layers", ()):
        if hasattr(layer, "gradient_checkpointing"):
            layer.gradient_checkpointing = wanted
