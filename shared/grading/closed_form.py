r"""An expression as an exact form, operation by operation: what has no closed form of its own here
becomes an opaque part.
"""

import hashlib
import math
from fractions import Fraction

from shared.grading.algebra import (
    ONE,
    Arithmetic,
    Form,
    Monomial,
    Polynomial,
    TooHard,
    constant,
    indeterminate,
    negative,
)
from shared.grading.expressions import Node

MAX_FACTORED = 10**12  # larger radicands are not split into square and square-free part
MAX_FACTORIAL = 400
MAX_BINOMIAL = 2_000
NAME_MAX = 500  # characters of an opaque part's name; a longer one is known by its digest

_I: Monomial = (True, 1, ())


def exact(node: Node) -> Form:
    """The form of an expression. Errors: `TooHard`; `Unreadable` for a division by zero."""
    return _FormBuilder().form(node)


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
    if root * root == n:
        return (outside * root, inside)
    return (outside, inside * n)


class _FormBuilder:
    """The operations of an expression, under one budget of steps."""

    def __init__(self) -> None:
        self.arithmetic = Arithmetic()
        # An operation looks at its arguments, and where it has no form for them they are looked at
        # once more: without this, twenty factorials of one another would be a million looks.
        self._forms: dict[int, Form] = {}
        self._nodes: list[Node] = []  # so that no other one takes the identity of any

    def form(self, node: Node) -> Form:
        """The form of a node and all below it."""
        known_form = self._forms.get(id(node))
        if known_form is not None:
            return known_form
        operation = getattr(self, f"_{node.op}", None)
        form: Form = operation(node) if operation else self._opaque(node)
        self._nodes.append(node)
        self._forms[id(node)] = form
        return form

    def _num(self, node: Node) -> Form:
        return constant(node.value)

    def _sym(self, node: Node) -> Form:
        if node.name == "i":
            return Form({_I: Fraction(1)}, {ONE: Fraction(1)})
        return indeterminate(node.name)

    def _neg(self, node: Node) -> Form:
        return negative(self.form(node.args[0]))

    def _add(self, node: Node) -> Form:
        total = self.form(node.args[0])
        for term in node.args[1:]:
            total = self.arithmetic.add(total, self.form(term))
        return total

    def _mul(self, node: Node) -> Form:
        factors = map(self.form, node.args)
        return self.arithmetic.multiply(*factors)

    def _div(self, node: Node) -> Form:
        above, below = map(self.form, node.args)
        return self.arithmetic.divide(above, below)

    def _pow(self, node: Node) -> Form:
        base = self.form(node.args[0])
        exponent = self.form(node.args[1]).rational
        if exponent is None:
            return self._opaque(node)
        if exponent.denominator == 1:
            return self.arithmetic.power(base, exponent.numerator)
        if exponent.denominator == 2:
            return self.arithmetic.power(self._square_root(base, node.args[0]), exponent.numerator)
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
                return constant(Fraction(sign * (parts[0] or 0), parts[1] or 1))
        return self._opaque(node)

    def _square_root(self, radicand: Form, node: Node) -> Form:
        value = radicand.rational
        if value is None:
            return self._opaque(Node("root", (node, Node("num", value=Fraction(2)))))
        if value == 0:
            return constant(Fraction(0))
        product = abs(value.numerator) * value.denominator
        # Trial division costs as much as many products.
        bits = min(product, MAX_FACTORED).bit_length()
        self.arithmetic.steps -= bits**2 // 20
        outside, inside = square_free(product)
        return Form(
            {(value < 0, inside, ()): Fraction(outside, value.denominator)}, {ONE: Fraction(1)}
        )

    def _fact(self, node: Node) -> Form:
        n = self.form(node.args[0]).rational
        if n is None or n.denominator != 1 or n < 0:
            return self._opaque(node)
        if n > MAX_FACTORIAL:
            raise TooHard("a large factorial")
        return constant(Fraction(math.factorial(int(n))))

    def _binom(self, node: Node) -> Form:
        n, k = (self.form(argument).rational for argument in node.args)
        if n is None or k is None or not 0 <= k <= n:
            return self._opaque(node)
        if n.denominator != 1 or k.denominator != 1:
            return self._opaque(node)
        if n > MAX_BINOMIAL:
            raise TooHard("a large binomial coefficient")
        return constant(Fraction(math.comb(int(n), int(k))))

    def _abs(self, node: Node) -> Form:
        value = self.form(node.args[0]).rational
        if value is None:
            return self._opaque(node)
        return constant(abs(value))

    def _floor(self, node: Node) -> Form:
        value = self.form(node.args[0]).rational
        if value is None:
            return self._opaque(node)
        return constant(Fraction(math.floor(value)))

    def _ceil(self, node: Node) -> Form:
        value = self.form(node.args[0]).rational
        if value is None:
            return self._opaque(node)
        return constant(Fraction(math.ceil(value)))

    def _opaque(self, node: Node) -> Form:
        """A part known by its name only: operation and the forms of its arguments."""
        names = []
        for argument in node.args:
            form = self.form(argument)
            names.append(f"{_spelling(form.above)}/{_spelling(form.below)}")
        name = f"{node.op}({';'.join(names)})"
        if len(name) > NAME_MAX:  # names within names would double at each depth
            name = hashlib.sha256(name.encode()).hexdigest()
        return indeterminate(name, opaque=True)


def _integer_root(n: int, degree: int) -> int | None:
    if n < 2:
        return n
    guess = round(n ** (1 / degree)) if n.bit_length() < 1000 else 0
    return next(
        (root for root in (guess - 1, guess, guess + 1) if root > 0 and root**degree == n), None
    )


def _spelling(part: Polynomial) -> str:
    return repr(sorted((key, value.numerator, value.denominator) for key, value in part.items()))
