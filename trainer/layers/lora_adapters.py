"""The adapters of a LoRA model as the fused layers read them: copies in the precision of the
products."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(slots=True)
class Adapter:
    """One adapter of a PEFT layer: float32 masters, and where their copies in the precision of
    the products stand.
    """

    # Looked up once: PEFT's dictionaries of modules cost a third of the host's time in here.
    module: Any  # peft's lora.Linear
    base: Any  # its frozen nn.Linear
    lora_a: Any  # nn.Linear with A
    lora_b: Any  # nn.Linear with B
    scale: float
    a: Tensor  # s A [r, in]
    b: Tensor  # B [out, r]

    @classmethod
    def of(cls, module: Any, a: Tensor | None = None, b: Tensor | None = None) -> "Adapter":
        """`module`'s one active adapter. `a`, `b`: where its copies stand, if not on their own."""
        (name,) = module.active_adapters
        base = module.base_layer
        lora_a = module.lora_A[name]
        lora_b = module.lora_B[name]
        if a is None:
            a = torch.empty_like(lora_a.weight, dtype=base.weight.dtype)
        if b is None:
            b = torch.empty_like(lora_b.weight, dtype=base.weight.dtype)
        scale = float(module.scaling[name])
        return cls(module, base, lora_a, lora_b, scale, a.detach(), b.detach())

    @property
    def masters(self) -> tuple[Tensor, Tensor]:
        """(A [r, in], B [out, r]) as the optimiser moves them, in float32."""
        return self.lora_a.weight, self.lora_b.weight

    def is_bypassed(self, x: Tensor) -> bool:
        """Whether PEFT's own way is due: the adapter is off or merged, or autocast would change the
        precision halfway.
        """
        module = self.module
        if module.disable_adapters or module.merged:
            return True
        full_precision = self.a.dtype == torch.float32  # as the base's weights
        return bool(full_precision and torch.is_autocast_enabled(x.device.type))


class AdapterCopies:
    """All adapters of a model, to be copied in a few kernels.

    Before every forward pass, whether or not they moved: a tensor's version does not tell
    (PyTorch's fused AdamW moves weights and leaves it as it was), and nothing may train on an
    adapter of yesterday.
    """

    def __init__(self, adapters: "list[Adapter]") -> None:
        self._adapters = adapters

    @torch.no_grad()
    def refresh(self) -> None:
        """Copy every adapter to where the products read it."""
        scaled_masters = torch._foreach_mul(
            [adapter.masters[0] for adapter in self._adapters],
            [adapter.scale for adapter in self._adapters],
        )
        contiguous_copies: list[Tensor] = []
        their_masters: list[Tensor] = []
        for adapter, scaled_a in zip(self._adapters, scaled_masters, strict=True):
            for copy, master in ((adapter.a, scaled_a), (adapter.b, adapter.masters[1])):
                if copy.is_contiguous():
                    contiguous_copies.append(copy)
                    their_masters.append(master)
                else:
                    # A few columns of a wide matrix; one such would slow down all the others.
                    copy.copy_(master)
        torch._foreach_copy_(contiguous_copies, their_masters)


def matmul(a: Tensor, b: Tensor, dtype: torch.dtype) -> Tensor:
    """a @ b, kept in `dtype` rather than rounded to the precision of its factors where
    the kernel can.
    """
    if a.is_cuda and dtype == torch.float32 and a.dtype != torch.float32:
        return torch.mm(a, b, out_dtype=torch.float32)
    return (a @ b).to(dtype)


def is_plain_lora(module: Any) -> bool:
    """Whether it is a LoRA linear layer that the fused way knows: one adapter, no dropout, no bias."""
    from peft.tuners.lora.layer import Linear

    if type(module) is not Linear or type(module.base_layer) is not nn.Linear:
        return False
    if module.fan_in_fan_out or len(module.active_adapters) != 1:
        return False
    (name,) = module.active_adapters
    return (
        name not in module.lora_variant
        and isinstance(module.lora_dropout[name], nn.Identity)
        and module.lora_B[name].bias is None
        and not any(parameter.requires_grad for parameter in module.base_layer.parameters())
    )
