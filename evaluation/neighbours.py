"""Problems of a source that are near given ones, by the shingles of their tokens.

Tokens are decontamination's (`shared.contamination.text`): style makes no distance. A problem's
shingles are its runs of one to three of them, every number read as "#": the same exercise with
other numbers is the nearest neighbour there is. Each shingle weighs by how rare it is in the source
(inverse document frequency), and two problems are as near as the cosine of their weighted shingle
sets says. What is a copy is decontamination's to say.

The source is read twice and never held: what is looked up are the given problems, which are few.
"""

import heapq
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.contamination.text import body, masked, tokens

Vector = NDArray[np.float64]

_LONGEST = 3  # tokens of a shingle
# Of hashed counts: 16 MB; the shingles of a million problems share few with a common one.
_BUCKETS = 1 << 22


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A problem of the source, and the given problem (by number) that it is near to."""

    text: str
    answer: str
    near: int
    similarity: float  # 0 to 1


@dataclass(frozen=True, slots=True, order=True)
class _Candidate:
    """A problem of the source beside one of the targets; the best compares as the greatest."""

    similarity: float
    earliness: int  # minus its place in the source: of equals the first wins
    text: str
    answer: str


def nearest(
    targets: Sequence[str],
    open_source: Callable[[], Iterable[tuple[str, str]]],
    count: int,
    leave_out: Callable[[str], bool],
) -> Iterator[Neighbour]:
    """For each target problem up to `count` problems of the source, nearest first; none stands
    twice.

    `open_source` gives (problem, answer) anew on each call. `leave_out` is asked about what would
    be taken. Ordered by rank, so that the first N are the best N: everybody's nearest, then
    everybody's second.
    """
    rarity = _Rarity(text for text, _ in open_source())
    index = _TargetIndex(targets, rarity)
    best: list[list[_Candidate]] = [[] for _ in targets]  # heaps: each one's worst comes first
    for place, (text, answer) in enumerate(_distinct(open_source())):
        similarities = index.similarities(text)
        numbers = _targets_to_enter(best, similarities, count)
        if not numbers or leave_out(text):
            continue
        for number in numbers:
            candidate = _Candidate(float(similarities[number]), -place, text, answer)
            if len(best[number]) < count:
                heapq.heappush(best[number], candidate)
            else:
                heapq.heapreplace(best[number], candidate)
    return _by_rank(best)


def _distinct(rows: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Each text the first time: a corpus has a row a sample, and repeated ones would take
    others' places.
    """
    seen_hashes: set[int] = set()
    for text, answer in rows:
        text_hash = hash(text)
        if text_hash not in seen_hashes:
            seen_hashes.add(text_hash)
            yield text, answer


def _targets_to_enter(
    best: Sequence[list[_Candidate]], similarities: Vector, count: int
) -> list[int]:
    """The targets whose best a problem of these similarities is among."""
    thresholds = np.array([heap[0].similarity if len(heap) == count else 0.0 for heap in best])
    numbers: list[int] = np.flatnonzero(similarities > thresholds).tolist()
    return numbers


def _by_rank(best: Sequence[list[_Candidate]]) -> Iterator[Neighbour]:
    rankings = [sorted(heap, reverse=True) for heap in best]
    seen_texts: set[str] = set()
    for rank in range(max(map(len, rankings), default=0)):
        for number, candidates in enumerate(rankings):
            if rank >= len(candidates) or candidates[rank].text in seen_texts:
                continue
            candidate = candidates[rank]
            seen_texts.add(candidate.text)
            yield Neighbour(candidate.text, candidate.answer, number, candidate.similarity)


class _Rarity:
    """How rare each shingle is in the source. Counts are kept by hash: a collision makes a
    shingle look less rare.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        self._counts: NDArray[np.uint32] = np.zeros(_BUCKETS, dtype=np.uint32)
        self._size = 0
        for text in texts:
            self._size += 1
            self._counts[np.unique(_buckets(_shingles(text)))] += 1

    def of(self, shingles: Sequence[int]) -> Vector:
        """[len(shingles)] inverse document frequencies, at least 1."""
        counts = self._counts[_buckets(shingles)]
        frequencies: Vector = np.log((1 + self._size) / (1 + counts)) + 1
        return frequencies


class _TargetIndex:
    """The target problems by shingle: where each occurs, and what it weighs there."""

    def __init__(self, texts: Sequence[str], rarity: _Rarity) -> None:
        self._rarity = rarity
        self._norms: Vector = np.ones(len(texts))
        postings: defaultdict[int, list[int]] = defaultdict(list)
        for number, text in enumerate(texts):
            shingles = _shingles(text)
            self._norms[number] = max(1e-9, float(np.linalg.norm(rarity.of(shingles))))
            for shingle in shingles:
                postings[shingle].append(number)
        self._postings = {shingle: np.array(numbers) for shingle, numbers in postings.items()}

    def similarities(self, text: str) -> Vector:
        """[number of target problems] cosines."""
        shingles = _shingles(text)
        weights = self._rarity.of(shingles)
        products: Vector = np.zeros(len(self._norms))
        for shingle, weight in zip(shingles, weights.tolist(), strict=True):
            numbers = self._postings.get(shingle)
            if numbers is not None:
                # A shingle stands once in a problem: no number comes twice.
                products[numbers] += weight * weight
        return products / (self._norms * max(1e-9, float(np.linalg.norm(weights))))


def _buckets(shingles: Sequence[int]) -> NDArray[np.int64]:
    buckets: NDArray[np.int64] = np.array(shingles, dtype=np.int64) % _BUCKETS
    return buckets


def _shingles(text: str) -> list[int]:
    """Hashes of a text's distinct shingles."""
    words = masked(tokens(body(text)))
    return list(
        {
            zlib.crc32(" ".join(words[start : start + length]).encode(errors="replace"))
            for length in range(1, _LONGEST + 1)
            for start in range(len(words) - length + 1)
        }
    )
