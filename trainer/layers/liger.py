"""Liger's kernels for RMSNorm and the rotary embedding, on an NVIDIA GPU."""

import sys
from types import MethodType
from typing import Any

from torch import Tensor


def use_liger(model: Any) -> None:
    """Give RMSNorm layers and rotary functions Liger's Triton kernels, in place. NVIDIA GPUs only."""
    from liger_kernel.ops import LigerRMSNormFunction, LigerRopeFunction

    def norm(self: Any, hidden: Tensor) -> Tensor:
        # "llama": the mean square in float32, the product in the input's precision, as Llama and
        # Qwen2 do.
        out: Tensor = LigerRMSNormFunction.apply(
            hidden, self.weight, self.variance_epsilon, 0.0, "llama", False
        )
        return out

    for module in model.modules():
        if type(module).__name__.endswith("RMSNorm") and hasattr(module, "variance_epsilon"):
            module.forward = MethodType(norm, module)
            _rotate_with(LigerRopeFunction, sys.modules[type(module).__module__])


def _rotate_with(kernel: Any, model_module: Any) -> None:
    """Replace the rotary function of a transformers model file, for what the kernel knows; other
    calls go where they went.
    """
    plain = getattr(model_module, "apply_rotary_pos_emb", None)
    if plain is None or hasattr(plain, "plain"):
        return

    def rotate(
        q: Tensor, k: Tensor, cos: Tensor, sin: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        like_cos = q.dtype == cos.dtype and q.shape[-1] == cos.shape[-1]
        fits = q.is_cuda and like_cos and not args and not kwargs
        rotation = kernel.apply if fits else plain
        q_and_k: tuple[Tensor, Tensor] = rotation(q, k, cos, sin, *args, **kwargs)
        return q_and_k

    rotate.plain = plain  # type: ignore[attr-defined]
    model_module.apply_rotary_pos_emb = rotate
