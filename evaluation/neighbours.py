"""Problems of a source that are near given ones, and copies of given ones, by the shingles of their
tokens.

A problem's shingles are its runs of one to three tokens, every number read as "#": the same
exercise with other numbers is the nearest neighbour there is. Each shingle weighs by how rare it is
in the source (inverse document frequency), and two problems are as near as the cosine of their
weighted shingle sets says.

The source is read twice and never held: what is looked up are the given problems, which are few.
"""

import heapq
import re
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]

_TOKEN = re.compile(r"[^\W\d_]+|\d+(?:[.,]\d+)*|[^\w\s]")
_LONGEST = 3  # tokens of a shingle
_BUCKETS = (
    1 << 22
)  # of hashed counts: 16 MB; the shingles of a million problems share few with a common one
_SHORT_GRAM = 8
_COPY_JACCARD = 0.5  # of 3-word shingles
_COPY_COVERED = 0.5  # of the evaluation problem's 8-word shingles
_MISSING_NUMBERS = (
    0.1  # of an evaluation problem's numbers, so many may differ in a copy; more: another problem
)


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A problem of the source, and the given problem (by number) that it is near to."""

    text: str
    answer: str
    near: int
    similarity: float  # 0 to 1


def nearest(
    given: Sequence[str],
    open_source: Callable[[], Iterable[tuple[str, str]]],
    count: int,
    leave_out: Callable[[str], bool],
) -> Iterator[Neighbour]:
    """For each given problem up to `count` problems of the source, nearest first; none stands
    twice.

    `open_source` gives (problem, answer) anew on each call. `leave_out` is asked about what would
    be taken. Ordered by rank, so that the first N are the best N: everybody's nearest, then
    everybody's second.
    """
    rarity = _Rarity(text for text, _ in open_source())
    index = _Given(given, rarity)
    best: list[list[tuple[float, int, str, str]]] = [[] for _ in given]
    for order, (text, answer) in enumerate(_once(open_source())):
        _enter(best, index.similarities(text), -order, text, answer, count, leave_out)
    return _by_rank(best)


def _once(rows: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Each text the first time: a corpus has a row a sample, and repeated ones would take
    others' places.
    """
    seen: set[int] = set()
    for text, answer in rows:
        if (mark := hash(text)) not in seen:
            seen.add(mark)
            yield text, answer


def _enter(
    best: list[list[tuple[float, int, str, str]]],
    similarities: Vector,
    order: int,
    text: str,
    answer: str,
    count: int,
    leave_out: Callable[[str], bool],
) -> None:
    lowest = np.array([found[0][0] if len(found) == count else 0.0 for found in best])
    wanted = np.flatnonzero(similarities > lowest).tolist()
    if not wanted or leave_out(text):
        return
    for number in wanted:
        entry = (float(similarities[number]), order, text, answer)
        if len(best[number]) < count:
            heapq.heappush(best[number], entry)
        else:
            heapq.heapreplace(best[number], entry)


def _by_rank(best: Sequence[list[tuple[float, int, str, str]]]) -> Iterator[Neighbour]:
    ranked = [sorted(found, reverse=True) for found in best]
    seen: set[str] = set()
    for rank in range(max(map(len, ranked), default=0)):
        for number, found in enumerate(ranked):
            if rank < len(found) and found[rank][2] not in seen:
                similarity, _, text, answer = found[rank]
                seen.add(text)
                yield Neighbour(text, answer, number, similarity)


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
        frequencies: Vector = np.log((1 + self._size) / (1 + self._counts[_buckets(shingles)])) + 1
        return frequencies


class _Given:
    """The given problems by shingle: where each occurs, and what it weighs there."""

    def __init__(self, texts: Sequence[str], rarity: _Rarity) -> None:
        self._rarity = rarity
        self._norms: Vector = np.ones(len(texts))
        where: defaultdict[int, list[int]] = defaultdict(list)
        for number, text in enumerate(texts):
            shingles = _shingles(text)
            self._norms[number] = max(1e-9, float(np.linalg.norm(rarity.of(shingles))))
            for shingle in shingles:
                where[shingle].append(number)
        self._where = {shingle: np.array(numbers) for shingle, numbers in where.items()}

    def similarities(self, text: str) -> Vector:
        """[number of given problems] cosines."""
        shingles = _shingles(text)
        weights = self._rarity.of(shingles)
        found: Vector = np.zeros(len(self._norms))
        for shingle, weight in zip(shingles, weights.tolist(), strict=True):
            if (numbers := self._where.get(shingle)) is not None:
                found[numbers] += (
                    weight * weight
                )  # a shingle stands once in a problem: no number comes twice
        found /= self._norms * max(1e-9, float(np.linalg.norm(weights)))
        return found


def _buckets(shingles: Sequence[int]) -> NDArray[np.int64]:
    buckets: NDArray[np.int64] = np.array(shingles, dtype=np.int64) % _BUCKETS
    return buckets


def _shingles(text: str) -> list[int]:
    """Hashes of a text's distinct shingles."""
    tokens = ["#" if token[0].isdigit() else token for token in _tokens(text)]
    return list(
        {
            zlib.crc32(" ".join(tokens[at : at + length]).encode(errors="replace"))
            for length in range(1, _LONGEST + 1)
            for at in range(len(tokens) - length + 1)
        }
    )


def _tokens(text: str) -> list[str]:
    return _TOKEN.findall(text.lower())


Grams = set[tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class _Marks:
    """What two texts are compared by."""

    words: tuple[str, ...]  # and numbers: punctuation and LaTeX's signs are style
    short: Grams
    long: Grams
    numbers: Counter[str]

    @classmethod
    def of(cls, text: str) -> "_Marks":
        words = tuple(token for token in _tokens(text) if token[0].isalnum())
        numbers = Counter(word for word in words if word[0].isdigit())
        return cls(words, _grams(words, _LONGEST), _grams(words, _SHORT_GRAM), numbers)


class Copies:
    """Tells whether a text is a copy of one of the given problems: the same words, or most of them,
    with its numbers.

    The same exercise with other numbers is another problem.
    """

    def __init__(self, problems: Iterable[str]) -> None:
        self._given = [_Marks.of(text) for text in problems]
        self._whole = {marks.words for marks in self._given}
        self._index: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
        for number, marks in enumerate(self._given):
            for gram in marks.short:
                self._index[gram].append(number)

    def __call__(self, text: str) -> bool:
        marks = _Marks.of(text)
        if marks.words in self._whole:
            return True
        shared = Counter(number for gram in marks.short for number in self._index.get(gram, ()))
        return any(_copied(self._given[number], marks, count) for number, count in shared.items())


def _copied(given: _Marks, other: _Marks, shared: int) -> bool:
    same = shared / (len(given.short) + len(other.short) - shared) >= _COPY_JACCARD
    covered = bool(given.long) and len(given.long & other.long) / len(given.long) >= _COPY_COVERED
    if not (same or covered):
        return False
    return (given.numbers - other.numbers).total() <= _MISSING_NUMBERS * given.numbers.total()


def _grams(words: Sequence[str], length: int) -> Grams:
    return {tuple(words[at : at + length]) for at in range(len(words) - length + 1)}
