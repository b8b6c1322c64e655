r"""Where two expressions with letters are evaluated: negative, near zero, large, whole and half
numbers.

Points of one kind make unequal expressions equal: `|x|` is `x` above zero, `\lfloor n/3 \rfloor` is
`\lfloor n/4 \rfloor` below three.
"""

import random
import re
from dataclasses import dataclass
from fractions import Fraction

from shared.grading.expressions import Node
from shared.grading.numeric import Point, rational

# They take any sign unless a problem says.
_COORDINATES = frozenset(("x", "y", "z", "w", "u", "v", "t", "\\theta"))
_COUNTERS = frozenset("klmnN")  # whole numbers where an expression makes sense for these only
_WHOLE = frozenset(("floor", "ceil", "fact", "binom", "gcd"))
# Names with a comma or "and" between them, six at most: "a, b and c_1".
_LETTERS = r"((?:\\?[A-Za-z](?:_\{?\w\}?)?(?:\s*(?:,|and)\s*)?){1,6})"
_NAME = re.compile(r"\\?[A-Za-z](?:_\{?\w\}?)?")
_POSITIVE = re.compile(
    rf"(?:positive|non-?negative)\s+(?:real\s+|whole\s+|rational\s+)?(?:numbers?|integers?|constants?|reals?)?\s*{_LETTERS}"
    r"(?![A-Za-z])"
)
_ABOVE_ZERO = re.compile(rf"{_LETTERS}\s*(?:>|\\gt?e?q?|\\ge|≥)\s*[01](?![\d.])")
_INTEGERS = re.compile(
    rf"(?:integers?|natural numbers?|whole numbers?|odd|even|primes?)\s+{_LETTERS}(?![A-Za-z])"
    rf"|{_LETTERS}\s*\\in\s*\\(?:mathbb|mathbf)\s*\{{?\s*[ZN]"
)
_MEASURED = re.compile(
    r"\b(?:triangle|circle|radius|side|length|area|volume|perimeter|rectangle|square|cube|sphere|cone|distance|height"
    r"|width|mass|probability|polygon|trapezoid|rhombus|segment|edge)s?\b",
    re.I,
)


@dataclass(frozen=True, slots=True)
class SamplePoint:
    """A point, and whether a letter that may stand for a size is negative there."""

    point: Point
    sign_in_doubt: bool = False


@dataclass(frozen=True, slots=True)
class Domain:
    """What the letters of two expressions stand for, as far as problem and expressions tell."""

    names: tuple[str, ...]
    positive: frozenset[str]
    whole: frozenset[str]


def domain_of(problem: str, gold: Node, answer: Node) -> Domain:
    """The letters of both expressions, with what `problem` and their use say of them."""
    names = tuple(sorted(letters(gold) | letters(answer)))
    text = _without_dollars(problem)
    positive = _named(_POSITIVE, text) | _named(_ABOVE_ZERO, text)
    whole = _named(_INTEGERS, text)
    if _MEASURED.search(text):
        # Of a triangle with sides a and b, both are above zero, though no one says so.
        positive |= {name for name in names if name not in _COORDINATES}
    if _for_whole_numbers(gold) or _for_whole_numbers(answer):
        whole |= _COUNTERS
    return Domain(
        names,
        positive=_among(names, positive),
        whole=_among(names, whole),
    )


def _without_dollars(text: str) -> str:
    """A text without the marks around its formulas."""
    for mark in ("$", "\\(", "\\)"):
        text = text.replace(mark, "")
    return text


def _base(name: str) -> str:
    """A name without its index: what a problem says of `a` holds for `a_1` as well."""
    return name.partition("_")[0]


def _among(names: tuple[str, ...], described: set[str]) -> frozenset[str]:
    """The names that are described themselves, or without their index."""
    own = {name for name in names if name in described}
    by_base = {name for name in names if _base(name) in described}
    return frozenset(own | by_base)


def samples(domain: Domain) -> list[SamplePoint]:
    """The points, the generic ones first; one point without letters where there are none."""
    if not domain.names:
        return [SamplePoint({})]
    draw = random.Random(20)
    count = 48 if domain.whole else 20
    columns = {}
    for at, name in enumerate(domain.names):
        values = _column(name in domain.whole, count, at, draw)
        if name in domain.positive:
            values = [abs(value) for value in values]
        columns[name] = values
    return [
        _sample_point({name: column[row] for name, column in columns.items()})
        for row in range(count)
    ]


def _sample_point(point: Point) -> SamplePoint:
    """A point, its sign in doubt where a letter that is no coordinate is negative: a length that
    no one called one.
    """
    negative_names = (name for name, value in point.items() if value < 0)
    doubtful = any(_base(name) not in _COORDINATES for name in negative_names)
    return SamplePoint(point, doubtful)


def letters(node: Node) -> set[str]:
    """The names that stand for unknown values; not `i`, `e` and pi."""
    own = set()
    if node.op == "sym" and node.name not in ("\\pi", "e", "i"):
        own = {node.name}
    return own.union(*(letters(argument) for argument in node.args))


def _column(
    whole: bool,
    count: int,
    at: int,
    draw: random.Random,
) -> list[Fraction]:
    """The values of one letter: the first three generic, then of every kind, in another order
    for each letter.
    """
    if whole:
        # As many as are wanted: 0 to 30, where floors and factorials differ most, then below zero,
        # then whatever is left from a wider range.
        large = [draw.randrange(31, 400) for _ in range(count)]
        numbers = [*range(31), *range(-9, 0), *large]
        values = [Fraction(number) for number in numbers[:count]]
        return _shuffled(values, at, draw)

    def fraction(low: int, high: int, below: int) -> Fraction:
        return Fraction(draw.randrange(low, high), below)

    # 30 digits: two unequal polynomials that meet at such a point would have to be made for it.
    generic = [fraction(10**30, 10**31, 4 * 10**30) for _ in range(3)]
    # -0.25 to -2.5, up to 0.01 on either side of zero, and 10 to 1,000 on either side.
    negative = [-fraction(10**12, 10**13, 4 * 10**12) for _ in range(3)]
    near_zero = [sign * fraction(1, 10**9, 10**11) for sign in (1, -1)]
    large_sizes = [sign * fraction(10**6, 10**8, 10**5) for sign in (1, -1, 1)]
    # What a floor, a root or a cancelled denominator tells apart.
    whole_numbers = [Fraction(number) for number in (0, 1, 3, 12, -1, -4)]
    halves = [Fraction(odd, 2) for odd in (1, 7, -5)]
    values = [*negative, *near_zero, *large_sizes, *whole_numbers, *halves]
    return generic + _shuffled(values, at, draw)[: count - 3]


def _shuffled(
    values: list[Fraction],
    at: int,
    draw: random.Random,
) -> list[Fraction]:
    """The values of letter number `at`: in their order for the first one, in another for the rest,
    so that letters do not rise and fall together.
    """
    if at:
        return draw.sample(values, len(values))
    return values


def _named(pattern: re.Pattern[str], text: str) -> set[str]:
    """The names in the first group that matched, of every match of a pattern."""
    names: set[str] = set()
    for match in pattern.finditer(text):
        name_list = next(group for group in match.groups() if group)
        name_list = name_list.replace("and", ",")
        names.update(_NAME.findall(name_list))
    return names


def _for_whole_numbers(node: Node) -> bool:
    """Whether an expression is made for whole numbers: floors, factorials, powers of a negative
    number.
    """
    if node.op in _WHOLE:
        return True
    if node.op == "pow" and letters(node.args[1]):
        base = rational(node.args[0])
        if base is not None and base < 0:
            return True
    return any(map(_for_whole_numbers, node.args))
