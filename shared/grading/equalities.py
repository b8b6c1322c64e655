r"""Readings of answers by their value: equations and their labels, ratios, quantities with
units.
"""

import re
from fractions import Fraction

from shared.grading import algebra, literals, quantities, values
from shared.grading.comparison import Comparison
from shared.grading.lists import is_label
from shared.grading.normalise import squash
from shared.grading.outcome import Undecidable
from shared.grading.quantities import Quantity
from shared.grading.splitting import split_outside

MAX_CHAIN = 12  # equals signs of a calculation
_SUM_OF_SEGMENTS = re.compile(r"[A-Z]{2}(?:\s*[+-]\s*[A-Z]{2})+")
_ASKED = re.compile(
    r"(?:find|compute|determine|evaluate|calculate|value of|what is|求)[^.?!]{0,20}$", re.I
)


def as_equations(comparison: Comparison, gold: str, answer: str) -> bool | None:
    """Equations in the same unknowns, definitions with their labels, a value with or without
    its label.
    """
    left, right = ([side.strip() for side in split_outside(text, "=")] for text in (gold, answer))
    if len(left) == len(right) == 1 or not all((*left, *right)):
        return None
    if len(left) == 1 or len(right) == 1:
        return _without_label(comparison, left, right)
    if values.same_name(left[0], right[0]):
        return comparison.equal(left[-1], right[-1])
    if values.other_name(left[0], right[0]):
        return False
    if len(left) != 2 or len(right) != 2:
        return squash(left[0]) == squash(right[0]) and comparison.equal(left[-1], right[-1])
    if all(
        map(values.is_value, (*left, *right))
    ):  # "0.56 = 56%": a value in two forms, not an equation
        return comparison.equal(left[0], right[0]) and comparison.equal(left[1], right[1])
    forms = values.zero_form(left), values.zero_form(right)
    if forms[0] is not None and forms[1] is not None:
        same = values.bounded(algebra.proportional, forms[0], forms[1])
        if same is not None:
            return same
    zeros = [f"({side[0]})-({side[1]})" for side in (left, right)]
    return comparison.ask(zeros[0], zeros[1]) or comparison.ask(zeros[0], f"-({zeros[1]})")


def _without_label(comparison: Comparison, left: list[str], right: list[str]) -> bool | None:
    """`x = 5` against `5`: the name of what was asked may be left out; of a calculation the
    result counts.
    """
    chain, other = (left, right[0]) if len(right) == 1 else (right, left[0])
    if len(chain) > MAX_CHAIN:
        return False
    result = chain[-1]
    if len(chain) == 2 and is_label(chain[1]) and not is_label(chain[0]):
        result = chain[0]  # "5 = x"
    elif not _names_a_result(comparison, chain):
        return False
    pair = (result, other) if chain is left else (other, result)
    return comparison.equal(pair[0], pair[1])


def _names_a_result(comparison: Comparison, chain: list[str]) -> bool:
    head = chain[0]
    if (
        is_label(head)
        or _SUM_OF_SEGMENTS.fullmatch(head)
        or all(map(values.is_value, chain[:-1]))
        or re.search(r"[(\\|]", head)
    ):
        return True
    asked = squash(comparison.problem)  # "find x + y": then x + y = 7 names what was asked
    at = asked.find(squash(head))
    return (
        at > 0
        and len(head) > 2
        and _ASKED.search(asked[max(0, at - 40) : at].replace("$", "")) is not None
    )


def as_ratios(comparison: Comparison, gold: str, answer: str) -> bool | None:
    """`2:3`, `2 \\text{ to } 3`, `\\frac{2}{3}`."""
    left, right = values.read_ratio(gold), values.read_ratio(answer)
    if left is None and right is None:
        return None
    if left is not None and right is not None and (len(left) > 2 or len(right) > 2):
        return len(left) == len(right) and all(
            comparison.equal(a, b) for a, b in zip(left, right, strict=True)
        )
    if (
        any(map(literals.read_time, (gold, answer)))
        and "ratio" not in comparison.problem.casefold()
    ):
        return False  # 4:30 is a time of day, not 2/15
    if any(pair is not None and len(pair) > 2 for pair in (left, right)):
        return False
    quotients = [
        f"({pair[0]})/({pair[1]})" if pair else text
        for pair, text in ((left, gold), (right, answer))
    ]
    return as_quantities(comparison, quotients[0], quotients[1])


def as_compounds(comparison: Comparison, gold: str, answer: str) -> bool | None:
    """`1 hour and 30 minutes` is 90 minutes, 5400 seconds or 1.5 hours; without a unit it is
    none of them.
    """
    if gold[-1:].isdigit() and answer[-1:].isdigit():
        return None  # no unit at either end
    left, right = quantities.read_compound(gold), quantities.read_compound(answer)
    if left is None and right is None:
        return None
    return _quantities_equal(
        comparison,
        left or quantities.read_quantity(gold),
        right or quantities.read_quantity(answer),
        True,
    )


def as_quantities(comparison: Comparison, gold: str, answer: str) -> bool:
    """Values in closed form; units and percent signs are optional, conflicting ones wrong."""
    left, right = quantities.read_quantity(gold), quantities.read_quantity(answer)
    if quantities.is_plain(gold):  # then "6m" has a unit, no variable
        right = quantities.read_short_unit(right)
    return _quantities_equal(comparison, left, right, False)


def _quantities_equal(
    comparison: Comparison, left: Quantity, right: Quantity, unit_needed: bool
) -> bool:
    if (
        not quantities.compatible(left, right)
        or (left.percent and right.unit)
        or (right.percent and left.unit)
    ):
        return False
    if unit_needed and left.unit != right.unit:
        return False
    a, b = values.exact_form(left.value), values.exact_form(right.value)
    convert = bool(left.unit) and left.unit == right.unit
    factors = [side.multiple * side.factor if convert else side.multiple for side in (left, right)]
    if isinstance(a, algebra.Form) and isinstance(b, algebra.Form):
        a, b = values.scaled(a, factors[0]), values.scaled(b, factors[1])
        same = values.bounded(algebra.equal, a, b)
        if same is False and left.percent and not right.percent and not right.unit:
            # A gold in percent names its value: 50% is 50, and also 1/2. The other way round 50% is
            # 50 only.
            same = values.bounded(algebra.equal, values.scaled(a, Fraction(1, 100)), b)
        if same is not None:
            return same
    if factors[0] != factors[1]:
        raise Undecidable("units to convert between values that are not in closed form")
    return comparison.ask(left.value, right.value)
