"""What is asked of the generation loop, and what it hands back."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from shared.inference.sampling import next_tokens

Integers = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, slots=True)
class Prompt:
    """One answer to generate: the prompt's tokens, its most new tokens, its uniform draws (None:
    greedy).
    """

    ids: Sequence[int]
    limit: int
    draws: torch.Tensor | None = None  # [limit]


@dataclass(frozen=True, slots=True)
class Sampling:
    """How next tokens are chosen, greedy by default, and which ones end an answer."""

    temperature: float = 0.0
    top_p: float = 1.0
    stop_ids: tuple[int, ...] = ()
    top_k: int = 0  # 0: all tokens
    min_p: float = 0.0

    def next_tokens(
        self,
        logits: torch.Tensor,
        draws: torch.Tensor,
    ) -> torch.Tensor:
        """Next tokens [n] from logits [n, vocabulary] and one draw a row [n]."""
        return next_tokens(
            logits,
            self.temperature,
            self.top_p,
            draws,
            self.top_k,
            self.min_p,
        )


@dataclass(frozen=True, slots=True)
class Generated:
    """New tokens without the stop token, and whether one ended them (else the limit did)."""

    tokens: list[int]
    stopped: bool
    seconds: float


# As an answer ends: the index of its prompt, and the answer.
OnFinished = Callable[[int, Generated], None]
# After each step: indices of prompts [n] and their new tokens [n], a stop token as well.
OnTokens = Callable[[Integers, Integers], None]
# The same with the logits [n, vocabulary] that they were chosen from, which hold until the next
# step. Who asks for logits has no step started ahead.
OnStep = Callable[[Integers, Integers, torch.Tensor], None]


def ignore_tokens(indices: Integers, tokens: Integers) -> None:
    """For callers that need the finished answers alone."""
