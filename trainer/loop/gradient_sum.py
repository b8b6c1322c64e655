"""The sum of all gradients over all processes, in as few collectives as their bytes allow.

A collective costs its start, whatever it carries: the 392 small matrices of a LoRA run, summed one
by one, took longer to start than to send. So gradients are laid end to end in buckets, each bucket
is summed at once, and every parameter's gradient becomes a view of its bucket: nothing is copied
back.
"""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from torch.nn import Parameter

# A LoRA run is one bucket. Of a full fine-tune's gigabytes, no more than this exists twice at a
# time.
BUCKET_BYTES = 256 << 20


class GradientSum:
    """Sums `parameters`' gradients over the processes of the default group, in place.

    Every process must have the same trainable parameters in the same order, and calls this equally
    often.
    """

    def __init__(self, parameters: Iterable[Parameter], bucket_bytes: int = BUCKET_BYTES) -> None:
        self._buckets = _buckets(parameters, bucket_bytes)

    @torch.no_grad()
    def all_reduce(self, scalars: Tensor) -> Tensor:
        """Sum all gradients, and `scalars` [S] (float32) with them. Returns the sums of `scalars`.

        A parameter without a gradient counts as zeros: this process may have had no example.
        """
        scalar_sums: Tensor | None = None
        for bucket in self._buckets:
            # They ride with the first bucket that does not round them.
            if scalar_sums is None and bucket[0].dtype == scalars.dtype:
                scalar_sums = _sum_bucket(bucket, [scalars])[0]
            else:
                _sum_bucket(bucket, [])
        if scalar_sums is None:
            scalar_sums = scalars.clone()
            torch.distributed.all_reduce(scalar_sums)
        return scalar_sums


def _buckets(parameters: Iterable[Parameter], bucket_bytes: int) -> list[list[Parameter]]:
    """Trainable parameters in order, cut where bytes are full or the precision changes."""
    buckets: list[list[Parameter]] = []
    size = 0
    for parameter in parameters:
        if not parameter.requires_grad:
            continue
        fits = bool(buckets) and size + parameter.nbytes <= bucket_bytes
        if not fits or buckets[-1][0].dtype != parameter.dtype:
            buckets.append([])
            size = 0
        buckets[-1].append(parameter)
        size += parameter.nbytes
    return buckets


def _sum_bucket(bucket: Sequence[Parameter], passengers: list[Tensor]) -> list[Tensor]:
    """One collective for the gradients of `bucket` and some tensors; the sums of these tensors."""
    tensors = [_gradient(parameter) for parameter in bucket] + passengers
    if len(tensors) == 1:
        flat = tensors[0].flatten()  # as large as a bucket: summed where it is
    else:
        flat = torch.cat([tensor.flatten() for tensor in tensors])
    torch.distributed.all_reduce(flat)
    sections = flat.split([tensor.numel() for tensor in tensors])
    sums = [section.view(tensor.shape) for section, tensor in zip(sections, tensors, strict=True)]
    for parameter, gradient in zip(bucket, sums, strict=False):
        parameter.grad = gradient
    return sums[len(bucket) :]


def _gradient(parameter: Parameter) -> Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
