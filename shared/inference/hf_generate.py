"""Decoding by transformers' own `generate`, for architectures that our `KVCache` cannot serve.

Sliding windows, linear attention, capped logits: correct before fast. Prompts are sorted by length,
padded on the left, and answered in batches that end when their last row does.
"""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from shared.inference.generation_config import greedy_decoding
from shared.inference.requests import (
    Generated,
    OnFinished,
    OnStep,
    OnTokens,
    Prompt,
    Sampling,
    ignore_tokens,
)


class HfDecoder:
    """Same interface as `Decoder`."""

    def __init__(self, model: Any, rows: int, sampling: Sampling) -> None:
        self._model = model
        self._rows = rows
        self._sampling = sampling

    @torch.inference_mode()
    def run(
        self,
        prompts: Sequence[Prompt],
        on_finished: OnFinished,
        on_tokens: OnTokens = ignore_tokens,
        on_step: OnStep | None = None,
    ) -> None:
        """Decode all prompts, calling `on_finished(index, answer)` as their batches end."""
        longest_first = sorted(range(len(prompts)), key=lambda i: -len(prompts[i].ids))
        for start in range(0, len(prompts), self._rows):
            indices = longest_first[start : start + self._rows]
            batch_prompts = [prompts[i] for i in indices]
            chooser = _NextTokens(self._sampling, indices, batch_prompts, on_tokens, on_step)
            self._generate(indices, batch_prompts, chooser, on_finished)

    def _generate(
        self,
        indices: list[int],
        prompts: list[Prompt],
        chooser: "_NextTokens",
        on_finished: OnFinished,
    ) -> None:
        """Answer one batch: `prompts` [n] are those of `indices` [n] among all."""
        started_at = time.perf_counter()
        input_ids, attention_mask = _left_padded(prompts)
        prompt_length = input_ids.shape[1]
        device = self._model.device
        stop_ids = list(self._sampling.stop_ids)
        with greedy_decoding(
            self._model,
            max_new_tokens=max(prompt.limit for prompt in prompts),
            eos_token_id=stop_ids or None,
            pad_token_id=stop_ids[0] if stop_ids else 0,
            use_cache=True,
        ) as greedy:
            output = self._model.generate(
                input_ids=input_ids.to(device),
                attention_mask=attention_mask.to(device),
                generation_config=greedy,
                logits_processor=[chooser],
            )  # [n, prompt_length + new tokens]
        seconds = time.perf_counter() - started_at
        for row, (index, prompt) in enumerate(zip(indices, prompts, strict=True)):
            tokens = output[row, prompt_length:][: prompt.limit].tolist()
            stops = (i for i, token in enumerate(tokens) if token in stop_ids)
            end = next(stops, None)
            on_finished(index, Generated(tokens[:end], end is not None, seconds))


def _left_padded(prompts: list[Prompt]) -> tuple[torch.Tensor, torch.Tensor]:
    """(input_ids, attention_mask), both [n, longest]."""
    longest = max(len(prompt.ids) for prompt in prompts)
    input_ids = torch.zeros(len(prompts), longest, dtype=torch.long)
    attention_mask = torch.zeros_like(input_ids)
    for row, prompt in enumerate(prompts):
        input_ids[row, longest - len(prompt.ids) :] = torch.as_tensor(prompt.ids)
        attention_mask[row, longest - len(prompt.ids) :] = 1
    return input_ids, attention_mask


class _NextTokens:
    """Puts our choice of the next token (`sampling.next_tokens`) into `generate` as a logits
    processor: all but that token become impossible.
    """

    def __init__(
        self,
        sampling: Sampling,
        indices: list[int],
        prompts: list[Prompt],
        on_tokens: OnTokens,
        on_step: OnStep | None,
    ) -> None:
        self._sampling = sampling
        self._on_tokens = on_tokens
        self._on_step = on_step
        self._draws = [prompt.draws for prompt in prompts]
        self._indices = np.array(indices)  # [n]
        self._limits = np.array([prompt.limit for prompt in prompts])  # [n]
        self._live = np.ones(len(prompts), dtype=bool)  # [n], no stop token yet
        self._step = 0

    def __call__(
        self,
        input_ids: torch.Tensor,
        scores: torch.Tensor,
    ) -> torch.Tensor:
        """`scores` [n, vocabulary], float32; gives the same with one token left in each row."""
        draws = torch.tensor(
            [self._draw(row_draws) for row_draws in self._draws],
            device=scores.device,
        )
        tokens = self._sampling.next_tokens(scores, draws)
        self._report(tokens, scores)
        self._step += 1
        return torch.full_like(scores, -torch.inf).scatter_(1, tokens[:, None], 0.0)

    def _draw(self, row_draws: torch.Tensor | None) -> float:
        if row_draws is None or self._step >= len(row_draws):
            return 0.0
        return float(row_draws[self._step])

    def _report(self, tokens: torch.Tensor, scores: torch.Tensor) -> None:
        """Tell of the rows that are still answering; `generate` computes the others along."""
        live = self._live & (self._step < self._limits)
        step_tokens = tokens.cpu().numpy()
        if live.any():
            self._on_tokens(self._indices[live], step_tokens[live])
            if self._on_step is not None:
                rows = torch.from_numpy(live).to(scores.device)
                self._on_step(self._indices[live], step_tokens[live], scores[rows])
        self._live &= ~np.isin(step_tokens, self._sampling.stop_ids)
