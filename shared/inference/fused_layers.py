"""A model's norms and rotary embeddings as single kernels while a GPU decodes.

Models differ in them (Gemma's norm adds one to its weight, some rotate a part of each head), so no
kernel is believed: at its first call it must say what the model's own code says of the same numbers,
or that code stays.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch

_ROTARY = "apply_rotary_pos_emb"  # a function of the module in which an attention class stands
_LARGEST_DIFFERENCE = 2e-2  # of the largest value: some steps of bfloat16


class CheckedKernel:
    """The first of some kernels that agrees with `own` at the first call; `own` if none does."""

    def __init__(
        self,
        own: Callable[..., Any],
        kernels: Sequence[Callable[..., Any]],
    ) -> None:
        self._own = own
        self._kernels = kernels
        self._choice: Callable[..., Any] | None = None

    def __call__(self, *arguments: Any) -> Any:
        """What `own` gives: a tensor or several."""
        if self._choice is not None:
            return self._choice(*arguments)
        result = self._own(*arguments)
        agreeing = (kernel for kernel in self._kernels if _agrees(kernel, arguments, result))
        self._choice = next(agreeing, self._own)
        return result


class FusedLayers:
    """The kernels of one model, each checked once."""

    def __init__(self, model: Any) -> None:
        # A module with a forward of its own is fused already: the trainer's layers.
        self._norms = {
            module: CheckedKernel(module.forward, _norm_kernels(module))
            for module in model.modules()
            if type(module).__name__.endswith("RMSNorm") and "forward" not in vars(module)
        }
        homes = {
            type(module).__module__
            for module in model.modules()
            if type(module).__name__.endswith("Attention")
        }
        self._rotaries: dict[Any, tuple[Callable[..., Any], CheckedKernel]] = {}
        for home in map(sys.modules.__getitem__, homes):
            own = getattr(home, _ROTARY, None)
            if own is not None:
                self._rotaries[home] = (own, CheckedKernel(own, [_rotate_both]))

    @contextmanager
    def active(self) -> Iterator[None]:
        """Inside, the model runs with its kernels; afterwards as before. The first call inside must
        not be one that a graph captures.
        """
        try:
            for module, kernel in self._norms.items():
                module.forward = kernel
            for home, (_, kernel) in self._rotaries.items():
                setattr(home, _ROTARY, kernel)
            yield
        finally:
            for module in self._norms:
                vars(module).pop("forward", None)
            for home, (own, _) in self._rotaries.items():
                setattr(home, _ROTARY, own)


def _agrees(
    kernel: Callable[..., Any],
    arguments: tuple[Any, ...],
    expected: Any,
) -> bool:
    try:
        result = kernel(*arguments)
    except (NotImplementedError, TypeError):  # other shapes, or other arguments
        return False
    if isinstance(expected, torch.Tensor):
        return _is_close(result, expected)
    return all(_is_close(*pair) for pair in zip(result, expected, strict=True))


def _is_close(result: torch.Tensor, expected: torch.Tensor) -> bool:
    if result.shape != expected.shape or result.dtype != expected.dtype:
        return False
    largest = expected.float().abs().max()
    difference = (result.float() - expected.float()).abs().max()
    return bool(difference <= _LARGEST_DIFFERENCE * largest)


def _norm_kernels(module: Any) -> list[Callable[..., Any]]:
    """RMSNorm with the weight as it is, and with one added to it."""
    from shared.inference.layer_kernels import rms_norm

    eps = getattr(module, "variance_epsilon", getattr(module, "eps", None))
    weight = getattr(module, "weight", None)
    if not isinstance(eps, float) or not isinstance(weight, torch.Tensor):
        return []
    return [partial(rms_norm, weight=weight, eps=eps, offset=offset) for offset in (0.0, 1.0)]


def _rotate_both(
    query: torch.Tensor,
    key: torch.Tensor,
    cos: torch.Tensor,
    sin: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    from shared.inference.layer_kernels import rotate

    return rotate(query, cos, sin), rotate(key, cos, sin)
