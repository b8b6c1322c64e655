r"""Units of measurement and words behind a number: their kinds, powers and sizes."""

import re
from dataclasses import dataclass
from fractions import Fraction

# Kind -> unit -> size in the kind's base unit, written so that Fraction reads it exactly.
_FACTORS = {
    "length": "m 1 cm 1/100 mm 1/1000 km 1000 in 0.0254 ft 0.3048 yd 0.9144 mi 1609.344",
    "time": "s 1 ms 1/1000 min 60 h 3600 day 86400 week 604800",
    "mass": "g 1 kg 1000 mg 1/1000 lb 453.59237 oz 28.349523125",
    "volume": "l 1 ml 1/1000",
    "money": "dollar 1 cent 1/100",
    "yuan": "yuan 1 jiao 1/10 fen 1/100",
    "angle": "degree 1",
}
# Words behind a number that are part of the number.
_MULTIPLES_TEXT = """
hundred 100 thousand 1000 million 1000000 billion 1000000000 trillion 1000000000000 dozen 12 gross 144
wan 10000 yi 100000000 lakh 100000 crore 10000000 half 1/2 tenth 1/10 hundredth 1/100 thousandth 1/1000 millionth
1/1000000 third 1/3 fifth 1/5 sixth 1/6 seventh 1/7 eighth 1/8 ninth 1/9 mn 1000000 bn 1000000000 k 1000
"""


def _sizes(text: str) -> dict[str, Fraction]:
    """word -> size of a text in which each word is followed by its size."""
    words = text.split()
    return {word: Fraction(size) for word, size in zip(words[::2], words[1::2], strict=True)}


_MULTIPLES = _sizes(_MULTIPLES_TEXT)
# Words that say that the number is a bound, one of several, or not the answer.
_NO_UNIT_TEXT = """
or and not least most plus minus except but factorial th st nd rd mod modulo base pi choose 以上 以下
"""
_NO_UNIT = frozenset(_NO_UNIT_TEXT.split())
KNOWN = {
    unit: (kind, size) for kind, text in _FACTORS.items() for unit, size in _sizes(text).items()
}
_NAMES = {
    "meter": "m",
    "metre": "m",
    "centimeter": "cm",
    "centimetre": "cm",
    "millimeter": "mm",
    "millimetre": "mm",
    "kilometer": "km",
    "kilometre": "km",
    "inch": "in",
    "inche": "in",
    "foot": "ft",
    "feet": "ft",
    "yard": "yd",
    "mile": "mi",
    "second": "s",
    "sec": "s",
    "minute": "min",
    "mins": "min",
    "hour": "h",
    "hr": "h",
    "gram": "g",
    "kilogram": "kg",
    "milligram": "mg",
    "pound": "lb",
    "ounce": "oz",
    "liter": "l",
    "litre": "l",
    "milliliter": "ml",
    "millilitre": "ml",
    "USD": "dollar",
    "usd": "dollar",
    "buck": "dollar",
    "deg": "degree",
    "L": "l",
    "mL": "ml",
    "people": "person",
    "children": "child",
    "mph": "mi/h",
    "kmh": "km/h",
    "kph": "km/h",
    "percent": "%",
    "percentage": "%",
    "pt": "point",
    "C": "celsius",
    "F": "fahrenheit",
    "hrs": "h",
    "secs": "s",
    "lbs": "lb",
    "yen": "yuan",
}
_SHORT = frozenset(["m", "s", "h", "g", "l", "L"])  # one letter: a unit only inside \text{}
_POWERS = {"square": 2, "sq": 2, "cubic": 3, "cube": 3}
_FILLER = frozenset(
    [
        "of",
        "a",
        "an",
        "the",
        "unit",
        "units",
        "long",
        "more",
        "total",
        "each",
        "approximately",
        "about",
        "个",
        "共",
    ]
)
_UNIT_TOKEN = re.compile(r"[^\W\d_]+|\^-?\d|°|/|%")


@dataclass(frozen=True, slots=True)
class Unit:
    """`kinds` maps kinds ("length", or a noun) to powers; `factor` turns into base units;
    `multiple` is what words such as "million" multiply the number with.
    """

    kinds: dict[str, int]
    factor: Fraction
    multiple: Fraction


def read_unit(head: str, tail: str) -> Unit | None:
    """The unit that the words `head`, with powers or more words in `tail`, name; None if they
    say something else.
    """
    text = f"{head} {tail}"
    for sign, replacement in (("{", ""), ("}", ""), ("\\cdot", " "), (".", " ")):
        text = text.replace(sign, replacement)
    text = re.sub(
        r"\^\s*(-?\d)|(?<=[A-Za-z])([23])(?!\d)",
        lambda match: f"^{match[1] or match[2]}",
        text,
    )
    if re.search(r"(?<!\^)(?<!\^-)\d", text):
        return None  # a digit that is no power says something else
    tokens = _UNIT_TOKEN.findall(text)
    if not _NO_UNIT.isdisjoint(token.casefold() for token in tokens):
        return None
    if "than" in tokens and len(tokens[-1]) < 3:
        return None
    reader = _UnitReader()
    if all(map(reader.take, tokens)):
        return reader.unit()
    return None


class _UnitReader:
    """Reads the words of a unit one by one."""

    def __init__(self) -> None:
        self._parts: list[tuple[str, int]] = []  # unit and power
        self._direction = 1  # -1 behind "per"
        self._power = 1  # of the next word: "square"
        self._multiple = Fraction(1)

    def take(self, token: str) -> bool:
        """False where the words are no unit."""
        word = token.casefold()
        size = self._size(word)
        if size is not None:
            self._multiple *= size
            return not self._parts  # "2 boxes of a dozen"
        if token == "/" or word in ("per", "every"):
            self._direction = -1
        elif word in _POWERS:
            self._power = _POWERS[word]
        elif token[0] == "^":
            return self._raise(int(token[1:]))
        elif word in ("squared", "cubed"):
            return self._raise(_POWERS[word[:-1]])
        elif word not in _FILLER and not self._is_preposition(word):
            self._add(token)
        return True

    def unit(self) -> Unit:
        """What all words together are."""
        kinds: dict[str, int] = {}
        factor = Fraction(1)
        for name, exponent in self._parts:
            kind, size = KNOWN.get(name, (name, Fraction(1)))
            kinds[kind] = kinds.get(kind, 0) + exponent
            factor *= size**exponent
        return Unit(kinds, factor, self._multiple)

    def _size(self, word: str) -> Fraction | None:
        """What a number word stands for."""
        if word == "halves":
            return Fraction(1, 2)
        if self._direction < 0:
            return None
        return _MULTIPLES.get(word) or _MULTIPLES.get(word.removesuffix("s"))

    def _raise(self, exponent: int) -> bool:
        if not self._parts:
            return False  # "5 squared"
        name, power = self._parts.pop()
        self._parts.append((name, power * exponent))
        return True

    def _is_preposition(self, word: str) -> bool:
        """`in` of "dogs in total" is no inch."""
        return word == "in" and bool(self._parts) and self._direction > 0

    def _add(self, token: str) -> None:
        above, _, below = canonical(token).partition("/")
        self._parts.append((above, self._power * self._direction))
        if below:
            self._parts.append((below, -self._power * self._direction))
        self._power = 1


def canonical(word: str) -> str:
    """The one name of a unit, or the singular of any other word."""
    if word in _NAMES or word in _SHORT:
        return _NAMES.get(word, word)
    lower_word = word.casefold()
    for form in (lower_word, lower_word.removesuffix("s"), lower_word.removesuffix("es")):
        if form in _NAMES:
            return _NAMES[form]
        if form in KNOWN:
            return form
    if lower_word.endswith("ies"):
        return lower_word[:-3] + "y"
    return lower_word.removesuffix("s")
