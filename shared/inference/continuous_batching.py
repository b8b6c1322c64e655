"""The generation loop: rows are decoded together, leave the batch when they end, and others take
their place.

A step costs a GPU's host far more than the card: transformers launches some thousand kernels for
each token. So on a CUDA device a whole step is captured once as a CUDA graph for each of a few
batch sizes and replayed, and the next step starts before the host has looked at the tokens of the
last one. On a CPU the rows that are still alive are all that is computed. Both run the same loop.
"""

from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from shared.inference.batch import Batch
from shared.inference.kv_cache import cached_attention
from shared.inference.requests import (
    Integers,
    OnFinished,
    OnStep,
    OnTokens,
    Prompt,
    Sampling,
    ignore_tokens,
)

_PREFILL_TOKENS = 16384  # most tokens of prompts that one forward call reads


class Decoder:
    """Decodes many prompts with one model; `rows` answers are in the batch at once.

    `runs_ahead`: whether the next step starts before the host has read the last one's tokens;
    None: on a GPU.
    """

    def __init__(
        self,
        model: Any,
        rows: int,
        sampling: Sampling,
        runs_ahead: bool | None = None,
    ) -> None:
        self._model = model
        self._rows = rows
        self._sampling = sampling
        self._runs_ahead = model.device.type == "cuda" if runs_ahead is None else runs_ahead
        self._stop_ids = np.array(sampling.stop_ids, dtype=np.int64)

    @torch.inference_mode()
    def run(
        self,
        prompts: Sequence[Prompt],
        on_finished: OnFinished,
        on_tokens: OnTokens = ignore_tokens,
        on_step: OnStep | None = None,
    ) -> None:
        """Decode all prompts, calling `on_finished(index, answer)` as each ends, in whatever order
        they do.
        """
        if not prompts:
            return
        rows = min(self._rows, len(prompts))
        with cached_attention(self._model):
            batch = Batch(self._model, prompts, rows, self._sampling, on_tokens, on_step)
            batch.runs_ahead = self._runs_ahead and on_step is None
            self._decode_all(batch, on_finished)

    def _decode_all(self, batch: Batch, on_finished: OnFinished) -> None:
        # Longest first: prompts read together have like lengths, and memory is fullest at the
        # start, not the end.
        lengths = [len(prompt.ids) for prompt in batch.prompts]
        longest_first = sorted(range(len(lengths)), key=lambda i: -lengths[i])
        waiting = deque(longest_first)
        # Prefill halts the rows that decode: it is worth it for several prompts at once.
        worth_prefill = max(1, batch.rows // 10)
        while waiting or batch.live:
            free = batch.rows - batch.live
            is_worth_it = free >= min(worth_prefill, len(waiting)) or batch.live == 0
            if waiting and is_worth_it:
                self._fill(batch, waiting, free)
            else:
                batch.step()
            self._dismiss(batch, on_finished)

    @torch.inference_mode()
    def next_probabilities(self, ids: Sequence[int]) -> torch.Tensor:
        """Probabilities [vocabulary] of the token after `ids`, two at least: all but the last one
        by prefill, the last one by a decode step, so that both ways are tried.
        """
        prompts = [Prompt(ids, 1)]
        with cached_attention(self._model):
            batch = Batch(self._model, prompts, 1, Sampling())
            batch.prefill_logits([ids[:-1]], 0)
            batch.tokens[0] = ids[-1]
            batch.positions[0] = len(ids) - 1
            batch.lengths[0] = len(ids)
            batch.make_room(len(ids))
            logits = batch.step_logits(1, len(ids))  # [1, vocabulary]
        return torch.softmax(logits[0].float(), -1)

    def _fill(self, batch: Batch, waiting: deque[int], free: int) -> None:
        longest = len(batch.prompts[waiting[0]].ids)
        most_at_once = max(1, _PREFILL_TOKENS // longest)
        count = min(free, len(waiting), most_at_once)
        batch.prefill([waiting.popleft() for _ in range(count)])

    def _dismiss(self, batch: Batch, on_finished: OnFinished) -> None:
        """Hand over the rows that have ended; the last live rows take their slots, so live rows
        stay together.
        """
        is_ended, _ = self._ended(batch)
        if not is_ended.any():
            return
        batch.settle(np.flatnonzero(~is_ended))
        is_ended, is_stopped = self._ended(batch)
        for row in np.flatnonzero(is_ended)[::-1]:
            index, answer = batch.take(int(row), bool(is_stopped[row]))
            limit = batch.prompts[index].limit
            if len(answer.tokens) > limit:
                raise AssertionError(f"{len(answer.tokens)} tokens where {limit} were allowed")
            on_finished(index, answer)

    def _ended(self, batch: Batch) -> tuple[Integers, Integers]:
        """Which live rows have ended, and which of them by a stop token; both bool [live]."""
        is_stopped = np.isin(batch.last_tokens(), self._stop_ids)
        counts = batch.counts[: batch.live]
        limits = batch.limits[: batch.live]
        is_full = counts >= limits
        return is_stopped | is_full, is_stopped
