r"""Answers that are read as they stand: digits of any length, times of day, numbers in a base,
words.
"""

import re
from dataclasses import dataclass

from shared.grading.answer_markers import is_bound
from shared.grading.normalise import words

_NUMBERS_TEXT = """
zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen
nineteen twenty
"""
NUMBER_WORDS = {word: str(value) for value, word in enumerate(_NUMBERS_TEXT.split())}
_PLAIN_NUMBER = re.compile(r"^([+-]?)\s*(\d*)(?:\.(\d*))?$")
_BARE_THOUSANDS = re.compile(
    r"(?<![\d.,_])\d{1,3}(?:,\d{3})+(?![\d,])|(?<![\d.,_])(?<!\d )\d{1,3}(?: \d{3})+(?! ?\d| ?/)"
)
_TIME = re.compile(
    r"^(?:\\text\{)?(\d{1,2})\s*:\s*([0-5]\d)(?:\s*:\s*([0-5]\d))?\s*\}?\s*(?:\\text\{)?\s*(?:([ap])\.?\s*m\.?)?\s*\}?$",
    re.IGNORECASE,
)
_DIGITS_OF_BASE = r"(-?)\(?(?:\\text\{)?(-?)([\dA-Z]*\d[\dA-Z]*|[A-Z]+)\}?\)?"
_BASE = re.compile(
    rf"^{_DIGITS_OF_BASE}\s*(?:_\s*\{{?\s*(?:\\text\{{)?\s*\(?(?:base\s*)?([a-z]+|\d{{1,2}})\s*\)?\s*\}}?\s*\}}?"
    r"|(?:\\text\{)?\s*\(?\s*\bbase\s+([a-z]+|\d{1,2})\s*\)?\s*\}?)$"
)
_STATEMENT = re.compile(r"^\\text\{[^{}]*\b(?:is|are|equals)\s*:?\s*\}\s*(\S.*)$", re.DOTALL)
_TEXT = re.compile(r"^(?!\s*-)(?:\\text\{[^{}]*\}|[A-Za-z]{2,}(?![A-Za-z])|[\s,.'\"?-])+$")
_WHOLE_TEXT = re.compile(r"^\\text\{([^{}]*)\}$")
_NUMBER = re.compile(r"(?<![\w.])-?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?(?:/\d+)?(?![\w/])")
_NOT_ALONE_TEXT = """
or neither nor maybe perhaps cannot never million billion thousand hundred dozen half except excluding besides other
"""
# With them the number of a sentence is not its answer.
_NOT_ALONE = frozenset(_NOT_ALONE_TEXT.split())
_SHORT_WORDS = frozenset(("yes", "no", "odd", "red", "none", "true", "even"))
# Words of a sentence that add nothing to the one that answers: "It is Tuesday", "Alice wins".
_FILLER_TEXT = """
it is are was the a an this that there answer result wins win winner player has strategy winning be will
"""
_FILLER = frozenset(_FILLER_TEXT.split())
_BUT = frozenset(
    ["not", "but", "unless", "except", "only", "if", "no", "never", "cannot", "without"]
)
_NOTHING = frozenset(
    tuple(phrase.split())
    for phrase in ("no solution", "no solutions", "no real solution", "no real solutions", "none")
)


def read_digits(text: str) -> tuple[bool, str, str] | None:
    """(negative, digits before the point, digits behind it) of a plain number, without zeros
    that say nothing.
    """
    match = _PLAIN_NUMBER.match(text)
    if match is None or not (match[2] or match[3]):
        return None
    whole = match[2].lstrip("0")
    part = (match[3] or "").rstrip("0")
    return (match[1] == "-" and bool(whole or part), whole, part)


def without_thousands(text: str) -> str | None:
    """The text with bare thousands separators taken out ("58,500", "1 000"), or None where
    there are none.
    """
    if not _BARE_THOUSANDS.search(text):
        return None
    return _BARE_THOUSANDS.sub(lambda match: re.sub("[, ]", "", match[0]), text)


@dataclass(frozen=True, slots=True)
class Time:
    """A time of day or a duration; `half` of the day is "a", "p" or ""."""

    clock: tuple[int, int, int]  # hours, minutes, seconds as written
    half: str

    @property
    def on_24_hours(self) -> tuple[int, int, int]:
        """`clock` with "4:30 p.m." at 16:30 and "12:10 a.m." at 0:10."""
        hours, minutes, seconds = self.clock
        if self.half:
            hours %= 12
        if self.half == "p":
            hours += 12
        return hours, minutes, seconds


def read_time(text: str) -> Time | None:
    """What is written with colons: `4:30`, `12:10:05 \\text{ p.m.}`."""
    match = _TIME.match(text)
    if match is None:
        return None
    clock = (int(match[1]), int(match[2]), int(match[3] or 0))
    half = match[4] or ""
    return Time(clock, half.lower())


def read_statement(text: str) -> str | None:
    """What follows "The answer is" in a text command at the start of an answer."""
    match = _STATEMENT.match(text)
    return match[1] if match else None


def read_based(text: str) -> tuple[str, str] | None:
    """(digits, base) of `52_8`, `52_{\\text{eight}}`, `52 \\text{ (base 8)}`."""
    match = _BASE.match(text)
    if match is None or (match[1] and match[2]):
        return None
    base_word = match[4] or match[5]
    base = NUMBER_WORDS.get(base_word, base_word)
    return (f"{match[1] or match[2]}{match[3]}", base) if base.isdigit() else None


def names_base(problem: str, base: str) -> bool:
    """Whether the problem says in which base the answer is to be written."""
    text = problem[-20_000:].casefold()
    names = [base, *(word for word, digits in NUMBER_WORDS.items() if digits == base)]
    other_name = {"2": "binary", "8": "octal", "16": "hexadecimal"}.get(base)
    return any(re.search(rf"\bbase[\s\-$]*{name}\b", text) for name in names) or bool(
        other_name and other_name in text
    )


def read_words(text: str) -> tuple[str, ...] | None:
    """The words of an answer that is text and nothing else; bare letters that may be a product
    are no text.
    """
    if not _TEXT.match(text) or re.search("[①-⑳]", text):
        return None
    text_words = words(text)
    if (
        "\\text{" in text
        or any(len(word) >= 4 for word in text_words)
        or _SHORT_WORDS.intersection(text_words)
    ):
        return text_words or None
    return None


def same_words(gold: tuple[str, ...], answer: tuple[str, ...]) -> bool:
    """Whether two answers in words say the same: word by word, or but for words that add
    nothing.
    """
    if gold == answer or "".join(gold) == "".join(answer):
        return True
    for short, long in ((gold, answer), (answer, gold)):
        if short in (("yes",), ("no",), ("true",), ("false",)) and long[:1] == short:
            doubts = _BUT - {"not", "no", "cannot"} if short == ("no",) else _BUT
            return doubts.isdisjoint(long[1:])
    bare = [
        tuple(word for word in answer_words if word not in _FILLER)
        for answer_words in (gold, answer)
    ]
    return bool(bare[0]) and bare[0] == bare[1]


def read_sentence(text: str) -> str | None:
    """The only number of an answer that is a sentence in a text command; None where it is a
    bound or one of several.
    """
    match = _WHOLE_TEXT.match(text)
    if match is None:
        return None
    sentence_words = words(text)
    if len(sentence_words) < 3 or not _NOT_ALONE.isdisjoint(sentence_words):
        return None
    sentence = match[1]
    numbers = list(_NUMBER.finditer(sentence))
    if len(numbers) != 1:
        return None
    number = numbers[0]
    if is_bound(sentence, number.start(), number.end()):
        return None
    return number[0]


def says_nothing(text: str) -> bool:
    """Whether the answer is that there is none: the empty set, "no solution"."""
    return text in ("\\emptyset", "\\{\\}", "\\{ \\}") or words(text) in _NOTHING


def number_word(text_words: tuple[str, ...] | None) -> str | None:
    """The digits of a number that is written as a word; None for other words."""
    if text_words:
        return NUMBER_WORDS.get(" ".join(text_words))
    return None
