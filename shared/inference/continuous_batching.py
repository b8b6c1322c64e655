"""The generation loop: rows are decoded together, leave the batch when they end, and others take
their place.

A step costs a GPU's host far more than the card: transformers launches some thousand kernels for
each token. So on a CUDA device a whole step is captured once as a CUDA graph for each of a few
batch sizes and replayed, and the next step starts before the host has looked at the tokens of the
last one. On a CPU the rows that are still alive are all that is computed. Both run the same loop.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from shared.inference.fused_layers import FusedLayers
from shared.inference.kv_cache import KVCache, cache_dtype, cached_attention
from shared.inference.sampling import next_tokens

# Batch sizes for which a step is captured; a batch between two of them runs as the next larger one.
_GRAPH_SIZES = (
    *(1, 2, 4, 8, 16, 32, 48, 64, 96, 128, 160, 192, 224, 256),
    *(320, 384, 448, 512, 640, 768, 896, 1024),
)
_FIRST_CAPACITY = 512  # positions of a slot at first on a CPU; they double when a row needs more
_PREFILL_TOKENS = 16384  # most tokens of prompts that one forward call reads

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

    def next_tokens(self, logits: torch.Tensor, draws: torch.Tensor) -> torch.Tensor:
        """Next tokens [n] from logits [n, vocabulary] and one draw a row [n]."""
        return next_tokens(logits, self.temperature, self.top_p, draws, self.top_k, self.min_p)


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
            batch = _Batch(self._model, prompts, rows, self._sampling, on_tokens, on_step)
            batch.runs_ahead = self._runs_ahead and on_step is None
            self._decode_all(batch, on_finished)

    def _decode_all(self, batch: "_Batch", on_finished: OnFinished) -> None:
        # Longest first: prompts read together have like lengths, and memory is fullest at the
        # start, not the end.
        longest_first = sorted(range(len(batch.prompts)), key=lambda i: -len(batch.prompts[i].ids))
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
            batch = _Batch(self._model, prompts, 1, Sampling())
            batch.prefill_logits([ids[:-1]], 0)
            batch.tokens[0] = ids[-1]
            batch.positions[0] = len(ids) - 1
            batch.lengths[0] = len(ids)
            batch.make_room(len(ids))
            logits = batch.step_logits(1, len(ids))  # [1, vocabulary]
        return torch.softmax(logits[0].float(), -1)

    def _fill(self, batch: "_Batch", waiting: deque[int], free: int) -> None:
        longest = len(batch.prompts[waiting[0]].ids)
        count = max(1, min(free, len(waiting), _PREFILL_TOKENS // longest))
        batch.prefill([waiting.popleft() for _ in range(count)])

    def _dismiss(self, batch: "_Batch", on_finished: OnFinished) -> None:
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

    def _ended(self, batch: "_Batch") -> tuple[Integers, Integers]:
        """Which live rows have ended, and which of them by a stop token; both bool [live]."""
        is_stopped = np.isin(batch.last_tokens(), self._stop_ids)
        is_full = batch.counts[: batch.live] >= batch.limits[: batch.live]
        return is_stopped | is_full, is_stopped


@dataclass(frozen=True, slots=True)
class _LaunchedStep:
    """A step that the device may still be computing."""

    tokens: torch.Tensor  # [live], on their way to the host
    logits: torch.Tensor  # [at least live, vocabulary]
    done: Any  # a CUDA event; None on a CPU

    def wait(self) -> Integers:
        """The tokens [live], once they are there."""
        if self.done is not None:
            self.done.synchronize()
        tokens: Integers = self.tokens.numpy()
        return tokens


class _Batch:
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
        self.tokens = torch.zeros(rows, dtype=torch.long, device=device)  # newest, not yet read
        self.positions = torch.zeros(rows, dtype=torch.long, device=device)  # where it will stand
        self.draws_used = torch.zeros(rows, dtype=torch.long, device=device)
        draws = most_new if sampling.temperature else 1
        self.draws = torch.zeros(rows, draws, device=device)  # [rows, most new tokens]
        # On the host, [rows]:
        self.prompt_index: Integers = np.zeros(rows, dtype=np.int64)  # which prompt a row answers
        self.counts: Integers = np.zeros(rows, dtype=np.int64)  # new tokens so far
        self.limits: Integers = np.zeros(rows, dtype=np.int64)
        self.lengths: Integers = np.zeros(rows, dtype=np.int64)  # of prompt and new tokens
        self.started_at = np.zeros(rows)
        self.output: Integers = np.zeros((rows, most_new), dtype=np.int32)
        self._fused_layers = FusedLayers(model) if self.kv_cache.by_kernel else None
        # Two places on the host for the tokens of a step, used in turn: one may be read while the
        # next step fills the other.
        self._host_tokens = torch.zeros(2, rows, dtype=torch.long, pin_memory=is_cuda)
        self._host_turn = 0
        self._ahead: _LaunchedStep | None = None  # the step that no one has read yet
        # A captured step by its batch size, and the logits [size, vocabulary] that it writes.
        self._graphs: dict[int, tuple[torch.cuda.CUDAGraph, torch.Tensor]] = {}

    def prefill(self, indices: list[int]) -> None:
        """Read prompts into free slots and choose their first tokens."""
        assert self._ahead is None, "a slot was filled under a step that may still use it"
        prompts = [self.prompts[i] for i in indices]
        rows = slice(self.live, self.live + len(prompts))
        logits = self.prefill_logits([prompt.ids for prompt in prompts], rows.start)
        self._admit(rows, indices, prompts)
        self.tokens[rows] = self._sampling.next_tokens(logits, self.draws[rows, 0])
        tokens = self.tokens[rows].cpu().numpy()
        self._record(np.arange(rows.start, rows.stop), tokens, logits)

    def prefill_logits(self, texts: Sequence[Sequence[int]], first_row: int) -> torch.Tensor:
        """Read token sequences into the slots from `first_row` on; logits [n, vocabulary] after
        each one's last token.
        """
        n = len(texts)
        lengths = torch.tensor([len(token_ids) for token_ids in texts])
        longest = int(lengths.max())
        self.make_room(longest)
        input_ids = torch.zeros(n, longest, dtype=torch.long)  # padded on the right
        for row, token_ids in enumerate(texts):
            input_ids[row, : len(token_ids)] = torch.as_tensor(token_ids)
        # Logits at each text's last token only: the model makes them at all last positions that
        # occur, [n, positions, vocabulary], and each text takes its own.
        last_positions, own = torch.unique(lengths - 1, return_inverse=True)
        with self.kv_cache.prefill(first_row):
            output = self.model(
                input_ids=input_ids.to(self._device),
                position_ids=torch.arange(longest, device=self._device).expand(n, -1),
                past_key_values=self.kv_cache,
                use_cache=True,
                kv_cache=self.kv_cache,
                logits_to_keep=last_positions.to(self._device),
            )
        logits: torch.Tensor = output.logits[torch.arange(n), own]
        return logits

    def _admit(
        self,
        rows: slice,
        indices: list[int],
        prompts: list[Prompt],
    ) -> None:
        for row, prompt in enumerate(prompts, rows.start):
            if prompt.draws is not None:
                self.draws[row, : len(prompt.draws)] = prompt.draws.to(self._device)
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
        self._record(np.arange(self.live), step.wait(), step.logits[: self.live])

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
        is_last = self.counts[: self.live] + 1 >= self.limits[: self.live]
        return self.runs_ahead and not is_last.any()

    def _launch(self, pending: int = 0) -> _LaunchedStep:
        """Start a step; `pending` steps before it are not recorded yet."""
        if self._device.type == "cuda":
            logits = self._replay()
        else:
            span = int(self.lengths[: self.live].max()) + pending
            self.make_room(span + 1)
            logits = self._advance(self.live, span)
        host_tokens = self._host_tokens[self._host_turn, : self.live]
        self._host_turn = 1 - self._host_turn
        host_tokens.copy_(self.tokens[: self.live], non_blocking=True)
        done = None
        if self._device.type == "cuda":
            done = torch.cuda.Event()  # type: ignore[no-untyped-call]
            done.record()
        return _LaunchedStep(host_tokens, logits, done)

    def _replay(self) -> torch.Tensor:
        """A step from its graph, of the smallest size that holds all live rows; its logits."""
        sizes = (size for size in _GRAPH_SIZES if self.live <= size <= self.rows)
        size = next(sizes, self.rows)
        if size not in self._graphs:
            self._graphs[size] = self._capture(size)
        graph, logits = self._graphs[size]
        graph.replay()
        return logits

    def last_tokens(self) -> Integers:
        """The newest token of each live row, [live]."""
        tokens: Integers = self.output[np.arange(self.live), self.counts[: self.live] - 1]
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
        records = (self.prompt_index, self.counts, self.limits, self.lengths, self.started_at)
        for record in (*records, self.output):
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
            self.kv_cache.grow(min(self._longest, max(length, 2 * capacity)))

    def _advance(self, n: int, span: int) -> torch.Tensor:
        """Read the newest token of rows 0 … n - 1, choose the next one; the logits [n, vocabulary]
        that it was chosen from. On a CUDA device this is what a graph holds.
        """
        logits = self.step_logits(n, span)
        columns = self.draws_used[:n, None].clamp(max=self.draws.shape[1] - 1)  # [n, 1]
        draws = self.draws[:n].gather(1, columns)[:, 0]  # [n]
        self.tokens[:n] = self._sampling.next_tokens(logits, draws)
        self.positions[:n] += 1
        self.draws_used[:n] += 1
        return logits

    def step_logits(self, n: int, span: int) -> torch.Tensor:
        """Read the newest token of rows 0 … n - 1 into their slots, after which no row is longer
        than `span`; logits [n, vocabulary] after it.
        """
        # A slot that no row holds is computed along in a graph: it stays inside its own bounds.
        positions = self.positions[:n].clamp(max=self.kv_cache.capacity - 1)
        with self.kv_cache.decode(positions, span):
            output = self.model(
                input_ids=self.tokens[:n, None],
                position_ids=positions[:, None],
                past_key_values=self.kv_cache,
                use_cache=True,
                kv_cache=self.kv_cache,
            )
        logits: torch.Tensor = output.logits[:, -1]
        return logits

    def _capture(self, n: int) -> tuple[torch.cuda.CUDAGraph, torch.Tensor]:
        """A step of n rows as a graph, and its logits. Warming up writes what the step itself will
        write again.
        """
        capacity = self.kv_cache.capacity
        with self._fused_layers.active() if self._fused_layers else nullcontext():
            warm_up = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            warm_up.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(warm_up):
                self.step_logits(n, capacity)
            torch.cuda.current_stream().wait_stream(warm_up)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                logits = self._advance(n, capacity)
        return graph, logits
