r"""What the exact comparison leaves open, decided in a worker process that can be killed.

First numerically: both expressions are evaluated with 60 digits, at three points if they have variables. Where one of them cannot be read by
our parser, math-verify reads and compares both. The numeric check comes first because it is stricter (math-verify rounds to six
places) and the same under every version of math-verify.
"""

import logging
import random
from typing import Any

from shared.grading.compare import Undecidable
from shared.grading.expressions import Node, Unreadable, parse

DIGITS = 60
AGREE = 40  # digits that must agree
POINTS = 3
MAX_EXPONENT = 10**15


def symbolically_equal(gold: str, answer: str) -> bool:
    """Whether two cleaned expressions are equal. Errors: `Undecidable`."""
    try:
        nodes = parse(gold), parse(answer)
    except Unreadable:
        return math_verify_equal(gold, answer)
    return numerically_equal(*nodes)


def numerically_equal(gold: Node, answer: Node) -> bool:
    """Equal at three points drawn for the letters they use. Errors: `Undecidable` where they have no value at any of them."""
    import mpmath

    names = sorted(_letters(gold) | _letters(answer))
    draw = random.Random(20)
    compared = 0
    with mpmath.workdps(DIGITS):
        for _ in range(POINTS if names else 1):
            point = {name: mpmath.mpf(draw.randrange(10**30, 10**31)) / 10**30 / 4 for name in names}
            try:
                a, b = _evaluate(gold, point), _evaluate(answer, point)
            except (ZeroDivisionError, ValueError, OverflowError, mpmath.libmp.NoConvergence):
                continue
            if not (mpmath.isfinite(a) and mpmath.isfinite(b)):
                continue
            compared += 1
            if abs(a - b) > mpmath.mpf(10) ** -AGREE * max(abs(a), abs(b)):
                return False
    if not compared:
        raise Undecidable("the expressions have no value where they were evaluated")
    return True


def math_verify_equal(gold: str, answer: str) -> bool:
    """math-verify's word on expressions that our parser cannot read. Runs without its own time limit: the process has one."""
    import math_verify

    logging.disable(logging.CRITICAL)
    config = [math_verify.LatexExtractionConfig(boxed_match_priority=0)]
    parsed: list[list[Any]] = []
    for text in (gold, answer):
        parsed.append(
            math_verify.parse(f"\\boxed{{{text}}}", config, fallback_mode="no_fallback", parsing_timeout=None)
        )
    if not parsed[0] or not parsed[1]:
        return False
    return bool(math_verify.verify(parsed[0], parsed[1], float_rounding=15, strict=True, timeout_seconds=None))


def _letters(node: Node) -> set[str]:
    own = {node.name} if node.op == "sym" and node.name not in ("\\pi", "e", "i") else set()
    return own.union(*(_letters(argument) for argument in node.args))


def _evaluate(node: Node, point: dict[str, Any]) -> Any:
    import mpmath as mp

    if node.op == "num":
        return mp.mpf(node.value.numerator) / node.value.denominator
    if node.op == "sym":
        constants = {"\\pi": mp.pi, "e": mp.e, "i": mp.j}
        if node.name == "\\infty":
            raise Undecidable("infinity in an expression")
        return +constants[node.name] if node.name in constants else point[node.name]
    values = [_evaluate(argument, point) for argument in node.args]
    if node.op == "add":
        return mp.fsum(values)
    if node.op == "pow":
        return _power(values[0], values[1])
    simple = {
        "neg": lambda a: -a,
        "mul": lambda a, b: a * b,
        "div": lambda a, b: a / b,
        "fact": _factorial,
        "binom": mp.binomial,
        "root": lambda a, n: _root(a, n),
        "abs": abs,
        "floor": mp.floor,
        "ceil": mp.ceil,
        "log": lambda a, base=10: mp.log(a) / mp.log(base),
        "ln": mp.ln,
        "exp": mp.exp,
        "arcsin": mp.asin,
        "arccos": mp.acos,
        "arctan": mp.atan,
    }
    if node.op in simple:
        return simple[node.op](*values)
    if node.op in ("sin", "cos", "tan", "cot", "sec", "csc", "sinh", "cosh", "tanh"):
        return getattr(mp, node.op)(*values)
    raise Undecidable(f"no value of {node.op!r} is known")


def _power(base: Any, exponent: Any) -> Any:
    import mpmath as mp

    if abs(exponent) > MAX_EXPONENT:
        raise Undecidable("a power too large to evaluate")
    return mp.power(base, exponent)


def _factorial(n: Any) -> Any:
    import mpmath as mp

    if abs(n) > MAX_EXPONENT:
        raise Undecidable("a factorial too large to evaluate")
    return mp.factorial(n)


def _root(value: Any, degree: Any) -> Any:
    """The real root where there is one (the cube root of -8 is -2)."""
    import mpmath as mp

    if mp.im(value) == 0 and mp.re(value) < 0 and degree == int(degree) and int(degree) % 2:
        return -_root(-value, degree)
    return mp.sqrt(value) if degree == 2 else mp.power(value, 1 / mp.mpf(degree))
