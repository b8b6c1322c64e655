r"""Readings of answers by their value: equations and their labels, ratios, quantities with
units.
"""

import re
from collections.abc import Sequence
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
    gold_sides = _sides(gold)
    answer_sides = _sides(answer)
    if len(gold_sides) == len(answer_sides) == 1:
        return None
    if not all((*gold_sides, *answer_sides)):
        return None
    if len(gold_sides) == 1 or len(answer_sides) == 1:
        return _without_label(comparison, gold_sides, answer_sides)
    if values.same_name(gold_sides[0], answer_sides[0]):
        return comparison.equal(gold_sides[-1], answer_sides[-1])
    if values.other_name(gold_sides[0], answer_sides[0]):
        return False
    if len(gold_sides) != 2 or len(answer_sides) != 2:
        if squash(gold_sides[0]) != squash(answer_sides[0]):
            return False
        return comparison.equal(gold_sides[-1], answer_sides[-1])
    if all(map(values.is_value, (*gold_sides, *answer_sides))):
        # "0.56 = 56%": a value in two forms, not an equation
        return all(map(comparison.equal, gold_sides, answer_sides))
    return _same_zeros(comparison, gold_sides, answer_sides)


def _sides(text: str) -> list[str]:
    """What stands between equals signs that are in no bracket."""
    return [side.strip() for side in split_outside(text, "=")]


def _same_zeros(
    comparison: Comparison,
    gold_sides: list[str],
    answer_sides: list[str],
) -> bool:
    """Whether two equations say that multiples of one expression are zero."""
    gold_form = values.zero_form(gold_sides)
    answer_form = values.zero_form(answer_sides)
    if gold_form is not None and answer_form is not None:
        same = values.bounded(algebra.proportional, gold_form, answer_form)
        if same is not None:
            return same
    # Beyond what our forms can tell: the two factors that equations usually differ by, 1 and -1.
    gold_zero = _difference(gold_sides)
    answer_zero = _difference(answer_sides)
    if comparison.ask(gold_zero, answer_zero):
        return True
    return comparison.ask(gold_zero, f"-({answer_zero})")


def _difference(sides: list[str]) -> str:
    """An equation's left side minus its right one."""
    left_side, right_side = sides
    return f"({left_side})-({right_side})"


def _without_label(
    comparison: Comparison,
    gold_sides: list[str],
    answer_sides: list[str],
) -> bool | None:
    """`x = 5` against `5`: the name of what was asked may be left out; of a calculation the
    result counts.
    """
    # One side is a chain of equals signs, the other one is the plain value.
    gold_is_chain = len(answer_sides) == 1
    chain = gold_sides if gold_is_chain else answer_sides
    if len(chain) > MAX_CHAIN:
        return False
    result = chain[-1]
    if len(chain) == 2 and is_label(chain[1]) and not is_label(chain[0]):
        result = chain[0]  # "5 = x"
    elif not _names_a_result(comparison, chain):
        return False
    if gold_is_chain:
        return comparison.equal(result, answer_sides[0])
    return comparison.equal(gold_sides[0], result)


def _names_a_result(comparison: Comparison, chain: list[str]) -> bool:
    """Whether a chain begins with a name of its result, or is a calculation of it."""
    head = chain[0]
    if is_label(head) or _SUM_OF_SEGMENTS.fullmatch(head):
        return True
    if all(map(values.is_value, chain[:-1])) or re.search(r"[(\\|]", head):
        return True
    # "find x + y": then x + y = 7 names what was asked.
    problem = squash(comparison.problem)
    position = problem.find(squash(head))
    if position <= 0 or len(head) <= 2:
        return False
    before = problem[max(0, position - 40) : position]
    return _ASKED.search(before.replace("$", "")) is not None


def as_ratios(comparison: Comparison, gold: str, answer: str) -> bool | None:
    """`2:3`, `2 \\text{ to } 3`, `\\frac{2}{3}`."""
    gold_ratio = values.read_ratio(gold)
    answer_ratio = values.read_ratio(answer)
    if gold_ratio is None and answer_ratio is None:
        return None
    longest = max(len(ratio) for ratio in (gold_ratio, answer_ratio) if ratio is not None)
    if gold_ratio is not None and answer_ratio is not None and longest > 2:
        # 1:2:3 is no quotient: its terms are compared one by one.
        if len(gold_ratio) != len(answer_ratio):
            return False
        pairs = zip(gold_ratio, answer_ratio, strict=True)
        return all(comparison.equal(a, b) for a, b in pairs)
    is_time = literals.read_time(gold) or literals.read_time(answer)
    if is_time and "ratio" not in comparison.problem.casefold():
        return False  # 4:30 is a time of day, not 2/15
    if longest > 2:
        return False
    gold_quotient = _quotient(gold_ratio, gold)
    answer_quotient = _quotient(answer_ratio, answer)
    return as_quantities(comparison, gold_quotient, answer_quotient)


def _quotient(ratio: Sequence[str] | None, text: str) -> str:
    """A ratio of two terms as a fraction; the text itself where it is none."""
    if ratio is None:
        return text
    first_term, second_term = ratio
    return f"({first_term})/({second_term})"


def as_compounds(comparison: Comparison, gold: str, answer: str) -> bool | None:
    """`1 hour and 30 minutes` is 90 minutes, 5400 seconds or 1.5 hours; without a unit it is
    none of them.
    """
    if gold[-1:].isdigit() and answer[-1:].isdigit():
        return None  # no unit at either end
    gold_quantity = quantities.read_compound(gold)
    answer_quantity = quantities.read_compound(answer)
    if gold_quantity is None and answer_quantity is None:
        return None
    return _quantities_equal(
        comparison,
        gold_quantity or quantities.read_quantity(gold),
        answer_quantity or quantities.read_quantity(answer),
        True,
    )


def as_quantities(comparison: Comparison, gold: str, answer: str) -> bool:
    """Values in closed form; units and percent signs are optional, conflicting ones wrong."""
    gold_quantity = quantities.read_quantity(gold)
    answer_quantity = quantities.read_quantity(answer)
    if quantities.is_plain(gold):  # then "6m" has a unit, no variable
        answer_quantity = quantities.read_short_unit(answer_quantity)
    return _quantities_equal(comparison, gold_quantity, answer_quantity, False)


def _quantities_equal(
    comparison: Comparison,
    gold: Quantity,
    answer: Quantity,
    unit_needed: bool,
) -> bool:
    """Whether two quantities are equal; `unit_needed`: only if both have the same unit."""
    if not quantities.compatible(gold, answer):
        return False
    if gold.percent and answer.unit:
        return False
    if answer.percent and gold.unit:
        return False
    if unit_needed and gold.unit != answer.unit:
        return False
    gold_form = values.exact_form(gold.value)
    answer_form = values.exact_form(answer.value)
    has_same_unit = bool(gold.unit) and gold.unit == answer.unit
    gold_factor = gold.multiple
    answer_factor = answer.multiple
    if has_same_unit:
        gold_factor *= gold.factor
        answer_factor *= answer.factor
    if isinstance(gold_form, algebra.Form) and isinstance(answer_form, algebra.Form):
        gold_form = values.scaled(gold_form, gold_factor)
        answer_form = values.scaled(answer_form, answer_factor)
        is_equal = values.bounded(algebra.equal, gold_form, answer_form)
        if is_equal is False and gold.percent and not answer.percent and not answer.unit:
            # A gold in percent names its value: 50% is 50, and also 1/2. The other way round 50% is
            # 50 only.
            is_equal = values.bounded(
                algebra.equal,
                values.scaled(gold_form, Fraction(1, 100)),
                answer_form,
            )
        if is_equal is not None:
            return is_equal
    if gold_factor != answer_factor:
        raise Undecidable("units to convert between values that are not in closed form")
    return comparison.ask(gold.value, answer.value)
