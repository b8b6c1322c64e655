"""Decoding by transformers' own `generate`, for architectures whose attention our slots cannot
serve.

Sliding windows, linear attention, capped logits: correct before fast. Prompts are sorted by length,
padded on the left, and answered in batches that end when their last row does.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

import torch

from shared.inference.continuous_batching import Finished, Generated, Prompt, Sampling
from shared.inference.sampling import choose


class StaticDecoder:
    """Same interface as `Decoder`."""

    def __init__(self, model: Any, rows: int, sampling: Sampling) -> None:
        self._model, self._rows, self._sampling = model, rows, sampling

    @torch.inference_mode()
    def run(
        self,
        prompts: Sequence[Prompt],
        finished: Finished,
        tick: Callable[[int], None] = lambda _: None,
    ) -> None:
        order = sorted(range(len(prompts)), key=lambda i: -len(prompts[i].ids))
        for start in range(0, len(order), self._rows):
            self._batch(
                [(i, prompts[i]) for i in order[start : start + self._rows]], finished, tick
            )

    def _batch(
        self, batch: list[tuple[int, Prompt]], finished: Finished, tick: Callable[[int], None]
    ) -> None:
        began = time.perf_counter()
        longest = max(len(p.ids) for _, p in batch)
        ids = torch.zeros(len(batch), longest, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, (_, prompt) in enumerate(batch):
            ids[row, longest - len(prompt.ids) :] = torch.as_tensor(prompt.ids)
            mask[row, longest - len(prompt.ids) :] = 1
        device = self._model.device
        output = self._model.generate(
            ids.to(device),
            attention_mask=mask.to(device),
            max_new_tokens=max(p.limit for _, p in batch),
            do_sample=False,
            eos_token_id=list(self._sampling.stop_ids),
            pad_token_id=self._sampling.stop_ids[0],
            logits_processor=[_Chooser(self._sampling, [p for _, p in batch], longest, tick)],
        )
        seconds = time.perf_counter() - began
        stops = set(self._sampling.stop_ids)
        for row, (index, prompt) in enumerate(batch):
            tokens = output[row, longest:][: prompt.limit].tolist()
            end = next((i for i, token in enumerate(tokens) if token in stops), None)
            finished(index, Generated(tokens[:end], end is not None, seconds))


class _Chooser:
    """Puts our choice of the next token (`choosing.choose`) into `generate`: all but that token
    become impossible.
    """

    def __init__(
        self, sampling: Sampling, prompts: list[Prompt], longest: int, tick: Callable[[int], None]
    ) -> None:
        self._sampling, self._longest, self._tick = sampling, longest, tick
        self._draws = [p.draws for p in prompts]

    def __call__(self, ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        step = ids.shape[1] - self._longest
        at_step = [0.0 if d is None or step >= len(d) else float(d[step]) for d in self._draws]
        draws = torch.tensor(at_step, device=scores.device)
        tokens = choose(scores, self._sampling.temperature, self._sampling.top_p, draws)
        self._tick(len(tokens))
        return torch.full_like(scores, -torch.inf).scatter_(1, tokens[:, None], 0.0)
