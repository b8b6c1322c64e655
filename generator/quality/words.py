"""The words of a long text, counted and compared on its bytes: no string is made for any of them.

A run of 24 words that has come before begins as it did then. So the share of repeated beginnings,
which numpy counts in microseconds, is never below the share of repeated runs: only a text that
repeats enough beginnings is counted run by run.
"""

import numpy as np
from numpy.typing import NDArray

LOOP_WORDS = 24
LOOP_SHARE = 0.25  # of the runs of so many words, the share that has come before
BEGINNING_WORDS = 8  # of a run, eight bytes of each; a power of two

_SPACE = ord(" ")
# What `str.split` splits at: below 128 by table, above by another.
_TO_SPACES = bytes(
    _SPACE if number < 128 and chr(number).isspace() else number for number in range(256)
)
_LAST_SPACE = 0x3000  # the highest code point that it splits at
_IS_SPACE = np.array([chr(number).isspace() for number in range(_LAST_SPACE + 1)])
_CODE_POINT = np.dtype("<u4")
_EIGHT_BYTES = np.dtype("<u8")
_PADDING = b" " * 8  # so that eight bytes may be read from the start of the last word
# what remains of eight bytes for a word of so many
_MASKS = np.array([(1 << 8 * length) - 1 for length in range(9)], _EIGHT_BYTES)
Hashes = NDArray[np.uint64]
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_SHIFT = np.uint64(29)
_PAIRS_OF_16 = 16 * 16


class Words:
    """The words of a text as `str.split` sees them. `high`: its code points above 127; `encoded`:
    its bytes in UTF-8.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self.high = _code_points_above_127(text)
        if _have_space(self.high):
            text = " ".join(text.split())
        padded = b" " + text.encode(errors="surrogatepass") + _PADDING
        self.encoded = np.frombuffer(padded, np.uint8)
        self._padded = padded
        spaced = np.frombuffer(padded.translate(_TO_SPACES), np.uint8)
        is_space = spaced == _SPACE
        is_edge = is_space[1:] != is_space[:-1]
        edges = np.flatnonzero(is_edge) + 1
        self._starts = edges[0::2]
        self._ends = edges[1::2]

    def __len__(self) -> int:
        """How many words."""
        return len(self._starts)

    def repeats_itself(self) -> bool:
        """Whether more than `LOOP_SHARE` of its runs of words have come before."""
        runs = len(self) - LOOP_WORDS + 1
        if runs < 2 * LOOP_WORDS:
            return False
        distinct_beginnings = _distinct(self._beginnings(runs))
        if 1 - distinct_beginnings / runs <= LOOP_SHARE:
            return False
        distinct_runs = _distinct_runs(self._text.split())
        return 1 - distinct_runs / runs > LOOP_SHARE

    def _beginnings(self, runs: int) -> Hashes:
        """64 bits of the first words of each run; equal words give equal bits."""
        eights: Hashes = np.ndarray(
            shape=(len(self._padded) - 7,),
            dtype=_EIGHT_BYTES,
            buffer=self._padded,
            strides=(1,),
        )
        lengths = self._ends - self._starts
        lengths = np.minimum(lengths, 8)
        words: Hashes = eights[self._starts]
        words &= _MASKS[lengths]
        words *= _MULTIPLIER
        words ^= words >> _SHIFT
        beginnings = words[: runs + BEGINNING_WORDS - 1]
        length = 1  # words that each of them stands for
        while length < BEGINNING_WORDS:
            following = beginnings[length:]
            beginnings = beginnings[:-length] * _MULTIPLIER
            beginnings ^= following
            length *= 2
        return beginnings


def fewest_deflated_bytes(data: bytes) -> float:
    """A bound below what zlib makes of up to 8,000 bytes, in a fraction of its time.

    Two bytes that come together for the first time are parted by the beginning of a literal or a
    match (RFC 1951), and but for one literal, which every byte precedes once, each takes two bits
    or more. What that literal may save, the codes of the others cost: there are 17 or more. Six
    bytes stand around it all (RFC 1950).
    """
    bytes_in_order = np.frombuffer(data, np.uint8)
    pairs = bytes_in_order[:-1].astype(np.uint16)
    pairs <<= 8
    pairs |= bytes_in_order[1:]
    has_pair = np.zeros(1 << 16, np.bool_)
    has_pair[pairs] = True
    distinct_pairs = int(np.count_nonzero(has_pair))
    if distinct_pairs <= _PAIRS_OF_16:
        return 0.0
    return distinct_pairs / 4 + 6


def _code_points_above_127(text: str) -> NDArray[np.uint32]:
    if text.isascii():
        return np.empty(0, np.uint32)
    points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), _CODE_POINT)
    return points[points > 127]


def _have_space(code_points: NDArray[np.uint32]) -> bool:
    """Whether `str.split` splits at one of them."""
    if not len(code_points):
        return False
    low = code_points[code_points <= _LAST_SPACE]
    return bool(_IS_SPACE[low].any())


def _distinct(hashes: Hashes) -> int:
    hashes.sort()
    is_new = hashes[1:] != hashes[:-1]
    return 1 + int(np.count_nonzero(is_new))


def _distinct_runs(words: list[str]) -> int:
    hashes = set()
    for start in range(len(words) - LOOP_WORDS + 1):
        run = tuple(words[start : start + LOOP_WORDS])
        hashes.add(hash(run))
    return len(hashes)
