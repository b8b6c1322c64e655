r"""The value of an answer in closed form, and the questions about values that a comparison asks."""

import re
from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache

from shared.grading import algebra, closed_form, quantities
from shared.grading.expressions import parse
from shared.grading.lists import is_label, label_key
from shared.grading.splitting import split_outside
from shared.grading.tokens import Unreadable

MAX_ROUNDED = 40  # digits of an approximation
_NAMES_A_THING = re.compile(r"[_'(\[{|]|^[A-Z]{2,}$|^[A-Za-z]{4,}$")


@lru_cache(maxsize=256)
def exact_form(text: str) -> algebra.Form | str:
    """The exact form of a cleaned expression, or why there is none."""
    try:
        return closed_form.exact(parse(text))
    except (Unreadable, algebra.TooHard) as error:
        return str(error)


def bounded(
    question: Callable[[algebra.Form, algebra.Form], bool | None],
    a: algebra.Form,
    b: algebra.Form,
) -> bool | None:
    """The answer to a question about two forms; None where it is open or too hard."""
    try:
        return question(a, b)
    except algebra.TooHard:
        return None


def scaled(form: algebra.Form, factor: Fraction) -> algebra.Form:
    """`factor` times the value."""
    if factor == 1:
        return form
    above = {key: value * factor for key, value in form.above.items()}
    return algebra.Form(above, form.below, form.opaque)


def zero_form(sides: list[str]) -> algebra.Form | None:
    """The polynomial that an equation sets to zero."""
    left_form = exact_form(sides[0])
    right_form = exact_form(sides[1])
    if isinstance(left_form, str) or isinstance(right_form, str):
        return None
    try:
        difference = algebra.difference(left_form, right_form)
    except algebra.TooHard:
        return None
    return algebra.Form(difference.above, {algebra.ONE: Fraction(1)}, difference.opaque)


def is_value(text: str) -> bool:
    """Whether a text is a constant, perhaps with a unit."""
    form = exact_form(quantities.read_quantity(text).value)
    return isinstance(form, algebra.Form) and not any(letters for _, _, letters in form.above)


def same_name(name: str, second_name: str) -> bool:
    """Labels of one thing, perhaps spelled differently: `AB` and `|AB|`, `P(x)` and `p(x)`."""
    return is_label(name) and is_label(second_name) and label_key(name) == label_key(second_name)


def other_name(name: str, second_name: str) -> bool:
    """Labels of two things of which neither is an unknown to solve for: `a_n` and `a_{n+1}`,
    `f(x)` and `f'(x)`.
    """
    if not (is_label(name) and is_label(second_name)) or same_name(name, second_name):
        return False
    return any(_NAMES_A_THING.search(label_key(side)) for side in (name, second_name))


def same_when_rounded(decimal: str, second_decimal: str) -> bool:
    """Decimals that agree in the places that both have: 0.577 and 0.5774."""
    values = [
        form.rational
        for form in map(exact_form, (decimal, second_decimal))
        if isinstance(form, algebra.Form)
    ]
    places = [len(text.partition(".")[2]) for text in (decimal, second_decimal)]
    if (
        len(values) < 2
        or values[0] is None
        or values[1] is None
        or not 0 < min(places) <= MAX_ROUNDED
    ):
        return False
    return round(values[0], min(places)) == round(values[1], min(places))


def read_ratio(text: str) -> list[str] | None:
    """The parts of `2:3` or `2 \\text{ to } 3`, or None if it is no ratio."""
    parts = [part.strip() for part in split_outside(text, r":|\\text\{\s*to\s*\}|\bto\b")]
    if 1 < len(parts) <= 6 and all(isinstance(exact_form(part), algebra.Form) for part in parts):
        return parts
    return None
