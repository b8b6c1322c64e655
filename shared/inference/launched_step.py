"""A decode step that the device may still be computing, and how its tokens reach the host."""

from dataclasses import dataclass
from typing import Any

import torch

from shared.inference.requests import Integers


@dataclass(frozen=True, slots=True)
class LaunchedStep:
    """One step of the live rows."""

    tokens: torch.Tensor  # [live], on their way to the host
    logits: torch.Tensor  # [at least live, vocabulary]
    done: Any  # a CUDA event; None on a CPU

    def wait(self) -> Integers:
        """The tokens [live], once they are there."""
        if self.done is not None:
            self.done.synchronize()
        tokens: Integers = self.tokens.numpy()
        return tokens


class TokenFetch:
    """Two places on the host for a step's tokens, used in turn: one may be read while the next
    step fills the other.
    """

    def __init__(self, rows: int, device: torch.device) -> None:
        self._is_cuda = device.type == "cuda"
        self._places = torch.zeros(2, rows, dtype=torch.long, pin_memory=self._is_cuda)
        self._turn = 0

    def start(self, tokens: torch.Tensor, logits: torch.Tensor) -> LaunchedStep:
        """Copy `tokens` [live] once the device has computed them; nobody waits for it here."""
        place = self._places[self._turn, : len(tokens)]
        self._turn = 1 - self._turn
        place.copy_(tokens, non_blocking=True)
        done = None
        if self._is_cuda:
            done = torch.cuda.Event()  # type: ignore[no-untyped-call]
            done.record()
        return LaunchedStep(place, logits, done)
