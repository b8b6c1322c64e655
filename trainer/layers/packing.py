"""Micro-batches without padding: examples packed end to end in one row, each attending only to
itself.

    input_ids     p p p a a e | p p a a a a e      two examples, one row of T tokens
    position_ids  0 1 2 3 4 5 | 0 1 2 3 4 5 6
    cu_seqlens    0             6             13
    loss at       . . x x x . | . x x x x x .      where the NEXT token is in the loss: no logits are made elsewhere

There is no pad token anywhere, so no loss can be hidden by one, and no step pays for padding.
Students whose layers carry a state over that border (`trainer.layers.recurrent_state`) get one
example a row instead, padded on the right.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

import torch
from torch import Tensor

from trainer.data.examples import Example


@dataclass(frozen=True, slots=True)
class PackedBatch:
    """Examples packed end to end, or padded to one example a row.

    Shapes: T tokens, D examples of at most L tokens, N tokens in the loss.
    """

    input_ids: Tensor  # [1, T] int64; padded: [D, L]
    position_ids: Tensor  # as `input_ids`, from 0 in each example
    # [D + 1] int32 or longer: where each example starts, and T; then T again for empty segments
    cu_seqlens: Tensor
    loss_positions: Tensor  # [N] int64: places in flattened `input_ids` with a next token to learn
    targets: Tensor  # [N] int64: those next tokens
    lengths: tuple[int, ...]  # of the segments, the empty ones left out
    # an upper bound of `lengths`, the same for the whole run so that nothing is compiled twice
    max_seqlen: int
    padded: bool = False  # one example a row

    def to(self, device: torch.device) -> "PackedBatch":
        """The same batch on another device; to a GPU without waiting for the copy."""

        def move(tensor: Tensor) -> Tensor:
            if device.type == "cuda":
                return tensor.pin_memory().to(device, non_blocking=True)
            return tensor.to(device)

        return replace(
            self,
            input_ids=move(self.input_ids),
            position_ids=move(self.position_ids),
            cu_seqlens=move(self.cu_seqlens),
            loss_positions=move(self.loss_positions),
            targets=move(self.targets),
        )


def make_batch(examples: Sequence[Example], *, padded: bool, max_seqlen: int = 0) -> PackedBatch:
    """Examples as one batch, packed or padded, as the layers of the model need it."""
    return pad_examples(examples) if padded else pack_examples(examples, max_seqlen)


def pack_examples(
    examples: Sequence[Example], max_seqlen: int = 0, multiple: int = 1, segments: int = 0
) -> PackedBatch:
    """Examples end to end, their tokens rounded up to `multiple` by a last segment that no loss
    looks at.

    `max_seqlen`: at least the longest example. `segments`: at least so many segments, the last
    ones empty, so that compiled code meets one shape.
    """
    lengths = [len(example) for example in examples]
    starts = [0, *accumulate(lengths)]
    parts = [_token_ids(example) for example in examples]
    loss_positions = torch.cat(
        [
            # The token before the first learnt one predicts it; the last token predicts nothing.
            torch.arange(start + example.prompt_length - 1, start + len(example) - 1)
            for start, example in zip(starts, examples, strict=False)
        ]
    )
    padding = -starts[-1] % multiple
    if padding:
        lengths.append(padding)
        starts.append(starts[-1] + padding)
        parts.append(torch.zeros(padding, dtype=torch.int64))
    input_ids = torch.cat(parts)  # [T]
    position_ids = torch.cat([torch.arange(length) for length in lengths])  # [T]
    starts += [starts[-1]] * (segments + 1 - len(starts))
    return PackedBatch(
        input_ids=input_ids[None],
        position_ids=position_ids[None],
        cu_seqlens=torch.tensor(starts, dtype=torch.int32),
        loss_positions=loss_positions,
        targets=input_ids[loss_positions + 1],
        lengths=tuple(lengths),
        max_seqlen=max(max_seqlen, *lengths),
    )


def pad_examples(examples: Sequence[Example], multiple: int = 1) -> PackedBatch:
    """One example a row, padded on the right to the longest, rounded up to `multiple`. Causal
    layers never see that.
    """
    longest = max(map(len, examples))
    width = longest + -longest % multiple
    input_ids = torch.zeros(len(examples), width, dtype=torch.int64)  # [D, L]
    for row, example in enumerate(examples):
        input_ids[row, : len(example)] = _token_ids(example)
    loss_positions = torch.cat(
        [
            row * width + torch.arange(example.prompt_length - 1, len(example) - 1)
            for row, example in enumerate(examples)
        ]
    )
    return PackedBatch(
        input_ids=input_ids,
        position_ids=torch.arange(width).repeat(len(examples), 1),
        cu_seqlens=torch.arange(len(examples) + 1, dtype=torch.int32) * width,
        loss_positions=loss_positions,
        targets=input_ids.flatten()[loss_positions + 1],
        lengths=(width,) * len(examples),
        max_seqlen=width,
        padded=True,
    )


def _token_ids(example: Example) -> Tensor:
    """[length] int64, straight from the array's memory: token by token through Python's lists, a
    step of 20,000 tokens kept the GPU waiting for milliseconds.
    """
    return torch.frombuffer(example.ids, dtype=torch.int32).long()
