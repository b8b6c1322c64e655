r"""Numbers with units: `15\text{ cm}^2`, `5.4 \text{ cents}`, `¤18`, `90°`, `50%`, `7 lollipops`.

Units are optional; where both sides have one, they must agree (after conversion: 2 hours are 120
minutes).
"""

import re
from dataclasses import dataclass
from fractions import Fraction

from shared.grading import units

MAX_LENGTH = 300  # characters of a quantity; anything longer is taken as it stands

_SIGNS = {"¤": "dollar", "€": "euro", "£": "pound sterling", "¥": "yuan"}
_SCALES = {"C": "celsius", "F": "fahrenheit"}
_MONEY = re.compile(r"^(-?)\s*([¤€£¥])\s*(-?)(.*)$", re.DOTALL)
_DEGREES = re.compile(r"^(.*\S)\s*°\s*(?:\\text\{\s*([CF])\s*\}|([CF]))?$", re.DOTALL)
_COMMANDS_OF_NUMBERS = re.compile(r"\\(?:frac|sqrt|pi|cdot|text)(?![A-Za-z])")  # not \sin 15°
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


Kinds = tuple[tuple[str, int], ...]  # kinds with their powers, sorted


@dataclass(frozen=True, slots=True)
class Quantity:
    """`value` is the text of the number; `unit` maps kinds to powers, or is empty; `factor` turns
    into base units.

    `multiple` is what words such as "million" multiply the number with.
    """

    value: str
    unit: Kinds = ()
    factor: Fraction = Fraction(1)
    percent: bool = False
    multiple: Fraction = Fraction(1)

    @property
    def above(self) -> Kinds:
        """The kinds with a positive power."""
        return tuple(part for part in self.unit if part[1] > 0)

    @property
    def below(self) -> Kinds:
        """The kinds that the unit is "per"."""
        return tuple(part for part in self.unit if part[1] < 0)


def read_quantity(text: str) -> Quantity:
    """A cleaned answer split into its number and its unit. Without a unit the value is the text
    itself.
    """
    if len(text) > MAX_LENGTH:
        return Quantity(text)
    sign = _MONEY.match(text)
    if sign is not None:
        return _with_money_sign(sign)
    if text.endswith(("¤", "€", "£")):
        return read_quantity(text[-1] + text[:-1].rstrip())
    if text.endswith("%"):
        return Quantity(text[:-1].rstrip(), percent=True)
    degrees = _DEGREES.match(text)
    if degrees is not None and "\\" not in _COMMANDS_OF_NUMBERS.sub("", degrees[1]):
        scale = degrees[2] or degrees[3]
        name = _SCALES.get(scale, "angle")
        return Quantity(degrees[1], ((name, 1),))
    return _worded(text)


def _with_money_sign(sign: re.Match[str]) -> Quantity:
    inner = read_quantity(sign[4])
    value = f"{sign[1] or sign[3]}{inner.value}"
    unit = dict(inner.unit)
    name = _SIGNS[sign[2]]
    kind, factor = units.KNOWN.get(name, (name, Fraction(1)))
    if kind == "money" and unit.get("money") == 1:  # "$5 dollars"
        return Quantity(value, inner.unit, inner.factor)
    unit[kind] = unit.get(kind, 0) + 1
    kinds = tuple(sorted(unit.items()))
    return Quantity(value, kinds, inner.factor * factor, multiple=inner.multiple)


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
            units.KNOWN.get(units.canonical(match[2]), ("", Fraction(0)))
            if match
            else ("", Fraction(0))
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
    kind, size = units.KNOWN[units.canonical(match[2])]
    return Quantity(match[1], ((kind, 1),), size, quantity.percent)


def compatible(a: Quantity, b: Quantity) -> bool:
    """Whether the units agree, or one side leaves its unit (or its "per ...") out."""
    if not a.unit or not b.unit:
        return True
    if a.unit == b.unit:
        return True
    if a.above == b.above and (not a.below or not b.below):
        return True
    return _shared_noun(a.above, b.above)


def _shared_noun(a: Kinds, b: Kinds) -> bool:
    """Plain words need not agree in full ("12 red marbles", "12 marbles") but must share one;
    real units must agree.
    """
    unit_kinds = {kind for kind, _ in units.KNOWN.values()}
    a_nouns = {kind for kind, _ in a}
    b_nouns = {kind for kind, _ in b}
    if not unit_kinds.isdisjoint(a_nouns | b_nouns):
        return False
    return not a_nouns.isdisjoint(b_nouns)


def _worded(text: str) -> Quantity:
    match = _TEXT_UNIT.match(text) if "\\text{" in text else None
    if match:
        unit = units.read_unit(match[2], re.sub(r"\\text\{([^{}]*)\}", r" \1 ", match[3]))
    else:
        match = _BARE_UNIT.match(text)
        if match is None or not _looks_like_words(match[2], text[match.end(1) : match.start(2)]):
            return Quantity(text)
        unit = units.read_unit(match[2], "")
        if unit is not None and not unit.kinds and unit.multiple == 1:
            unit = None  # words that say nothing, outside of `\\text{}`
    if unit is None:
        return Quantity(text)
    value = match[1].strip()
    if unit.kinds == {"%": 1}:
        return Quantity(value, percent=True, multiple=unit.multiple)
    kinds = tuple(sorted(unit.kinds.items()))
    return Quantity(value, kinds, unit.factor, multiple=unit.multiple)


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
