"""Output head and cross-entropy in one, without the N x V logits."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

CHUNK_LOGITS = 1 << 26  # about 64 million exist at once
MIN_ROWS = 64  # fewer would be matrix products too small for a GPU


def linear_cross_entropy(
    hidden: Tensor, weight: Tensor, targets: Tensor, chunk: int = 0, softcap: float = 0.0
) -> Tensor:
    """Sum of cross-entropies of `hidden` [N, H] @ `weight`.T [H, V] against `targets` [N], in
    float32.

    `softcap`: the logits x are softcap * tanh(x / softcap) (Gemma); 0: as they are.

    The N x V logits never exist at once: `chunk` rows at a time, the gradient of each chunk being
    taken on the spot, so nothing is kept or computed again: at a vocabulary of 150,000 and 8,192
    tokens, 5 GB that are never there.
    """
    rows = chunk or max(MIN_ROWS, CHUNK_LOGITS // weight.shape[0])
    loss: Tensor = _LinearCrossEntropy.apply(hidden, weight, targets, rows, softcap)
    return loss


class _LinearCrossEntropy(torch.autograd.Function):  # type: ignore[misc]
    """Gradients are made in the forward pass, for a loss whose own gradient is 1, and scaled in
    the backward pass.
    """

    @staticmethod
    def forward(
        context: Any, hidden: Tensor, weight: Tensor, targets: Tensor, rows: int, softcap: float
    ) -> Tensor:
        loss = torch.zeros((), dtype=torch.float32, device=hidden.device)
        hidden_needs, weight_needs = context.needs_input_grad[:2]
        grad_hidden = torch.empty_like(hidden) if hidden_needs else None  # [N, H]
        grad_weight = None  # [V, H], summed in float32
        if weight_needs:
            grad_weight = torch.zeros_like(weight, dtype=torch.float32)
        inputs = hidden if hidden.dtype == weight.dtype else hidden.to(weight.dtype)
        for start in range(0, len(targets), rows):
            chunk = inputs[start : start + rows]  # [C, H]
            chunk_targets = targets[start : start + rows, None]  # [C, 1]
            logits = chunk @ weight.T  # [C, V]
            slope = None
            if softcap:
                logits = torch.tanh(logits / softcap)
                slope = 1 - logits * logits  # of the cap, [C, V]
                logits = logits * softcap
            # Autocast would make a float32 copy of the logits first.
            with torch.autocast(logits.device.type, enabled=False):
                log_probs = functional.log_softmax(logits, -1, dtype=torch.float32)  # [C, V]
            target_log_probs = log_probs.gather(-1, chunk_targets)  # [C, 1]
            loss -= target_log_probs.sum()
            if grad_hidden is None and grad_weight is None:
                continue
            # The gradient to the logits is softmax - one_hot(target), written over the logits. Few
            # passes: what lies between two matrix products is a third of the time. exp(x) - 1 of
            # the targets is taken before rounding, or a token that is nearly learnt would have no
            # gradient in bfloat16.
            grad_logits = torch.exp(log_probs, out=logits)  # [C, V]
            grad_logits.scatter_(-1, chunk_targets, target_log_probs.expm1().to(grad_logits.dtype))
            if slope is not None:
                grad_logits *= slope
            if grad_hidden is not None:
                grad_hidden[start : start + rows] = grad_logits @ weight
            if grad_weight is not None:
                grad_weight += grad_logits.T @ chunk
        context.save_for_backward(
            grad_hidden, None if grad_weight is None else grad_weight.to(weight.dtype)
        )
        return loss

    @staticmethod
    def backward(
        context: Any, *grad_outputs: Tensor
    ) -> tuple[Tensor | None, Tensor | None, None, None, None]:
        grad_hidden, grad_weight = context.saved_tensors
        (grad_loss,) = grad_outputs  # []
        return (
            None if grad_hidden is None else grad_hidden * grad_loss.to(grad_hidden.dtype),
            None if grad_weight is None else grad_weight * grad_loss.to(grad_weight.dtype),
            None,
            None,
            None,
        )
