r"""Sets of real numbers as answers write them: intervals, unions, differences, inequalities, all read
into one form that can be compared.

`[-2,7]`, `-2 \le x \le 7` and `x \ge -2 \text{ and } x \le 7` are the same region.
"""

import math
import re
from dataclasses import dataclass

from shared.grading import algebra, closed_form, intervals
from shared.grading.expressions import parse
from shared.grading.intervals import End, Operation, Point, Region
from shared.grading.splitting import bracketed, split_outside
from shared.grading.tokens import Unreadable

MAX_PIECES = 40

_HINT = re.compile(
    r"\\(?:le|ge|ne|cup|cap|setminus|in|infty|mathbb\{R\})(?![A-Za-z])|[<>]|\ball real"
)
_CLOSED_AT_INFINITY = re.compile(r"\[\s*-?\s*\\infty|\\infty\s*\]")
_RELATION = re.compile(r"(\\le|\\ge|\\ne)(?![A-Za-z])|([<>=])")
_VARIABLE = re.compile(
    r"^(?:[a-zA-Z]|\\(?:theta|alpha|beta|lambda|phi|gamma|omega|mu))(?:_\{?\w\}?)?$"
)
_ABSOLUTE = re.compile(r"^\|\s*(\\?[A-Za-z]+)\s*(?:([+-])\s*([^|]+))?\|$")
_MEMBER = re.compile(r"^(\\?[A-Za-z]+)\s*\\in\s*(.*)$", re.DOTALL)
_BUILDER = re.compile(
    r"^\\\{\s*(\\?[A-Za-z]+)\s*(?:\\in\s*\\mathbb\{R\}\s*)?(?:\||:)\s*(.*)\\\}$", re.DOTALL
)
_REALS = re.compile(
    r"^(?:\\mathbb\{R\}|(?:\\text\{)?\s*all real (?:numbers|values)(?: of [a-z])?\s*\}?)$",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Stated:
    """A region and the variable it was stated for, if any."""

    region: Region
    variable: str = ""


def hints_at_region(text: str) -> bool:
    """Whether a text has a sign of an interval, a set or an inequality. Cheap."""
    return _HINT.search(text) is not None


def closed_at_infinity(text: str) -> bool:
    """Whether an interval takes in infinity itself: `[-\\infty, 3)` is no set of real numbers."""
    return _CLOSED_AT_INFINITY.search(text) is not None


def read_region(text: str) -> Stated | None:
    """The region that a cleaned answer describes, or None if it describes none that can be read."""
    try:
        return _read(text.strip(), 0)
    except (Unreadable, algebra.TooHard):
        return None


_MIRRORED = {"<": ">", ">": "<", "\\le": "\\ge", "\\ge": "\\le", "\\ne": "\\ne", "=": "="}


def read_relation(text: str) -> tuple[str, str, str] | None:
    """(left side, relation, right side) of a single inequality between any expressions."""
    pieces = [piece.strip() for piece in _RELATION.split(text) if piece is not None]
    if len(pieces) == 3 and all(pieces) and pieces[1] != "=":
        return (pieces[0], pieces[1], pieces[2])
    return None


def mirrored(relation: tuple[str, str, str]) -> tuple[str, str, str]:
    """`b > a` for `a < b`."""
    return relation[2], _MIRRORED[relation[1]], relation[0]


def _read(text: str, depth: int) -> Stated:
    if depth > 6:
        raise Unreadable("nested too deep")
    match = _BUILDER.match(text)
    if match is not None:
        return Stated(_read(match[2].strip(), depth + 1).region, match[1])
    match = _MEMBER.match(text)
    if match is not None and _VARIABLE.match(match[1]):
        return Stated(_read(match[2].strip(), depth + 1).region, match[1])
    for separators, operation in (
        ((r"\\text\{\s*or\s*\}", r"\bor\b"), _either),
        ((r"\\text\{\s*and\s*\}", r"\band\b"), _both),
        ((r"\\cup(?![A-Za-z])",), _either),
        ((r"\\cap(?![A-Za-z])",), _both),
        (
            (r"\\setminus(?![A-Za-z])", r"(?<=\})\s*-\s*(?=\\\{)", r"(?<=\))\s*-\s*(?=\\\{)"),
            _without,
        ),
    ):
        parts = split_outside(text, "|".join(separators))
        if 1 < len(parts) <= MAX_PIECES:
            operands = [_read(part.strip(), depth + 1) for part in parts]
            return _fold(operands, operation)
    parts = split_outside(text, ",")
    if 1 < len(parts) <= MAX_PIECES and all(_RELATION.search(part) for part in parts):
        operands = [_read(part.strip(), depth + 1) for part in parts]
        together = _fold(operands, _both)
        if any(together.region.inside):
            return together
        return _fold(operands, _either)
    return _simple(text)


def _simple(text: str) -> Stated:
    if _REALS.match(text):
        return Stated(Region((), (True,)))
    if text in ("\\emptyset", "\\{\\}"):
        return Stated(Region((), (False,)))
    pieces = [piece.strip() for piece in _RELATION.split(text) if piece is not None]
    if len(pieces) > 1:
        return _inequality(pieces)
    group = bracketed(text)
    if group is None:
        raise Unreadable("no region")
    opening, body, closing = group
    items = [item.strip() for item in split_outside(body, ",")]
    if opening == "\\{" and closing == "\\}" and len(items) <= MAX_PIECES:
        points = Region((), (False,))
        for item in items:
            points = intervals.combine(
                points,
                intervals.between(_point(item), True, _point(item), True),
                _either,
            )
        return Stated(points)
    if opening in "([" and closing in ")]" and len(items) == 2:
        low = _point(items[0])
        high = _point(items[1])
        if (opening == "[" and isinstance(low, float)) or (
            closing == "]" and isinstance(high, float)
        ):
            raise Unreadable("closed at infinity")
        return Stated(intervals.between(low, opening == "[", high, closing == "]"))
    raise Unreadable("no region")


def _inequality(pieces: list[str]) -> Stated:
    """`a < x \\le b`, `x > 5`, `5 < x`, `x \\ne 3`: one variable alone on one side, constants
    on the others.
    """
    sides = pieces[::2]
    relations = pieces[1::2]
    absolute = _ABSOLUTE.match(sides[0]) if len(sides) == 2 else None
    if absolute is not None and _VARIABLE.match(absolute[1]):
        return _distance(absolute, relations[0], sides[1])
    variables = [
        index
        for index, side in enumerate(sides)
        if _VARIABLE.match(side) and side not in ("e", "i")
    ]
    if len(variables) != 1 or len(sides) > 3 or "=" in relations:
        raise Unreadable("no inequality for one variable")
    at = variables[0]
    region = Region((), (True,))
    for index, relation in enumerate(relations):
        constant_is_left = index + 1 == at  # the constant stands left of the variable
        if index not in (at - 1, at):
            raise Unreadable("no inequality for one variable")
        constant = _point(sides[index] if constant_is_left else sides[index + 1])
        region = intervals.combine(region, _half_line(constant, relation, constant_is_left), _both)
    return Stated(region, sides[at])


def _distance(absolute: re.Match[str], relation: str, radius: str) -> Stated:
    """`|x - 2| < 3`: as far from 2 as the relation says."""
    middle = (
        (f"-({absolute[3]})" if absolute[2] == "+" else f"({absolute[3]})") if absolute[2] else "0"
    )
    low = _point(f"{middle}-({radius})")
    high = _point(f"{middle}+({radius})")
    if relation == "\\ne":
        raise Unreadable("no interval")
    towards = _half_line(low, _MIRRORED[relation], constant_is_left=False)
    region = intervals.combine(
        towards,
        _half_line(high, relation, constant_is_left=False),
        _both if "<" in relation or "le" in relation else _either,
    )
    return Stated(region, absolute[1])


def _half_line(constant: End, relation: str, constant_is_left: bool) -> Region:
    if relation == "\\ne":
        if isinstance(constant, float):
            raise Unreadable("not infinity")
        return Region((constant,), (True, False, True))
    is_upper_bound = (
        relation in ("<", "\\le")
    ) != constant_is_left  # the constant bounds the variable from above
    is_closed = relation in ("\\le", "\\ge")
    if is_upper_bound:
        return intervals.between(-math.inf, False, constant, is_closed)
    return intervals.between(constant, is_closed, math.inf, False)


def _point(text: str) -> End:
    bare = text.replace(" ", "")
    if bare in ("\\infty", "+\\infty"):
        return math.inf
    if bare == "-\\infty":
        return -math.inf
    form = closed_form.exact(parse(text))
    place = algebra.approximate(form)
    if place is None:
        raise Unreadable("no constant")
    return Point(place, form)


def _either(a: bool, b: bool) -> bool:
    return a or b


def _both(a: bool, b: bool) -> bool:
    return a and b


def _without(a: bool, b: bool) -> bool:
    return a and not b


def _fold(regions: list[Stated], operation: Operation) -> Stated:
    names = {part.variable for part in regions if part.variable}
    if len(names) > 1:
        raise Unreadable("several variables")
    region = regions[0].region
    for part in regions[1:]:
        region = intervals.combine(region, part.region, operation)
    return Stated(region, names.pop() if names else "")
