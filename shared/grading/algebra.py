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

from shared.grading.expressions import Node, Unreadable

MAX_TERMS = 200
MAX_BITS = 6_000  # of a numerator or denominator
MAX_STEPS = 4_000  # products of terms for one expression
MAX_DEGREE = 200
MAX_FACTORED = 10**12  # larger radicands are not split into square and square-free part

# (i or not, square-free radicand, ((indeterminate, exponent), ...) sorted)
Monomial = tuple[bool, int, tuple[tuple[str, int], ...]]
Polynomial = dict[Monomial, Fraction]
ONE: Monomial = (False, 1, ())


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
        if set(self.above) <= {ONE} and set(self.below) <= {ONE}:
            return self.above.get(ONE, Fraction(0)) / self.below[ONE]
        return None


def exact(node: Node) -> Form:
    """The form of an expression. Errors: `TooHard`; `Unreadable` for a division by zero."""
    return _Arithmetic().form(node)


def equal(a: Form, b: Form) -> bool | None:
    """Whether two forms have the same value; None where opaque parts leave it open."""
    arithmetic = _Arithmetic()
    same = arithmetic.product(a.above, b.below) == arithmetic.product(b.above, a.below)
    return None if not same and (a.opaque or b.opaque) else same


def proportional(a: Form, b: Form) -> bool | None:
    """Whether a = c·b for a rational c ≠ 0: two equations "a = 0" and "b = 0" that say the same."""
    arithmetic = _Arithmetic()
    product_a = arithmetic.product(a.above, b.below)
    product_b = arithmetic.product(b.above, a.below)
    if product_a and product_a.keys() == product_b.keys():
        key = next(iter(product_a))
        factor = product_a[key] / product_b[key]
        if all(product_a[key] == factor * product_b[key] for key in product_a):
            return True
    return None if a.opaque or b.opaque else not product_a and not product_b


def difference(a: Form, b: Form) -> Form:
    """a - b. Errors: `TooHard`."""
    return _Arithmetic().add(a, negative(b))


def quotient(a: Form, b: Form) -> Form:
    """Errors: `TooHard`; `Unreadable` for a division by zero."""
    return _Arithmetic().reduced(_Arithmetic().divide(a, b))


def approximate(form: Form) -> float | None:
    """A real number near the value, to order it among others; None where the value is no real
    constant.
    """
    total = []
    for part in (form.above, form.below):
        value = 0.0
        for (imaginary, radicand, letters), factor in part.items():
            if imaginary or any(name not in ("\\pi", "e") for name, _ in letters):
                return None
            try:
                value += (
                    float(factor)
                    * math.sqrt(radicand)
                    * math.prod(
                        (math.pi if name == "\\pi" else math.e) ** exponent
                        for name, exponent in letters
                    )
                )
            except OverflowError:
                return None
        total.append(value)
    return total[0] / total[1] if total[1] else None


def square_free(n: int) -> tuple[int, int]:
    """(s, r) with n = s²·r and r square-free, for n > 0. Errors: `TooHard` above 10^12."""
    if n > MAX_FACTORED:
        root = math.isqrt(n)
        if root * root == n:
            return root, 1
        raise TooHard("a large radicand")
    outside = 1
    inside = 1
    divisor = 2
    while divisor**3 <= n:  # what is left then is a prime, a square of a prime, or a product of two
        while n % (divisor * divisor) == 0:
            n //= divisor * divisor
            outside *= divisor
        if n % divisor == 0:
            n //= divisor
            inside *= divisor
        divisor += 1
    root = math.isqrt(n)
    return (outside * root, inside) if root * root == n else (outside, inside * n)


def negative(a: Form) -> Form:
    """-a."""
    return Form({key: -value for key, value in a.above.items()}, a.below, a.opaque)


def _constant(value: Fraction) -> Form:
    return Form({ONE: value} if value else {}, {ONE: Fraction(1)})


def _indeterminate(name: str, opaque: bool = False) -> Form:
    return Form({(False, 1, ((name, 1),)): Fraction(1)}, {ONE: Fraction(1)}, opaque)


class _Arithmetic:
    """The operations, with the steps that are left for one expression."""

    def __init__(self) -> None:
        self.steps = MAX_STEPS

    def form(self, node: Node) -> Form:
        operation = getattr(self, f"_{node.op}", None)
        return operation(node) if operation else self._opaque(node)

    def add(self, a: Form, b: Form) -> Form:
        if a.below == b.below:
            return Form(self._sum(a.above, b.above), a.below, a.opaque or b.opaque)
        above = self._sum(self.product(a.above, b.below), self.product(b.above, a.below))
        return Form(above, self.product(a.below, b.below), a.opaque or b.opaque)

    def multiply(self, a: Form, b: Form) -> Form:
        return Form(
            self.product(a.above, b.above), self.product(a.below, b.below), a.opaque or b.opaque
        )

    def divide(self, a: Form, b: Form) -> Form:
        if not b.above:
            raise Unreadable("division by zero")
        return self.multiply(a, Form(b.below, b.above, b.opaque))

    def reduced(self, a: Form) -> Form:
        """A quotient of two polynomials that are multiples of one another as that rational
        number.
        """
        if not a.above:
            return _constant(Fraction(0))
        key = next(iter(a.below))
        factor = a.above.get(key, Fraction(0)) / a.below[key]
        if a.above.keys() == a.below.keys() and all(
            a.above[name] == factor * a.below[name] for name in a.below
        ):
            return _constant(factor)
        return a

    def power(self, a: Form, n: int) -> Form:
        if n < 0:
            return self.power(self.divide(_constant(Fraction(1)), a), -n)
        result = _constant(Fraction(1))
        for bit in bin(n)[2:]:
            result = self.multiply(result, result)
            if bit == "1":
                result = self.multiply(result, a)
        return result

    def product(self, a: Polynomial, b: Polynomial) -> Polynomial:
        self.steps -= len(a) * len(b)
        if self.steps < 0:
            raise TooHard("too many terms")
        result: Polynomial = {}
        for key_a, value_a in a.items():
            for key_b, value_b in b.items():
                key, factor = _multiply_monomials(key_a, key_b)
                value = result.get(key, Fraction(0)) + value_a * value_b * factor
                if max(value.numerator.bit_length(), value.denominator.bit_length()) > MAX_BITS:
                    raise TooHard("a large number")
                if value:
                    result[key] = value
                else:
                    result.pop(key, None)
        if len(result) > MAX_TERMS:
            raise TooHard("too many terms")
        return result

    def _sum(self, a: Polynomial, b: Polynomial) -> Polynomial:
        result = dict(a)
        for key, value in b.items():
            total = result.get(key, Fraction(0)) + value
            if max(total.numerator.bit_length(), total.denominator.bit_length()) > MAX_BITS:
                raise TooHard("a large number")
            if total:
                result[key] = total
            else:
                result.pop(key, None)
        return result

    def _num(self, node: Node) -> Form:
        return _constant(node.value)

    def _sym(self, node: Node) -> Form:
        if node.name == "i":
            return Form({(True, 1, ()): Fraction(1)}, {ONE: Fraction(1)})
        return _indeterminate(node.name)

    def _neg(self, node: Node) -> Form:
        return negative(self.form(node.args[0]))

    def _add(self, node: Node) -> Form:
        total = self.form(node.args[0])
        for term in node.args[1:]:
            total = self.add(total, self.form(term))
        return total

    def _mul(self, node: Node) -> Form:
        return self.multiply(self.form(node.args[0]), self.form(node.args[1]))

    def _div(self, node: Node) -> Form:
        return self.divide(self.form(node.args[0]), self.form(node.args[1]))

    def _pow(self, node: Node) -> Form:
        base = self.form(node.args[0])
        exponent = self.form(node.args[1]).rational
        if exponent is None:
            return self._opaque(node)
        if exponent.denominator == 1:
            return self.power(base, exponent.numerator)
        if exponent.denominator == 2:
            return self.power(self._square_root(base, node.args[0]), exponent.numerator)
        return self._opaque(node)

    def _root(self, node: Node) -> Form:
        degree = self.form(node.args[1]).rational
        radicand = self.form(node.args[0])
        if degree == 2:
            return self._square_root(radicand, node.args[0])
        if (
            degree is not None
            and degree.denominator == 1
            and 2 < degree <= 64
            and radicand.rational is not None
        ):
            return self._whole_root(radicand.rational, int(degree), node)
        return self._opaque(node)

    def _whole_root(self, value: Fraction, degree: int, node: Node) -> Form:
        """A root that comes out even ("cube root of 8"), or an opaque one."""
        sign = -1 if value < 0 and degree % 2 else 1
        if value * sign >= 0:
            parts = [
                _integer_root(abs(part), degree) for part in (value.numerator, value.denominator)
            ]
            if all(part is not None for part in parts):
                return _constant(Fraction(sign * (parts[0] or 0), parts[1] or 1))
        return self._opaque(node)

    def _square_root(self, radicand: Form, node: Node) -> Form:
        value = radicand.rational
        if value is None:
            return self._opaque(Node("root", (node, Node("num", value=Fraction(2)))))
        if value == 0:
            return _constant(Fraction(0))
        product = abs(value.numerator) * value.denominator
        self.steps -= (
            min(product, MAX_FACTORED).bit_length() ** 2 // 20
        )  # trial division costs as much as many products
        outside, inside = square_free(product)
        return Form(
            {(value < 0, inside, ()): Fraction(outside, value.denominator)}, {ONE: Fraction(1)}
        )

    def _fact(self, node: Node) -> Form:
        n = self.form(node.args[0]).rational
        if n is None or n.denominator != 1 or n < 0:
            return self._opaque(node)
        if n > 400:
            raise TooHard("a large factorial")
        return _constant(Fraction(math.factorial(int(n))))

    def _binom(self, node: Node) -> Form:
        n, k = (self.form(argument).rational for argument in node.args)
        if n is None or k is None or n.denominator != 1 or k.denominator != 1 or not 0 <= k <= n:
            return self._opaque(node)
        if n > 2_000:
            raise TooHard("a large binomial coefficient")
        return _constant(Fraction(math.comb(int(n), int(k))))

    def _abs(self, node: Node) -> Form:
        value = self.form(node.args[0]).rational
        return self._opaque(node) if value is None else _constant(abs(value))

    def _floor(self, node: Node) -> Form:
        value = self.form(node.args[0]).rational
        return self._opaque(node) if value is None else _constant(Fraction(math.floor(value)))

    def _ceil(self, node: Node) -> Form:
        value = self.form(node.args[0]).rational
        return self._opaque(node) if value is None else _constant(Fraction(math.ceil(value)))

    def _opaque(self, node: Node) -> Form:
        """A part known by its name only: operation and the forms of its arguments."""
        names = []
        for argument in node.args:
            form = self.form(argument)
            names.append(f"{_spelling(form.above)}/{_spelling(form.below)}")
        return _indeterminate(f"{node.op}({';'.join(names)})", opaque=True)


def _integer_root(n: int, degree: int) -> int | None:
    if n < 2:
        return n
    guess = round(n ** (1 / degree)) if n.bit_length() < 1000 else 0
    return next(
        (root for root in (guess - 1, guess, guess + 1) if root > 0 and root**degree == n), None
    )


def _multiply_monomials(a: Monomial, b: Monomial) -> tuple[Monomial, int]:
    factor = -1 if a[0] and b[0] else 1
    common = math.gcd(a[1], b[1])
    radicand = a[1] * b[1] // (common * common)
    if not a[2] or not b[2]:
        return (a[0] != b[0], radicand, a[2] or b[2]), factor * common
    exponents = dict(a[2])
    for name, exponent in b[2]:
        exponents[name] = exponents.get(name, 0) + exponent
        if exponents[name] > MAX_DEGREE:
            raise TooHard("a high degree")
    return (a[0] != b[0], radicand, tuple(sorted(exponents.items()))), factor * common


def _spelling(part: Polynomial) -> str:
    return repr(sorted((key, value.numerator, value.denominator) for key, value in part.items()))
