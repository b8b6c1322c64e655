"""The value of an expression at a point, to as many digits as its own numbers need.

The precision follows from the magnitudes that occur: `2017! - 1` and `2017!` differ in the 5795th
digit, and an evaluation that cannot see it says so instead of calling them equal.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import mpmath as mp

from shared.grading.expressions import Node
from shared.grading.outcome import Undecidable

DIGITS = 60  # that an evaluation begins with
AGREE = 40  # digits that must agree, beyond those that magnitudes take up
MAX_SPREAD = 20_000  # decimal digits between the magnitudes of one expression
MAX_EXPONENT = 10**15
MAX_FACTORIAL = 10_000  # larger ones are approximated
ROUGH = 6  # digits between magnitudes that the first evaluation has to spare
LOG10_2 = math.log10(2)

Point = dict[str, Fraction]  # letter -> value


@dataclass(frozen=True, slots=True)
class Values:
    """The values of gold and answer, None where there is none; equal to within `tolerance` is
    equal.
    """

    gold: Any
    answer: Any
    tolerance: Any

    @property
    def agree(self) -> bool:
        """Whether the two values, which must exist, are equal."""
        return bool(abs(self.gold - self.answer) <= self.tolerance)


def evaluate(
    gold: Node,
    answer: Node,
    point: Point,
    log_base: int | None,
) -> Values:
    """Both values at one point. `log_base` None is natural. Errors: `Undecidable`."""
    evaluator = _Evaluator(DIGITS, point, log_base)
    values = evaluator.value(gold), evaluator.value(answer)
    if None in values:
        return Values(*values, mp.mpf(0))
    if evaluator.spread > MAX_SPREAD:
        apart = abs(values[0] - values[1])
        if apart > max(map(abs, values)) / 1000:
            return Values(*values, mp.mpf(0))
        raise Undecidable("numbers too large to tell apart")
    spread = int(evaluator.spread) + 1
    digits = DIGITS + 3 * spread
    with mp.workdps(digits):
        if spread > ROUGH:
            precise_evaluator = _Evaluator(digits, point, log_base)
            values = precise_evaluator.value(gold), precise_evaluator.value(answer)
            if None in values:
                return Values(*values, mp.mpf(0))
        size = max(1, *map(abs, values))
        return Values(*values, mp.mpf(10) ** -(AGREE + 2 * spread) * size)


def rational(node: Node) -> Fraction | None:
    """The value of a number, a negative number or a quotient of them."""
    if node.op == "num":
        return node.value
    parts = [rational(part) for part in node.args]
    if node.op == "neg" and parts[0] is not None:
        return -parts[0]
    if node.op == "div" and parts[0] is not None and parts[1]:
        return parts[0] / parts[1]
    return None


class _Evaluator:
    """Evaluates with a fixed number of digits and notes between what magnitudes its numbers lie."""

    def __init__(self, digits: int, point: Point, log_base: int | None) -> None:
        self.digits = digits
        self.point = point
        self.log_base = log_base
        self.spread = 0.0

    def value(self, node: Node) -> Any:
        """The value of the expression, or None where it has none. Errors: `Undecidable`."""
        with mp.workdps(self.digits):
            try:
                value = self._of(node)
            except (ZeroDivisionError, ValueError, OverflowError, mp.libmp.NoConvergence):
                return None
            return value if mp.isfinite(value) else None

    def _of(self, node: Node) -> Any:
        value = self._raw(node)
        if value and mp.isfinite(value):
            self.spread = max(self.spread, abs(mp.mag(value)) * LOG10_2)
        return value

    def _raw(self, node: Node) -> Any:
        if node.op == "num":
            return self._number(node.value)
        if node.op == "sym":
            if node.name == "\\infty":
                raise Undecidable("infinity in an expression")
            constants = {"\\pi": mp.pi, "e": mp.e, "i": mp.j}
            if node.name in constants:
                return +constants[node.name]
            value = self.point[node.name]
            return mp.mpf(value.numerator) / value.denominator
        values = [self._of(argument) for argument in node.args]
        if node.op == "pow":
            return self._power(node, *values)
        if node.op == "log":
            base = (
                values[1]
                if len(values) > 1
                else mp.e
                if self.log_base is None
                else mp.mpf(self.log_base)
            )
            return mp.log(values[0]) / mp.log(base)
        if node.op in ("floor", "ceil"):
            return self._rounded(node.op, values[0])
        operation = _OPERATIONS.get(node.op)
        if operation is None:
            raise Undecidable(f"no value of {node.op!r} is known")
        value = operation(*values)
        if node.op in _WITH_POLES and abs(value) > mp.mpf(10) ** (self.digits // 2):
            raise ZeroDivisionError  # a pole, met but for the last digit
        return value

    def _number(self, value: Fraction) -> Any:
        bits = max(value.numerator.bit_length(), value.denominator.bit_length())
        self.spread = max(self.spread, bits * LOG10_2)
        return mp.mpf(value.numerator) / value.denominator

    def _power(self, node: Node, base: Any, exponent: Any) -> Any:
        if abs(exponent) > MAX_EXPONENT:
            raise Undecidable("a power too large to evaluate")
        quotient = rational(node.args[1])
        if (
            quotient is not None
            and quotient.denominator % 2
            and quotient.denominator > 1
            and _negative(base)
        ):
            # the real root where there is one, as `_root` takes it
            size = mp.power(-base, exponent)
            return -size if quotient.numerator % 2 else size
        return mp.power(base, exponent)

    def _rounded(self, op: str, value: Any) -> Any:
        """Floor or ceiling, of a whole number that came out short by its last digits that
        number.
        """
        if mp.im(value):
            raise ValueError("the floor of a number that is not real")
        near = mp.nint(mp.re(value))
        if abs(value - near) < mp.mpf(10) ** (-self.digits // 2):
            return near
        rounded = mp.floor if op == "floor" else mp.ceil
        return rounded(mp.re(value))


def _negative(value: Any) -> bool:
    return not mp.im(value) and mp.re(value) < 0


def _factorial(n: Any) -> Any:
    if abs(n) > MAX_EXPONENT:
        raise Undecidable("a factorial too large to evaluate")
    if mp.isint(n) and 0 <= n <= MAX_FACTORIAL:
        return mp.mpf(math.factorial(int(n)))
    return mp.factorial(n)


def _binomial(n: Any, k: Any) -> Any:
    if mp.isint(n) and mp.isint(k) and 0 <= n <= MAX_FACTORIAL:
        return mp.mpf(math.comb(int(n), int(k)) if k >= 0 else 0)
    return mp.binomial(n, k)


def _root(value: Any, degree: Any) -> Any:
    """The real root where there is one (the cube root of -8 is -2)."""
    if _negative(value) and degree == int(degree) and int(degree) % 2:
        return -_root(-value, degree)
    if degree == 2:
        return mp.sqrt(value)
    return mp.power(value, 1 / mp.mpf(degree))


_WITH_POLES = frozenset(("tan", "cot", "sec", "csc"))
_OPERATIONS: dict[str, Callable[..., Any]] = {
    "add": lambda *terms: mp.fsum(terms),
    "neg": lambda a: -a,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "root": _root,
    "fact": _factorial,
    "binom": _binomial,
    "conj": mp.conj,
    "abs": abs,
    "ln": mp.ln,
    "exp": mp.exp,
    "arcsin": mp.asin,
    "arccos": mp.acos,
    "arctan": mp.atan,
    **{
        name: getattr(mp, name)
        for name in ("sin", "cos", "tan", "cot", "sec", "csc", "sinh", "cosh", "tanh")
    },
}
