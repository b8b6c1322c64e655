"""Which evaluation problem a problem is a copy of, whatever its style; or whose text it shares with
other numbers.

Candidates come from shared 5-grams, with their numbers and with the numbers masked, and from equal
text with all spaces gone; each is then compared exactly: nothing is estimated, and one problem's
verdict depends on no other problem. The measures and thresholds, with what they flagged on real
data: docs/decisions/decontamination.md.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from shared.contamination.text import body, masked, squeeze, tokens, words

Kind = Literal["same text", "near text", "contains it", "part of it", "13-gram", "other numbers"]
Gram = tuple[str, ...]

INDEX_GRAM = 5  # words of a gram by which candidates are looked up
SHINGLE = 3
SHORT_GRAM = 8
LONG_GRAM = 13
MIN_WORDS_CONTAINED = 12  # below it, 8-grams are too few to speak of a share
CANDIDATES = 5
COMMON_POSTINGS = 50  # a 5-gram of more evaluation problems is a phrase of their template
CANDIDATE_SHARE = 0.2  # of the shorter text's 5-grams; every kind below implies far more
WHOLE_SHARE = 0.95  # the evaluation problem stands in the text as a whole, say after "Problem 12."
MASKED_SHARE = 0.8
# with a 13-gram in common; 13 words alone are often boilerplate ("Enter your answer in the form…")
OVERLAP_SHARE = 0.5
MISSING_NUMBERS = 0.1  # of a long list of numbers, so many may differ in a copy


@dataclass(frozen=True, slots=True)
class Hit:
    """What was found for one problem: the evaluation problem, and how near it is (shares from 0
    to 1).
    """

    kind: Kind
    evaluation: str  # the name of the evaluation set
    text: str  # the evaluation problem
    similarity: float  # Jaccard similarity of the 3-word shingles
    covered_8: float  # share of the evaluation problem's 8-grams that the problem has
    shared_13: int  # 13-grams in common

    @property
    def contaminated(self) -> bool:
        """Whether the problem is a copy. The same text with other numbers is another problem."""
        return self.kind != "other numbers"


@dataclass(frozen=True, slots=True)
class Contamination:
    """The nearest evaluation problem if one is near, and what plain n-gram rules would say
    (reported, not followed).

    One 8-gram in common (open-r1's rule) flags one MATH problem in ten, most of them for a phrase.
    """

    hit: Hit | None
    shares_8: bool
    shares_13: bool


NOTHING = Contamination(None, False, False)


class _Profile:
    """One text's words and what is made of them, each made when first asked for."""

    def __init__(self, text: str, text_tokens: list[str] | None = None) -> None:
        core = body(text)
        is_known = text_tokens is not None and core == text
        self.words = words(text_tokens if text_tokens and is_known else tokens(core))
        self.masked = masked(self.words)
        self.keys = grams(self.masked, INDEX_GRAM) | grams(self.words, INDEX_GRAM)
        self.squeezed = squeeze(self.words)

    @cached_property
    def numbers(self) -> "Counter[str]":
        """The numbers among the words, with how often each stands there."""
        return Counter(token for token in self.words if token[0].isdigit())

    @cached_property
    def shingles(self) -> set[Gram]:
        """Short runs of words."""
        return grams(self.words, SHINGLE)

    @cached_property
    def masked_shingles(self) -> set[Gram]:
        """The same, with every number taken for the same."""
        return grams(self.masked, SHINGLE)

    @cached_property
    def eights(self) -> set[Gram]:
        """Runs of 8 words."""
        return grams(self.words, SHORT_GRAM)

    @cached_property
    def thirteens(self) -> set[Gram]:
        """Runs of 13 words."""
        return grams(self.words, LONG_GRAM)


class EvaluationIndex:
    """The problems of all evaluation sets, ready to be met. About 6 KB a problem."""

    def __init__(
        self,
        sets: Mapping[str, Iterable[str]],
        share: float = 0.7,
    ) -> None:
        """`sets`: name of a set -> its problem texts. `share`: of shingles or 8-grams, from
        which a text is a copy.
        """
        self._share = share
        self._names: list[str] = []
        self._texts: list[str] = []
        self._profiles: list[_Profile] = []
        self._squeezed: dict[str, int] = {}
        self._eights: set[Gram] = set()
        self._thirteens: set[Gram] = set()
        self._index: dict[Gram, list[int]] = defaultdict(list)
        for name, texts in sets.items():
            for text in texts:
                self._add(name, text)

    def __len__(self) -> int:
        return len(self._texts)

    @property
    def texts(self) -> list[str]:
        """The evaluation problems, each the first time, in the order of their sets."""
        return list(self._texts)

    @property
    def fingerprint(self) -> str:
        """Changes with the sets' texts."""
        digest = hashlib.sha256()
        for name, squeezed_text in zip(self._names, self._squeezed, strict=True):
            digest.update(f"{name} {squeezed_text}\n".encode())
        return digest.hexdigest()[:16]

    def has_copy_of(self, text: str) -> bool:
        """Whether `text` is a copy of an evaluation problem."""
        hit = self.find(text).hit
        return hit is not None and hit.contaminated

    def find(
        self,
        text: str,
        text_tokens: list[str] | None = None,
    ) -> Contamination:
        """What `text` shares with the evaluation sets. `text_tokens`: its `text.tokens`, where
        they are known already.
        """
        if not self._texts:
            return NOTHING
        profile = _Profile(text, text_tokens)
        hits = (self._compare(profile, number) for number in self._candidates(profile))
        best = max(
            (hit for hit in hits if hit is not None),
            key=lambda hit: (hit.contaminated, hit.similarity, hit.covered_8, hit.text),
            default=None,
        )
        shares_8 = not self._eights.isdisjoint(profile.eights)
        shares_13 = shares_8 and not self._thirteens.isdisjoint(profile.thirteens)
        return Contamination(best, shares_8, shares_13)

    def _add(self, name: str, text: str) -> None:
        profile = _Profile(text)
        if not profile.words or profile.squeezed in self._squeezed:
            return
        number = len(self._texts)
        self._names.append(name)
        self._texts.append(text)
        self._profiles.append(profile)
        self._squeezed[profile.squeezed] = number
        self._eights |= profile.eights
        self._thirteens |= profile.thirteens
        for gram in profile.keys:
            self._index[gram].append(number)

    def _candidates(self, profile: _Profile) -> list[int]:
        """The evaluation problems that are worth an exact comparison, the nearest first."""
        exact = self._squeezed.get(profile.squeezed)
        if exact is not None:
            return [exact]
        counts: Counter[int] = Counter()
        common = 0
        for gram in profile.keys & self._index.keys():
            postings = self._index[gram]
            if len(postings) > COMMON_POSTINGS:
                common += 1
            else:
                counts.update(postings)
        shares = []
        for number, count in counts.items():
            shorter = min(len(self._profiles[number].keys), len(profile.keys))
            shares.append((count / max(1, shorter - common), -number))
        nearest = sorted(shares, reverse=True)[:CANDIDATES]
        return [-negative for share, negative in nearest if share >= CANDIDATE_SHARE]

    def _compare(self, text: _Profile, number: int) -> Hit | None:
        evaluation = self._profiles[number]
        overlap = _Overlap.of(text, evaluation)
        kind = self._kind(text, evaluation, overlap)
        if kind is not None and kind != "same text" and not _same_numbers(text, evaluation, kind):
            kind = "other numbers"
        if kind is None:
            kind = _kind_without_numbers(text, evaluation)
        if kind is None:
            return None
        return Hit(
            kind,
            self._names[number],
            self._texts[number],
            overlap.similarity,
            overlap.covered,
            overlap.shared_13,
        )

    def _kind(
        self,
        text: _Profile,
        evaluation: _Profile,
        overlap: "_Overlap",
    ) -> Kind | None:
        """How the texts go together, before a look at their numbers."""
        if text.squeezed == evaluation.squeezed:
            return "same text"
        if overlap.covered >= WHOLE_SHARE:
            return "contains it"
        if overlap.similarity >= self._share:
            return "near text"
        if overlap.covered >= self._share and len(evaluation.words) >= MIN_WORDS_CONTAINED:
            return "contains it"
        if overlap.covering >= self._share and len(text.words) >= MIN_WORDS_CONTAINED:
            return "part of it"
        if overlap.shared_13 and overlap.covered >= OVERLAP_SHARE:
            return "13-gram"
        return None


@dataclass(frozen=True, slots=True)
class _Overlap:
    """What a text and an evaluation problem have in common, as shares from 0 to 1."""

    similarity: float  # Jaccard, of 3-word shingles
    covered: float  # of the evaluation problem's 8-grams
    covering: float  # of the text's own 8-grams
    shared_13: int  # 13-grams in common

    @classmethod
    def of(cls, text: _Profile, evaluation: _Profile) -> "_Overlap":
        """Compare two texts."""
        common = len(text.eights & evaluation.eights)
        return cls(
            jaccard(text.shingles, evaluation.shingles),
            common / len(evaluation.eights),
            common / len(text.eights),
            # 13 words in common hold 8 in common.
            len(text.thirteens & evaluation.thirteens) if common else 0,
        )


def grams(items: list[str], n: int) -> set[Gram]:
    """The n-grams of a token list; a shorter list is one gram by itself."""
    if len(items) <= n:
        return {tuple(items)}
    return set(zip(*(items[start:] for start in range(n)), strict=False))


def jaccard(a: set[Gram], b: set[Gram]) -> float:
    """Size of the intersection over size of the union."""
    common = len(a & b)
    return common / (len(a) + len(b) - common)


def _kind_without_numbers(text: _Profile, evaluation: _Profile) -> Kind | None:
    """How texts go together of which too little is equal, but nearly all with numbers masked."""
    if jaccard(text.masked_shingles, evaluation.masked_shingles) < MASKED_SHARE:
        return None
    if text.numbers == evaluation.numbers:
        return "near text"
    return "other numbers"


def _same_numbers(text: _Profile, evaluation: _Profile, kind: Kind) -> bool:
    """Whether the numbers are the evaluation problem's own.

    A longer or shorter text may have more or fewer of them. One as long with all of them may have
    more, too: "i² = −1" for "i = √−1", "(including 1 and n)".
    """
    missing = (evaluation.numbers - text.numbers).total()
    extra = (text.numbers - evaluation.numbers).total()
    most = MISSING_NUMBERS * evaluation.numbers.total()
    if kind == "part of it":
        return extra <= most
    if kind == "near text" and missing:
        return max(missing, extra) <= most
    return missing <= most
