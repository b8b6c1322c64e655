"""Many LoRA adapters on one frozen model, trained and sampled in the same forward passes.

A batch holds the same number of rows for each adapter, adapter by adapter: rows [k·n, (k+1)·n)
belong to adapter k. The frozen product is shared; each adapter's low-rank part is one batched
product. Gradients never cross adapters, so every adapter is trained as if it were alone
(tests/trainer/test_effect.py holds it to PEFT).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

BETAS, EPSILON = (0.9, 0.999), 1e-8  # AdamW's defaults in transformers


@dataclass
class Shape:
    """How the rows of the current batch belong to adapters; shared by all layers of a model."""

    active: int  # the first `active` adapters take part


class ManyLora(nn.Module):
    """A frozen linear layer and `len(ranks)` adapters: y = W x + scale_k · B_k (A_k x)."""

    def __init__(
        self,
        base: nn.Linear,
        ranks: Sequence[int],
        scales: Tensor,
        shape: Shape,
        seeds: Sequence[int],
    ) -> None:
        super().__init__()
        self.base, self.shape = base, shape
        device = base.weight.device
        down = torch.zeros(len(ranks), max(ranks), base.in_features)
        for number, (rank, seed) in enumerate(zip(ranks, seeds, strict=True)):
            bound = 1 / math.sqrt(base.in_features)  # PEFT's kaiming_uniform_(a=√5)
            values = torch.empty(rank, base.in_features)
            down[number, :rank] = values.uniform_(
                -bound, bound, generator=torch.Generator().manual_seed(seed)
            )
        # Rows beyond an adapter's own rank start at zero on both sides, get no gradient, and stay
        # zero.
        self.down = nn.Parameter(down.to(device))
        self.up = nn.Parameter(
            torch.zeros(len(ranks), base.out_features, max(ranks), device=device)
        )
        self.scales = scales.to(device)

    def forward(self, rows: Tensor) -> Tensor:
        """[active·n, length, in] -> [active·n, length, out]."""
        count = self.shape.active
        kind = self.base.weight.dtype
        flat = rows.reshape(count, -1, rows.shape[-1])
        low = torch.bmm(flat, self.down[:count].to(kind).transpose(1, 2)) * self.scales[:count].to(
            kind
        )
        added: Tensor = torch.bmm(low, self.up[:count].to(kind).transpose(1, 2))
        output: Tensor = self.base(rows)
        return output + added.view(output.shape)


def attach(
    model: nn.Module, ranks: Sequence[int], alphas: Sequence[float], seeds: Sequence[int]
) -> Shape:
    """Freeze `model` and put adapters on all its linear layers but the output head. Returns the
    shared shape.
    """
    shape = Shape(len(ranks))
    scales = torch.tensor([alpha / rank for alpha, rank in zip(alphas, ranks, strict=True)]).view(
        -1, 1, 1
    )
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    layers = [
        (name, layer) for name, layer in model.named_modules() if isinstance(layer, nn.Linear)
    ]
    for number, (name, layer) in enumerate(layers):
        if name.endswith("lm_head"):
            continue
        parent, _, child = name.rpartition(".")
        adapter_seeds = [seed * 10_007 + number for seed in seeds]
        setattr(
            model.get_submodule(parent), child, ManyLora(layer, ranks, scales, shape, adapter_seeds)
        )
    return shape


class ManyAdamW:
    """AdamW without decay over stacked adapters: each has its own learning rate and gradient
    clipping.
    """

    def __init__(self, model: nn.Module, max_norm: float = 1.0) -> None:
        self.parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self._first = [torch.zeros_like(parameter) for parameter in self.parameters]
        self._second = [torch.zeros_like(parameter) for parameter in self.parameters]
        self._max_norm, self._steps = max_norm, 0

    @torch.no_grad()
    def step(self, rates: Sequence[float]) -> None:
        """One step of the first `len(rates)` adapters at these learning rates; gradients are
        cleared.
        """
        self._steps += 1
        count = len(rates)
        gradients = [
            parameter.grad[:count] for parameter in self.parameters if parameter.grad is not None
        ]
        norms = (
            torch.stack([gradient.pow(2).sum(dim=(1, 2)) for gradient in gradients])
            .sum(dim=0)
            .sqrt()
        )
        shrink = (self._max_norm / (norms + 1e-6)).clamp(max=1.0).view(-1, 1, 1)
        rate = torch.tensor(rates, device=norms.device).view(-1, 1, 1)
        corrections = [1 - beta**self._steps for beta in BETAS]
        for parameter, gradient, first, second in zip(
            self.parameters, gradients, self._first, self._second, strict=True
        ):
            gradient = gradient * shrink
            first[:count].lerp_(gradient, 1 - BETAS[0])
            second[:count].lerp_(gradient.square(), 1 - BETAS[1])
            denominator = (second[:count] / corrections[1]).sqrt_().add_(EPSILON)
            parameter[:count] -= rate * (first[:count] / corrections[0]) / denominator
            parameter.grad = None
