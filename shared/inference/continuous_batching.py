"""The generation loop: rows are decoded together, leave the batch when they end, and others take
their place.

A step costs a GPU's host far more than the card: transformers launches some thousand kernels for
each token. So on a CUDA device a whole step is captured once as a CUDA graph for each of a few
batch sizes and replayed. On a CPU the rows that are still alive are all that is computed. Both run
the same loop.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from shared.inference.kv_cache import ATTENTION, Slots
from shared.inference.sampling import choose

# Batch sizes for which a step is captured; a batch between two of them runs as the next larger one.
_GRAPH_SIZES = (
    1,
    2,
    4,
    8,
    16,
    32,
    48,
    64,
    96,
    128,
    160,
    192,
    224,
    256,
    320,
    384,
    448,
    512,
    640,
    768,
    896,
    1024,
)
_FIRST_CAPACITY = 512  # places a slot starts with on a CPU; it doubles when a row needs more


@dataclass(frozen=True, slots=True)
class Prompt:
    """One answer that is wanted: the prompt's tokens, its most new tokens, its uniform draws
    (None: greedy).
    """

    ids: Sequence[int]
    limit: int
    draws: torch.Tensor | None = None


@dataclass(frozen=True, slots=True)
class Sampling:
    temperature: float = 0.0
    top_p: float = 1.0
    stop_ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Generated:
    """New tokens without the stop token, and whether one ended them (else the limit did)."""

    tokens: list[int]
    stopped: bool
    seconds: float


Finished = Callable[[int, Generated], None]
Integers = np.ndarray[Any, np.dtype[Any]]


class Decoder:
    """Decodes many prompts with one model. Owns the slots; `rows` answers are in the batch at
    once.
    """

    def __init__(self, model: Any, rows: int, sampling: Sampling, read_tokens: int = 16384) -> None:
        self._model, self._rows, self._sampling, self._read_tokens = (
            model,
            rows,
            sampling,
            read_tokens,
        )
        self._device = model.device
        self._stop_ids = np.array(sampling.stop_ids, dtype=np.int64)
        model.set_attn_implementation(ATTENTION)

    @torch.inference_mode()
    def run(
        self,
        prompts: Sequence[Prompt],
        finished: Finished,
        tick: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Decode all prompts, calling `finished(index, generated)` as each ends, in whatever order
        they do.

        `tick(n)` is called after each step with the number of tokens that it made.
        """
        if not prompts:
            return
        batch = _Batch(self._model, prompts, min(self._rows, len(prompts)), self._sampling)
        # Longest first: prompts read together have like lengths, and memory is fullest at the
        # start, not the end.
        waiting = deque(sorted(range(len(prompts)), key=lambda i: -len(prompts[i].ids)))
        enough = max(
            1, batch.rows // 10
        )  # reading prompts halts the others: worth it for several at once
        while waiting or batch.live:
            free = batch.rows - batch.live
            if waiting and (free >= min(enough, len(waiting)) or not batch.live):
                self._fill(batch, waiting, free)
            else:
                batch.step()
                tick(batch.live)
            self._dismiss(batch, finished)

    @torch.inference_mode()
    def next_probabilities(self, ids: Sequence[int]) -> torch.Tensor:
        """Probabilities [vocabulary] of the token after `ids`, its last token taken as a step:
        both ways tried.
        """
        batch = _Batch(self._model, [Prompt(ids, 1)], 1, Sampling())
        batch.read_logits([ids[:-1]], 0)
        batch.tokens[0], batch.positions[0], batch.lengths[0] = ids[-1], len(ids) - 1, len(ids)
        batch.make_room(len(ids))
        return torch.softmax(batch.step_logits(1)[0].float(), -1)

    def _fill(self, batch: "_Batch", waiting: deque[int], free: int) -> None:
        longest = len(batch.prompts[waiting[0]].ids)
        count = max(1, min(free, len(waiting), self._read_tokens // longest))
        batch.read([waiting.popleft() for _ in range(count)])

    def _dismiss(self, batch: "_Batch", finished: Finished) -> None:
        """Hand over the rows that have ended; the last live rows take their slots, so live rows
        stay together.
        """
        stopped = np.isin(batch.last_tokens(), self._stop_ids)
        full = batch.counts[: batch.live] >= batch.limits[: batch.live]
        for row in np.flatnonzero(stopped | full)[::-1]:
            index, generated = batch.take(int(row), bool(stopped[row]))
            if len(generated.tokens) > batch.prompts[index].limit:
                raise AssertionError(
                    f"{len(generated.tokens)} tokens where {batch.prompts[index].limit} were"
                    " allowed"
                )
            finished(index, generated)


class _Batch:
    """The rows being decoded. Rows 0 … live - 1 are alive; their state is on the device, its
    record on the host.
    """

    def __init__(
        self, model: Any, prompts: Sequence[Prompt], rows: int, sampling: Sampling
    ) -> None:
        self.model, self.prompts, self.rows, self.live = model, prompts, rows, 0
        self._sampling, self._device = sampling, model.device
        self._most = max(len(p.ids) + p.limit for p in prompts)
        longest = max(p.limit for p in prompts)
        capacity = self._most if model.device.type == "cuda" else min(self._most, _FIRST_CAPACITY)
        self.slots = Slots(
            model.config.get_text_config(), rows, capacity, model.dtype, model.device
        )
        self.tokens = torch.zeros(
            rows, dtype=torch.long, device=self._device
        )  # the newest token, not yet read
        self.positions = torch.zeros(rows, dtype=torch.long, device=self._device)  # and its place
        self.steps = torch.zeros(rows, dtype=torch.long, device=self._device)  # draws used
        self.draws = torch.zeros(rows, longest if sampling.temperature else 1, device=self._device)
        self.index: Integers = np.zeros(rows, dtype=np.int64)  # which prompt a row answers
        self.counts: Integers = np.zeros(rows, dtype=np.int64)  # new tokens so far
        self.limits: Integers = np.zeros(rows, dtype=np.int64)
        self.lengths: Integers = np.zeros(rows, dtype=np.int64)  # of prompt and new tokens
        self.began = np.zeros(rows)
        self.output: Integers = np.zeros((rows, longest), dtype=np.int32)
        self._graphs: dict[int, torch.cuda.CUDAGraph] = {}

    def read(self, indices: list[int]) -> None:
        """Read prompts into free slots and choose their first tokens."""
        chosen = [self.prompts[i] for i in indices]
        rows = slice(self.live, self.live + len(chosen))
        logits = self.read_logits([p.ids for p in chosen], rows.start)
        self._admit(rows, indices, chosen)
        self.tokens[rows] = self._choose(logits, self.draws[rows, 0])
        self._record(rows)

    def read_logits(self, texts: Sequence[Sequence[int]], first: int) -> torch.Tensor:
        """Read token sequences into the slots from `first` on; logits [n, vocabulary] after
        each one's last token.
        """
        n, sizes = len(texts), torch.tensor([len(ids) for ids in texts])
        longest = int(sizes.max())
        self.make_room(longest)
        ids = torch.zeros(n, longest, dtype=torch.long)
        for row, text in enumerate(texts):
            ids[row, : len(text)] = torch.as_tensor(text)
        ends, place = torch.unique(
            sizes - 1, return_inverse=True
        )  # logits are wanted at each text's last token only
        with self.slots.reading(first):
            output = self.model(
                input_ids=ids.to(self._device),
                position_ids=torch.arange(longest, device=self._device).expand(n, -1),
                past_key_values=self.slots,
                use_cache=True,
                slots=self.slots,
                logits_to_keep=ends.to(self._device),
            )
        logits: torch.Tensor = output.logits[torch.arange(n), place]
        return logits

    def _admit(self, rows: slice, indices: list[int], chosen: list[Prompt]) -> None:
        for row, prompt in enumerate(chosen, rows.start):
            if prompt.draws is not None:
                self.draws[row, : len(prompt.draws)] = prompt.draws.to(self._device)
        sizes = np.array([len(p.ids) for p in chosen])
        self.positions[rows] = torch.from_numpy(sizes).to(self._device)
        self.steps[rows] = 1
        self.index[rows], self.counts[rows], self.lengths[rows] = indices, 0, sizes
        self.limits[rows] = [p.limit for p in chosen]
        self.began[rows] = time.perf_counter()
        self.live = rows.stop

    def step(self) -> None:
        """One more token for every live row."""
        if self._device.type == "cuda":
            size = next(
                (size for size in _GRAPH_SIZES if self.live <= size <= self.rows), self.rows
            )
            if size not in self._graphs:
                self._graphs[size] = self._capture(size)
            self._graphs[size].replay()
        else:
            self.make_room(int(self.lengths[: self.live].max()) + 1)
            self._advance(self.live)
        self._record(slice(0, self.live))

    def last_tokens(self) -> Integers:
        tokens: Integers = self.output[np.arange(self.live), self.counts[: self.live] - 1]
        return tokens

    def take(self, row: int, stopped: bool) -> tuple[int, Generated]:
        """End a row; the last live one moves into its slot."""
        index, count = int(self.index[row]), int(self.counts[row])
        tokens = self.output[row, : count - stopped].tolist()
        seconds = time.perf_counter() - float(self.began[row])
        last = self.live - 1
        if row != last:
            self.slots.move(last, row, int(self.lengths[last]))
            for state in (self.tokens, self.positions, self.steps, self.draws):
                state[row] = state[last]
            for record in (
                self.index,
                self.counts,
                self.limits,
                self.lengths,
                self.began,
                self.output,
            ):
                record[row] = record[last]
        self.positions[last] = 0
        self.live = last
        return index, Generated(tokens, stopped, seconds)

    def _record(self, rows: slice) -> None:
        """Fetch the rows' newest tokens from the device."""
        self.output[np.arange(rows.start, rows.stop), self.counts[rows]] = (
            self.tokens[rows].cpu().numpy()
        )
        self.counts[rows] += 1
        self.lengths[rows] += 1

    def make_room(self, needed: int) -> None:
        if needed > self.slots.capacity:
            self.slots.grow(min(self._most, max(needed, 2 * self.slots.capacity)))

    def _advance(self, n: int) -> None:
        """Read the newest token of rows 0 … n - 1, choose the next one. On a CUDA device this
        is what a graph holds.
        """
        logits = self.step_logits(n)
        steps = self.steps[:n, None].clamp(max=self.draws.shape[1] - 1)
        self.tokens[:n] = self._choose(logits, self.draws[:n].gather(1, steps)[:, 0])
        self.positions[:n] += 1
        self.steps[:n] += 1

    def step_logits(self, n: int) -> torch.Tensor:
        """Read the newest token of rows 0 … n - 1 into the slots; logits [n, vocabulary] after
        it.
        """
        # a slot that no row holds is computed along in a graph: it stays inside its own bounds
        positions = self.positions[:n].clamp(max=self.slots.capacity - 1)
        span = self.slots.capacity if positions.is_cuda else int(self.lengths[:n].max())
        with self.slots.stepping(positions, span):
            output = self.model(
                input_ids=self.tokens[:n, None],
                position_ids=positions[:, None],
                past_key_values=self.slots,
                use_cache=True,
                slots=self.slots,
            )
        logits: torch.Tensor = output.logits[:, -1]
        return logits

    def _choose(self, logits: torch.Tensor, draws: torch.Tensor) -> torch.Tensor:
        return choose(logits, self._sampling.temperature, self._sampling.top_p, draws)

    def _capture(self, n: int) -> torch.cuda.CUDAGraph:
        """A step of n rows as a graph. Warming up writes what the step itself will write again."""
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(2):
                self.step_logits(n)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._advance(n)
        return graph
