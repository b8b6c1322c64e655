"""The rows that are decoded together: their state on the device, their record on the host."""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from shared.inference.forward import decode_logits, prefill_logits
from shared.inference.fused_layers import FusedLayers
from shared.inference.kv_cache import KVCache, cache_dtype
from shared.inference.launched_step import LaunchedStep, TokenFetch
from shared.inference.requests import (
    Generated,
    Integers,
    OnStep,
    OnTokens,
    Prompt,
    Sampling,
    ignore_tokens,
)
from shared.inference.step_graphs import StepGraphs

_FIRST_CAPACITY = 512  # positions of a slot at first on a CPU; they double when a row needs more


class Batch:
    """The rows being decoded. Rows 0 … live - 1 are alive; their state is on the device, its
    record on the host.
    """

    def __init__(
        self,
        model: Any,
        prompts: Sequence[Prompt],
        rows: int,
        sampling: Sampling,
        on_tokens: OnTokens = ignore_tokens,
        on_step: OnStep | None = None,
    ) -> None:
        self.model = model
        self.prompts = prompts
        self.rows = rows
        self.live = 0
        self.runs_ahead = False
        self._sampling = sampling
        self._on_tokens = on_tokens
        self._on_step = on_step
        device = model.device
        self._device = device
        self._longest = max(len(prompt.ids) + prompt.limit for prompt in prompts)
        # A graph holds the cache's addresses, so it cannot grow on a GPU.
        is_cuda = device.type == "cuda"
        capacity = self._longest if is_cuda else min(self._longest, _FIRST_CAPACITY)
        config = model.config.get_text_config()
        self.kv_cache = KVCache(config, rows, capacity, cache_dtype(model), device)
        most_new = max(prompt.limit for prompt in prompts)
        # On the device, [rows]:
        self.tokens = _device_integers(rows, device)  # newest, not yet read
        self.positions = _device_integers(rows, device)  # where it will stand
        self.draws_used = _device_integers(rows, device)
        draws = most_new if sampling.temperature else 1
        self.draws = torch.zeros(rows, draws, device=device)  # [rows, most new tokens]
        # On the host, [rows]:
        self.prompt_index = _integers(rows)  # which prompt a row answers
        self.counts = _integers(rows)  # new tokens so far
        self.limits = _integers(rows)
        self.lengths = _integers(rows)  # of prompt and new tokens
        self.started_at = np.zeros(rows)
        self.output: Integers = np.zeros((rows, most_new), dtype=np.int32)
        self._graphs = StepGraphs(
            rows,
            self.kv_cache.capacity,
            FusedLayers(model) if self.kv_cache.by_kernel else None,
        )
        self._token_fetch = TokenFetch(rows, device)
        self._ahead: LaunchedStep | None = None  # the step that no one has read yet

    def prefill(self, indices: list[int]) -> None:
        """Read prompts into free slots and choose their first tokens."""
        assert self._ahead is None, "a slot was filled under a step that may still use it"
        prompts = [self.prompts[i] for i in indices]
        rows = slice(self.live, self.live + len(prompts))
        logits = self.prefill_logits([prompt.ids for prompt in prompts], rows.start)
        self._admit(rows, indices, prompts)
        self.tokens[rows] = self._sampling.next_tokens(logits, self.draws[rows, 0])
        tokens = self.tokens[rows].cpu().numpy()
        row_numbers = np.arange(rows.start, rows.stop)
        self._record(row_numbers, tokens, logits)

    def prefill_logits(self, texts: Sequence[Sequence[int]], first_row: int) -> torch.Tensor:
        """Read token sequences into the slots from `first_row` on; logits [n, vocabulary] after
        each one's last token.
        """
        self.make_room(max(map(len, texts)))
        return prefill_logits(self.model, self.kv_cache, texts, first_row)

    def _admit(self, rows: slice, indices: list[int], prompts: list[Prompt]) -> None:
        for row, prompt in enumerate(prompts, rows.start):
            if prompt.draws is not None:
                count = len(prompt.draws)
                self.draws[row, :count] = prompt.draws.to(self._device)
        lengths = np.array([len(prompt.ids) for prompt in prompts])
        self.positions[rows] = torch.from_numpy(lengths).to(self._device)
        self.draws_used[rows] = 1
        self.prompt_index[rows] = indices
        self.counts[rows] = 0
        self.lengths[rows] = lengths
        self.limits[rows] = [prompt.limit for prompt in prompts]
        self.started_at[rows] = time.perf_counter()
        self.live = rows.stop

    def step(self) -> None:
        """One more token for every live row."""
        step = self._ahead or self._launch()
        # The next step needs nothing of the host but to be started. It computes one token too many
        # for a row that has met its stop token: no one records it.
        self._ahead = self._launch(pending=1) if self._has_next_step() else None
        logits = step.logits[: self.live]
        self._record(np.arange(self.live), step.wait(), logits)

    def settle(self, rows: Integers) -> None:
        """Wait for the step that runs ahead, if one does, and record it for `rows` alone."""
        step = self._ahead
        self._ahead = None
        if step is not None:
            self._record(rows, step.wait()[rows], step.logits)

    def _has_next_step(self) -> bool:
        """Whether every live row wants another token after the one that is being computed, as far
        as its limit says.
        """
        counts = self.counts[: self.live]
        limits = self.limits[: self.live]
        is_last = counts + 1 >= limits
        return self.runs_ahead and not is_last.any()

    def _launch(self, pending: int = 0) -> LaunchedStep:
        """Start a step; `pending` steps before it are not recorded yet."""
        if self._device.type == "cuda":
            logits = self._graphs.replay(self.live, self.step_logits, self._advance)
        else:
            longest = int(self.lengths[: self.live].max())
            span = longest + pending
            self.make_room(span + 1)
            logits = self._advance(self.live, span)
        return self._token_fetch.start(self.tokens[: self.live], logits)

    def last_tokens(self) -> Integers:
        """The newest token of each live row, [live]."""
        newest = self.counts[: self.live] - 1
        tokens: Integers = self.output[np.arange(self.live), newest]
        return tokens

    def take(self, row: int, stopped: bool) -> tuple[int, Generated]:
        """End a row; the last live one moves into its slot."""
        index = int(self.prompt_index[row])
        count = int(self.counts[row])
        end = count - 1 if stopped else count
        tokens = self.output[row, :end].tolist()
        seconds = time.perf_counter() - float(self.started_at[row])
        last_row = self.live - 1
        if row != last_row:
            self._move(last_row, row)
        self.positions[last_row] = 0
        self.live = last_row
        return index, Generated(tokens, stopped, seconds)

    def _move(self, source: int, target: int) -> None:
        self.kv_cache.move(source, target, int(self.lengths[source]))
        for state in (self.tokens, self.positions, self.draws_used, self.draws):
            state[target] = state[source]
        for record in (
            self.prompt_index,
            self.counts,
            self.limits,
            self.lengths,
            self.started_at,
            self.output,
        ):
            record[target] = record[source]

    def _record(
        self,
        rows: Integers,
        tokens: Integers,
        logits: torch.Tensor,
    ) -> None:
        """Keep the newest tokens [n] of `rows` [n], and tell of them."""
        self.output[rows, self.counts[rows]] = tokens
        self.counts[rows] += 1
        self.lengths[rows] += 1
        indices = self.prompt_index[rows]
        self._on_tokens(indices, tokens)
        if self._on_step is not None:
            self._on_step(indices, tokens, logits)

    def make_room(self, length: int) -> None:
        """Let slots hold `length` tokens, on a CPU."""
        capacity = self.kv_cache.capacity
        if length > capacity:
            wanted = max(length, 2 * capacity)
            self.kv_cache.grow(min(self._longest, wanted))

    def _advance(self, n: int, span: int) -> torch.Tensor:
        """Read the newest token of rows 0 … n - 1, choose the next one; the logits [n, vocabulary]
        that it was chosen from. On a CUDA device this is what a graph holds.
        """
        logits = self.step_logits(n, span)
        # A row that has ended, or a slot that no row holds, has no draw of its own to come.
        last_column = self.draws.shape[1] - 1
        columns = self.draws_used[:n, None].clamp(max=last_column)  # [n, 1]
        draws = self.draws[:n].gather(1, columns)[:, 0]  # [n]
        self.tokens[:n] = self._sampling.next_tokens(logits, draws)
        self.positions[:n] += 1
        self.draws_used[:n] += 1
        return logits

    def step_logits(self, n: int, span: int) -> torch.Tensor:
        """Read the newest token of rows 0 … n - 1 into their slots, after which no row is longer
        than `span`; logits [n, vocabulary] after it.
        """
        return decode_logits(self.model, self.kv_cache, self.tokens[:n], self.positions[:n], span)


def _integers(rows: int) -> Integers:
    """Zeros [rows] on the host."""
    return np.zeros(rows, dtype=np.int64)


def _device_integers(rows: int, device: torch.device) -> torch.Tensor:
    """Zeros [rows] on the device."""
    return torch.zeros(rows, dtype=torch.long, device=device)
