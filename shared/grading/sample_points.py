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
_LETTERS = r"((?:\\?[A-Za-z](?:_\{?\w\}?)?(?:\s*(?:,|and)\s*)?){1,6})"
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
    text = problem.replace("$", "").replace("\\(", "").replace("\\)", "")
    positive = _named(_POSITIVE, text) | _named(_ABOVE_ZERO, text)
    whole = _named(_INTEGERS, text)
    if _MEASURED.search(text):
        positive |= {name for name in names if name not in _COORDINATES}
    if _for_whole_numbers(gold) or _for_whole_numbers(answer):
        whole |= _COUNTERS
    bases = {name: name.partition("_")[0] for name in names}
    return Domain(
        names,
        frozenset(name for name in names if name in positive or bases[name] in positive),
        frozenset(name for name in names if name in whole or bases[name] in whole),
    )


def samples(domain: Domain) -> list[SamplePoint]:
    """The points, the generic ones first; one point without letters where there are none."""
    if not domain.names:
        return [SamplePoint({})]
    draw = random.Random(20)
    count = 48 if domain.whole else 20
    columns = {
        name: _column(name in domain.whole, count, at, draw) for at, name in enumerate(domain.names)
    }
    drawn_samples = []
    for row in range(count):
        point = {name: columns[name][row] for name in domain.names}
        point = {
            name: abs(value) if name in domain.positive else value for name, value in point.items()
        }
        doubtful = any(
            value < 0 and name.partition("_")[0] not in _COORDINATES
            for name, value in point.items()
        )
        drawn_samples.append(SamplePoint(point, doubtful))
    return drawn_samples


def letters(node: Node) -> set[str]:
    """The names that stand for unknown values; not `i`, `e` and pi."""
    own = {node.name} if node.op == "sym" and node.name not in ("\\pi", "e", "i") else set()
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
        large = [draw.randrange(31, 400) for _ in range(count)]
        numbers = [*range(31), *range(-9, 0), *large]
        return _shuffled([Fraction(number) for number in numbers[:count]], at, draw)

    def fraction(low: int, high: int, below: int) -> Fraction:
        return Fraction(draw.randrange(low, high), below)

    generic = [fraction(10**30, 10**31, 4 * 10**30) for _ in range(3)]
    negative = [-fraction(10**12, 10**13, 4 * 10**12) for _ in range(3)]
    near_zero = [sign * fraction(1, 10**9, 10**11) for sign in (1, -1)]
    large_sizes = [sign * fraction(10**6, 10**8, 10**5) for sign in (1, -1, 1)]
    whole_numbers = [Fraction(number) for number in (0, 1, 3, 12, -1, -4)]
    halves = [Fraction(odd, 2) for odd in (1, 7, -5)]
    values = [*negative, *near_zero, *large_sizes, *whole_numbers, *halves]
    return generic + _shuffled(values, at, draw)[: count - 3]


def _shuffled(values: list[Fraction], at: int, draw: random.Random) -> list[Fraction]:
    if at:
        return draw.sample(values, len(values))
    return values


def _named(pattern: re.Pattern[str], text: str) -> set[str]:
    names: set[str] = set()
    for match in pattern.finditer(text):
        name_list = next(group for group in match.groups() if group)
        names.update(re.findall(r"\\?[A-Za-z](?:_\{?\w\}?)?", name_list.replace("and", ",")))
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
