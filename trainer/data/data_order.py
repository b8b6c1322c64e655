"""Which examples make up which optimiser step, and how a step is cut into micro-batches. Pure and
exact.

The order of the whole run is a list that follows from the seed alone, so a resumed run sees exactly
the data it would have seen. A micro-batch never changes what a step is: the same examples, whatever
fits at once.
"""

import math
import random
from collections.abc import Sequence


def run_order(
    sizes: Sequence[int], weights: Sequence[float], epochs: float, seed: int
) -> list[int]:
    """Indices into the examples of all corpora laid end to end (`sizes` of them each), for the
    whole run.

    An epoch has as many examples as there are. Without `weights` it is a shuffle of all of them.
    With weights each corpus gives its share, going round its own examples again and again where
    they are too few, and each example of a corpus is used equally often to within one. A last part
    of an epoch (1.5 epochs) is the first part of its shuffle.
    """
    total = sum(sizes)
    counts = _counts(total, sizes, weights)
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    rounds = [
        _Rounds(start, size, seed + 7919 * i)
        for i, (start, size) in enumerate(zip(starts, sizes, strict=True))
    ]
    order: list[int] = []
    for epoch in range(math.ceil(epochs)):
        indices = [
            index
            for count, source in zip(counts, rounds, strict=True)
            for index in source.take(count)
        ]
        random.Random(f"order {seed} {epoch}").shuffle(indices)
        order += indices
    return order[: round(epochs * total)]


def shares(lengths: Sequence[int], world: int) -> list[list[int]]:
    """A step's examples (their `lengths` in tokens) dealt to `world` processes: indices for each,
    as many tokens each.

    Longest first, each to the process with the fewest tokens: all of them are to end the step
    together. There may be processes without an example, in the last step of a run.
    """
    dealt: list[list[int]] = [[] for _ in range(world)]
    tokens = [0] * world
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        process = tokens.index(min(tokens))
        dealt[process].append(index)
        tokens[process] += lengths[index]
    return dealt


def micro_batches(
    lengths: Sequence[int], rows: int, tokens: int, apart: bool = False
) -> list[list[int]]:
    """A step's examples (their `lengths`) in as few micro-batches of at most `rows` examples and
    `tokens` tokens as best fit decreasing finds, and those as even as it finds them.

    A single example longer than `tokens` stands alone. Even ones take the least memory, and none is
    so small that the GPU waits for its launches: of 21,000 tokens at 16,384 two of 10,500 are
    better than 16,300 and 4,700.

    `apart`: each example on a row of its own, padded to the longest of its micro-batch; padding
    counts as tokens.
    """
    if apart:
        return _alike(lengths, rows, tokens)
    batches = _best_fit(lengths, rows, tokens)
    # The smallest room in which as few batches do; no less than their average.
    low = math.ceil(sum(lengths) / max(1, len(batches)))
    high = tokens
    while low < high:
        middle = (low + high) // 2
        candidate = _best_fit(lengths, rows, middle)
        if len(candidate) <= len(batches):
            batches = candidate
            high = middle
        else:
            low = middle + 1
    return batches


def _alike(lengths: Sequence[int], rows: int, tokens: int) -> list[list[int]]:
    """Examples of like length together, the longest first, so that little is padded."""
    batches: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        batch = batches[-1] if batches else []
        if batch and len(batch) < rows and (len(batch) + 1) * lengths[batch[0]] <= tokens:
            batch.append(index)
        else:
            batches.append([index])
    return batches


def _best_fit(lengths: Sequence[int], rows: int, tokens: int) -> list[list[int]]:
    """Longest first, each into the fullest batch that still has room."""
    batches: list[list[int]] = []
    room: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        fits = [
            b for b in range(len(batches)) if room[b] >= lengths[index] and len(batches[b]) < rows
        ]
        if fits:
            best = min(fits, key=lambda b: room[b])
        else:
            best = len(batches)
            batches.append([])
            room.append(tokens)
        batches[best].append(index)
        room[best] -= lengths[index]
    return batches


class _Rounds:
    """Goes round one corpus's indices for ever, each round in a new order."""

    def __init__(self, start: int, size: int, seed: int) -> None:
        self._indices = range(start, start + size)
        self._seed = seed
        self._round = 0
        self._queue: list[int] = []  # of this round

    def take(self, count: int) -> list[int]:
        """The next `count` indices."""
        indices: list[int] = []
        while len(indices) < count:
            if not self._queue:
                self._queue = list(self._indices)
                random.Random(f"round {self._seed} {self._round}").shuffle(self._queue)
                self._round += 1
            part = min(count - len(indices), len(self._queue))
            indices += self._queue[:part]
            del self._queue[:part]
        return indices


def _counts(total: int, sizes: Sequence[int], weights: Sequence[float]) -> list[int]:
    """How many of an epoch's `total` examples each corpus gives, by largest remainder."""
    if not weights:
        return list(sizes)
    whole = sum(weight for weight, size in zip(weights, sizes, strict=True) if size)
    exact = [
        total * weight / whole if size else 0.0 for weight, size in zip(weights, sizes, strict=True)
    ]
    counts = [math.floor(share) for share in exact]
    by_remainder = sorted(range(len(exact)), key=lambda i: counts[i] - exact[i])
    for i in by_remainder[: total - sum(counts)]:
        counts[i] += 1
    return counts
