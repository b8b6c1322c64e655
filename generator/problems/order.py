"""A seeded order of a data set in memory that does not grow with it.

Rows with an address (lines of a file) are visited by `Permutation`: a Feistel network over the row
numbers, walked until it lands inside (cycle walking; Black and Rogaway, "Ciphers with arbitrary
finite domains", 2002). Rows that only stream (Parquet row groups, a hub) pass through `shuffled`, a
buffer of fixed size.
"""

import hashlib
import random
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")

BUFFER_ROWS = 10_000
# enough that no structure shows (Luby and Rackoff, 1988); this is an order, not a cipher
_ROUNDS = 4
_MASK = (1 << 64) - 1


class Permutation:
    """`permutation[i]` for i in 0..n-1 is each of 0..n-1 once; n and seed alone decide the
    order.
    """

    def __init__(self, n: int, seed: int) -> None:
        self.n = n
        self._half = max(1, ((max(n - 1, 1)).bit_length() + 1) // 2)
        self._low = (1 << self._half) - 1
        digest = hashlib.sha256(f"order {seed}".encode()).digest()
        self._keys = [int.from_bytes(digest[8 * i : 8 * i + 8], "big") | 1 for i in range(_ROUNDS)]

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, index: int) -> int:
        if not 0 <= index < self.n:
            raise IndexError(index)
        index = self._once(index)
        while index >= self.n:
            index = self._once(index)
        return index

    def _once(self, index: int) -> int:
        high_bits = index >> self._half
        low_bits = index & self._low
        for key in self._keys:
            # Fibonacci hashing, then the top bits folded down
            value = ((low_bits + key) * 0x9E3779B97F4A7C15) & _MASK
            value = ((value ^ (value >> 29)) * (key | 1)) & _MASK
            value ^= value >> 32
            new_low_bits = high_bits ^ (value & self._low)
            high_bits = low_bits
            low_bits = new_low_bits
        return (high_bits << self._half) | low_bits


def order_of(n: int, seed: int | None) -> Permutation | range:
    """0..n-1 in the order of `seed`, or as they are for None."""
    return range(n) if seed is None else Permutation(n, seed)


def shuffled(items: Iterable[Item], seed: int, size: int = BUFFER_ROWS) -> Iterator[Item]:
    """Each item once, drawn at random from a buffer of `size` that the stream refills."""
    draw = random.Random(seed)
    buffer: list[Item] = []
    for item in items:
        if len(buffer) < size:
            buffer.append(item)
            continue
        place = draw.randrange(size)
        yield buffer[place]
        buffer[place] = item
    draw.shuffle(buffer)
    yield from buffer
