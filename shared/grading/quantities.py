r"""Numbers with units: `15\text{ cm}^2`, `5.4 \text{ cents}`, `¤18`, `90°`, `50%`, `7 lollipops`.

Units are optional; where both sides have one, they must agree (after conversion: 2 hours are 120
minutes).
"""

import re
from dataclasses import dataclass
from fractions import Fraction

MAX_LENGTH = 300  # characters of a quantity; anything longer is taken as it stands

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
_MULTIPLES = {
    word: Fraction(size)
    for word, size in zip(_MULTIPLES_TEXT.split()[::2], _MULTIPLES_TEXT.split()[1::2], strict=True)
}
# Words that say that the number is a bound, one of several, or not the answer.
_NO_UNIT_TEXT = """
or and not least most plus minus except but factorial th st nd rd mod modulo base pi choose 以上 以下
"""
_NO_UNIT = frozenset(_NO_UNIT_TEXT.split())
_KNOWN = {
    unit: (kind, Fraction(size))
    for kind, table in _FACTORS.items()
    for unit, size in zip(table.split()[::2], table.split()[1::2], strict=True)
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
_SIGNS = {"¤": "dollar", "€": "euro", "£": "pound sterling", "¥": "yuan"}
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
_TEXT_UNIT = re.compile(
    r"^(.*?[\d})\]!.a-z])\s*\\text\{([^{}]*)\}\s*((?:[\^/\s\d{}°-]|\\cdot|\\text\{[^{}]*\})*)$",
    re.DOTALL,
)
_BARE_UNIT = re.compile(r"^(.*?[\d})\]!.])\s*([A-Za-z][A-Za-z /²³.^\d-]*)$", re.DOTALL)
_SHORT_NAMES = (
    r"(?:cm|mm|km|kg|mg|ft|in|yd|mi|lb|lbs|oz|mL|ml|min|mins|hr|hrs|sec|mph|cents?|USD|deg)"
)
_POWER = r"(?:\^?[23]|\^\d|\^\{\d\})?"
_BARE_SHORT = re.compile(
    rf"^(?:{_SHORT_NAMES}{_POWER}(?:\s?/\s?(?:{_SHORT_NAMES}|[smhgl]){_POWER})?|m\s?/\s?(?:s|min|h){_POWER})$"
)
_COMPOUND_PART = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]+)\s*(?:,|\band\b)*")


_UNIT_TOKEN = re.compile(r"[^\W\d_]+|\^-?\d|°|/|%")


@dataclass(frozen=True, slots=True)
class Quantity:
    """`value` is the text of the number; `unit` maps kinds to powers, or is empty; `factor` turns
    into base units.

    `multiple` is what words such as "million" multiply the number with.
    """

    value: str
    unit: tuple[tuple[str, int], ...] = ()
    factor: Fraction = Fraction(1)
    percent: bool = False
    multiple: Fraction = Fraction(1)


def read_quantity(text: str) -> Quantity:
    """A cleaned answer split into its number and its unit. Without a unit the value is the text
    itself.
    """
    if len(text) > MAX_LENGTH:
        return Quantity(text)
    sign = re.match(r"^(-?)\s*([¤€£¥])\s*(-?)(.*)$", text, re.DOTALL)
    if sign:
        inner = read_quantity(sign[4])
        value = f"{sign[1] or sign[3]}{inner.value}"
        unit = dict(inner.unit)
        name = _SIGNS[sign[2]]
        kind, factor = _KNOWN.get(name, (name, Fraction(1)))
        if kind == "money" and unit.get("money") == 1:  # "$5 dollars"
            return Quantity(value, inner.unit, inner.factor)
        unit[kind] = unit.get(kind, 0) + 1
        return Quantity(
            value, tuple(sorted(unit.items())), inner.factor * factor, multiple=inner.multiple
        )
    if text.endswith(("¤", "€", "£")):
        return read_quantity(text[-1] + text[:-1].rstrip())
    if text.endswith("%"):
        return Quantity(text[:-1].rstrip(), percent=True)
    if (
        match := re.match(r"^(.*\S)\s*°\s*(?:\\text\{\s*([CF])\s*\}|([CF]))?$", text, re.DOTALL)
    ) and "\\" not in re.sub(
        r"\\(?:frac|sqrt|pi|cdot|text)(?![A-Za-z])", "", match[1]
    ):  # not \sin 15°
        name = {"C": "celsius", "F": "fahrenheit"}.get(match[2] or match[3] or "", "angle")
        return Quantity(match[1], ((name, 1),))
    return _worded(text)


def read_compound(text: str) -> Quantity | None:
    """`1 hour and 30 minutes`, `5 ft 6 in`: several units of one kind, added up; None where it
    is something else.
    """
    if len(text) > MAX_LENGTH or not text[:1].isdigit():
        return None
    plain = re.sub(r"\\text\{([^{}]*)\}", r" \1 ", text).strip()
    total = Fraction(0)
    kinds = []
    end = 0
    while end < len(plain):
        match = _COMPOUND_PART.match(plain, end)
        kind, size = (
            _KNOWN.get(_canonical(match[2]), ("", Fraction(0))) if match else ("", Fraction(0))
        )
        if match is None or not kind:
            return None
        total += Fraction(match[1]) * size
        kinds.append(kind)
        end = match.end()
    if len(kinds) < 2 or len(set(kinds)) > 1:
        return None
    return Quantity(f"\\frac{{{total.numerator}}}{{{total.denominator}}}", ((kinds[0], 1),))


def is_plain(text: str) -> bool:
    """Whether a text is a number without letters and without a unit."""
    return re.fullmatch(r"[-+\d.,/ ]+|-?(?:\d+ ?)?\\frac ?\{?\d+\}? ?\{?\d+\}?", text) is not None


def read_short_unit(quantity: Quantity) -> Quantity:
    """`6m` read as six metres: only where the other side shows that no variable is meant."""
    match = (
        re.fullmatch(r"([-+\d.,/ ]+?) ?([msghlL])", quantity.value) if not quantity.unit else None
    )
    if match is None:
        return quantity
    kind, size = _KNOWN[_canonical(match[2])]
    return Quantity(match[1], ((kind, 1),), size, quantity.percent)


def compatible(a: Quantity, b: Quantity) -> bool:
    """Whether the units agree, or one side leaves its unit (or its "per ...") out."""
    if not a.unit or not b.unit:
        return True
    if a.unit == b.unit:
        return True
    above = [tuple(part for part in q.unit if part[1] > 0) for q in (a, b)]
    below = [tuple(part for part in q.unit if part[1] < 0) for q in (a, b)]
    if above[0] == above[1] and (not below[0] or not below[1]):
        return True
    return _shared_noun(above[0], above[1])


def _shared_noun(a: tuple[tuple[str, int], ...], b: tuple[tuple[str, int], ...]) -> bool:
    """Plain words need not agree in full ("12 red marbles", "12 marbles") but must share one;
    real units must agree.
    """
    unit_kinds = {kind for kind, _ in _KNOWN.values()}
    return not any(kind in unit_kinds for kind, _ in (*a, *b)) and bool(
        {kind for kind, _ in a} & {kind for kind, _ in b}
    )


def _worded(text: str) -> Quantity:
    match = _TEXT_UNIT.match(text) if "\\text{" in text else None
    if match:
        unit = _read_unit(
            match[2], re.sub(r"\\text\{([^{}]*)\}", r" \1 ", match[3]), spelled_out=True
        )
    else:
        match = _BARE_UNIT.match(text)
        if match is None or not _looks_like_words(match[2], text[match.end(1) : match.start(2)]):
            return Quantity(text)
        unit = _read_unit(match[2], "", spelled_out=False)
    if unit is None:
        return Quantity(text)
    kinds, factor, multiple = unit
    value = match[1].strip()
    if kinds == {"%": 1}:
        return Quantity(value, percent=True, multiple=multiple)
    return Quantity(value, tuple(sorted(kinds.items())), factor, multiple=multiple)


def _looks_like_words(text: str, space: str) -> bool:
    """Bare letters behind a number: a unit that is known, or words; never what may be a product
    of variables.
    """
    if _BARE_SHORT.match(text):
        return True
    parts = re.findall(r"[A-Za-z]+", text)
    return (
        bool(space or text[0] == " ")
        and all(len(part) >= 3 or part in ("in", "of", "to", "by") for part in parts)
        and "^" not in text[:2]
    )


def _read_unit(
    head: str, tail: str, spelled_out: bool
) -> tuple[dict[str, int], Fraction, Fraction] | None:
    """Kinds with their powers, the factor into base units, what number words multiply with.
    None if it is no unit.
    """
    text = (
        f"{head} {tail}".replace("{", "").replace("}", "").replace("\\cdot", " ").replace(".", " ")
    )
    text = re.sub(
        r"\^\s*(-?\d)|(?<=[A-Za-z])([23])(?!\d)", lambda match: f"^{match[1] or match[2]}", text
    )
    if re.search(r"(?<!\^)(?<!\^-)\d", text):
        return None  # a digit that is no power says something else
    parts: list[tuple[str, int]] = []  # unit and power
    direction = 1
    power = 1
    multiple = Fraction(1)
    tokens = _UNIT_TOKEN.findall(text)
    if not _NO_UNIT.isdisjoint(token.casefold() for token in tokens) or (
        "than" in tokens and len(tokens[-1]) < 3
    ):
        return None
    for token in tokens:
        lowered = token.casefold()
        size = (
            _MULTIPLES.get(lowered) or _MULTIPLES.get(lowered.removesuffix("s"))
            if direction > 0
            else None
        )
        if lowered == "halves":
            size = Fraction(1, 2)
        if size is not None:
            if parts:
                return None  # "2 boxes of a dozen"
            multiple *= size
        elif token == "/" or lowered in ("per", "every"):
            direction = -1
        elif lowered in _POWERS:
            power = _POWERS[lowered]
        elif token[0] == "^" or lowered in ("squared", "cubed"):
            if not parts:
                return None  # "5 squared"
            raised = int(token[1:]) if token[0] == "^" else _POWERS[lowered[:-1]]
            parts = [*parts[:-1], *((name, exponent * raised) for name, exponent in parts[-1:])]
        elif lowered not in _FILLER and not (
            lowered == "in" and parts and direction > 0
        ):  # "dogs in total"
            above, _, below = _canonical(token).partition("/")
            parts.append((above, power * direction))
            parts += [(below, -power * direction)] if below else []
            power = 1
    kinds: dict[str, int] = {}
    factor = Fraction(1)
    for name, exponent in parts:
        kind, size = _KNOWN.get(name, (name, Fraction(1)))
        kinds[kind] = kinds.get(kind, 0) + exponent
        factor *= size**exponent
    return (kinds, factor, multiple) if spelled_out or kinds or multiple != 1 else None


def _canonical(word: str) -> str:
    if word in _NAMES or word in _SHORT:
        return _NAMES.get(word, word)
    lower_word = word.casefold()
    for form in (lower_word, lower_word.removesuffix("s"), lower_word.removesuffix("es")):
        if form in _NAMES:
            return _NAMES[form]
        if form in _KNOWN:
            return form
    return lower_word[:-3] + "y" if lower_word.endswith("ies") else lower_word.removesuffix("s")
