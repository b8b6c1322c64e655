r"""Exact values: an expression as a quotient of polynomials over the rationals, in closed form.

The indeterminates are letters, `\pi`, `e`, square roots of square-free whole numbers (which
multiply as such), `i` with i² = -1, and "opaque" parts (other roots, logarithms, symbolic powers).
Without opaque parts two forms are equal exactly when the values are: 1, π and square roots of
different square-free numbers are independent over the rationals. Everything is bounded: terms, bits
and steps. Beyond that `TooHard` says so within milliseconds.
"""

import math
from dataclasses import dataclass
from fractions import Fraction

from shared.grading.tokens import Unreadable

MAX_TERMS = 200
MAX_BITS = 6_000  # of a numerator or denominator
MAX_STEPS = 4_000  # products of terms for one expression
MAX_DEGREE = 200

# (i or not, square-free radicand, ((indeterminate, exponent), ...) sorted)
Monomial = tuple[bool, int, tuple[tuple[str, int], ...]]
Polynomial = dict[Monomial, Fraction]
ONE: Monomial = (False, 1, ())
_CONSTANTS = {"\\pi": math.pi, "e": math.e}


class TooHard(Exception):
    """Readable, but not within the bounds of exact arithmetic here."""


@dataclass(frozen=True, slots=True)
class Form:
    """`above / below`, not reduced. `opaque`: some part is only a name, so that unequal forms
    may have equal values.
    """

    above: Polynomial
    below: Polynomial
    opaque: bool = False

    @property
    def rational(self) -> Fraction | None:
        """The value, where it is a rational number."""
        monomials = self.above.keys() | self.below.keys()
        if monomials != {ONE}:
            return None
        above = self.above.get(ONE, Fraction(0))
        return above / self.below[ONE]


def equal(a: Form, b: Form) -> bool | None:
    """Whether two forms have the same value; None where opaque parts leave it open."""
    # Cross-multiplied, since a quotient has many forms: a/b = c/d where ad = cb.
    arithmetic = Arithmetic()
    product_a = arithmetic.product(a.above, b.below)
    product_b = arithmetic.product(b.above, a.below)
    same = product_a == product_b
    if not same and (a.opaque or b.opaque):
        return None
    return same


def proportional(a: Form, b: Form) -> bool | None:
    """Whether a = c·b for a rational c ≠ 0: two equations "a = 0" and "b = 0" that say the same."""
    arithmetic = Arithmetic()
    product_a = arithmetic.product(a.above, b.below)
    product_b = arithmetic.product(b.above, a.below)
    if product_a and product_a.keys() == product_b.keys():
        key = next(iter(product_a))
        factor = product_a[key] / product_b[key]
        multiple = {key: factor * value for key, value in product_b.items()}
        if product_a == multiple:
            return True
    if a.opaque or b.opaque:
        return None
    return not product_a and not product_b


def difference(a: Form, b: Form) -> Form:
    """a - b. Errors: `TooHard`."""
    return Arithmetic().add(a, negative(b))


def quotient(a: Form, b: Form) -> Form:
    """Errors: `TooHard`; `Unreadable` for a division by zero."""
    return Arithmetic().reduced(Arithmetic().divide(a, b))


def approximate(form: Form) -> float | None:
    """A real number near the value, to order it among others; None where the value is no real
    constant.
    """
    try:
        above = _approximate_sum(form.above)
        below = _approximate_sum(form.below)
    except OverflowError:
        return None
    if above is None or not below:
        return None
    return above / below


def _approximate_sum(polynomial: Polynomial) -> float | None:
    """A polynomial's value; None where it has `i` or a letter. Errors: `OverflowError`."""
    total = 0.0
    for (imaginary, radicand, letters), factor in polynomial.items():
        if imaginary or any(name not in _CONSTANTS for name, _ in letters):
            return None
        powers = (_CONSTANTS[name] ** exponent for name, exponent in letters)
        total += float(factor) * math.sqrt(radicand) * math.prod(powers)
    return total


def negative(a: Form) -> Form:
    """-a."""
    above = {key: -value for key, value in a.above.items()}
    return Form(above, a.below, a.opaque)


def constant(value: Fraction) -> Form:
    """A rational number."""
    above = {ONE: value} if value else {}  # zero is the sum without terms
    return Form(above, {ONE: Fraction(1)})


def indeterminate(name: str, opaque: bool = False) -> Form:
    """A value known by its name only; `opaque` where another name may have the same value."""
    letter: Monomial = (False, 1, ((name, 1),))
    return Form({letter: Fraction(1)}, {ONE: Fraction(1)}, opaque)


class Arithmetic:
    """The operations, with the steps that are left for one expression."""

    def __init__(self) -> None:
        self.steps = MAX_STEPS

    def add(self, a: Form, b: Form) -> Form:
        """a + b. Errors: `TooHard`."""
        opaque = a.opaque or b.opaque
        if a.below == b.below:
            above = self._sum(a.above, b.above)
            return Form(above, a.below, opaque)
        a_above = self.product(a.above, b.below)
        b_above = self.product(b.above, a.below)
        below = self.product(a.below, b.below)
        above = self._sum(a_above, b_above)
        return Form(above, below, opaque)

    def multiply(self, a: Form, b: Form) -> Form:
        """a · b. Errors: `TooHard`."""
        above = self.product(a.above, b.above)
        below = self.product(a.below, b.below)
        return Form(above, below, a.opaque or b.opaque)

    def divide(self, a: Form, b: Form) -> Form:
        """a / b. Errors: `TooHard`; `Unreadable` for a division by zero."""
        if not b.above:
            raise Unreadable("division by zero")
        inverse = Form(b.below, b.above, b.opaque)
        return self.multiply(a, inverse)

    def reduced(self, a: Form) -> Form:
        """A quotient of two polynomials that are multiples of one another as that rational
        number.
        """
        if not a.above:
            return constant(Fraction(0))
        key = next(iter(a.below))
        factor = a.above.get(key, Fraction(0)) / a.below[key]
        multiple = {name: factor * value for name, value in a.below.items()}
        if a.above == multiple:
            return constant(factor)
        return a

    def power(self, a: Form, n: int) -> Form:
        """a to a whole power, by squaring. Errors: `TooHard`; `Unreadable` for 1/0."""
        if n < 0:
            inverse = self.divide(constant(Fraction(1)), a)
            return self.power(inverse, -n)
        result = constant(Fraction(1))
        # From the highest bit down: what is there is squared, a bit that is set brings one more a.
        for bit in bin(n)[2:]:
            result = self.multiply(result, result)
            if bit == "1":
                result = self.multiply(result, a)
        return result

    def product(self, a: Polynomial, b: Polynomial) -> Polynomial:
        """The product of two polynomials, at the price of one step for each pair of terms.

        Errors: `TooHard`.
        """
        self.steps -= len(a) * len(b)
        if self.steps < 0:
            raise TooHard("too many terms")
        result: Polynomial = {}
        for key_a, value_a in a.items():
            for key_b, value_b in b.items():
                key, factor = _multiply_monomials(key_a, key_b)
                value = result.get(key, Fraction(0)) + value_a * value_b * factor
                _set_coefficient(result, key, value)
        if len(result) > MAX_TERMS:
            raise TooHard("too many terms")
        return result

    def _sum(self, a: Polynomial, b: Polynomial) -> Polynomial:
        result = dict(a)
        for key, value in b.items():
            total = result.get(key, Fraction(0)) + value
            _set_coefficient(result, key, total)
        return result


def _set_coefficient(
    polynomial: Polynomial,
    key: Monomial,
    value: Fraction,
) -> None:
    """Set a term, or drop it where its coefficient is zero: equal polynomials have equal terms.

    Errors: `TooHard`.
    """
    bits = max(value.numerator.bit_length(), value.denominator.bit_length())
    if bits > MAX_BITS:
        raise TooHard("a large number")
    if value:
        polynomial[key] = value
    else:
        polynomial.pop(key, None)


def _multiply_monomials(a: Monomial, b: Monomial) -> tuple[Monomial, int]:
    """The product, and the whole number that comes out of i² and of roots of common factors."""
    a_has_i, a_radicand, a_letters = a
    b_has_i, b_radicand, b_letters = b
    has_i = a_has_i != b_has_i  # i · i = -1 has none
    # √(gm) · √(gn) = g √(mn): square-free again.
    common = math.gcd(a_radicand, b_radicand)
    radicand = a_radicand * b_radicand // (common * common)
    factor = -common if a_has_i and b_has_i else common
    if not a_letters or not b_letters:
        return (has_i, radicand, a_letters or b_letters), factor
    exponents = dict(a_letters)
    for name, exponent in b_letters:
        exponents[name] = exponents.get(name, 0) + exponent
        if exponents[name] > MAX_DEGREE:
            raise TooHard("a high degree")
    letters = tuple(sorted(exponents.items()))
    return (has_i, radicand, letters), factor
