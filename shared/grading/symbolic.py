r"""What the exact comparison leaves open, decided in a worker process that can be killed.

First numerically: both expressions are evaluated with 60 digits, at three points if they have variables. Only where our
parser cannot read one of them, math-verify reads and compares both. In this order because the numeric check is stricter
(math-verify rounds to six places) and does not depend on the version of math-verify.
"""

import logging
import random
import re
from collections.abc import Callable
from typing import Any

import mpmath as mp

from shared.grading.expressions import Node, Unreadable, parse
from shared.grading.findings import Finding, Undecidable

DIGITS = 60
AGREE = 40  # digits that must agree
POINTS = 3
MAX_EXPONENT = 10**15
MAX_LENGTH = 2_000  # characters that math-verify gets to see

Point = dict[str, Any]  # letter -> value


def symbolically_equal(gold: str, answer: str) -> Finding:
    """Whether two cleaned expressions are equal. Errors: `Undecidable`."""
    try:
        nodes = parse(gold), parse(answer)
    except Unreadable:
        return _by_math_verify(gold, answer)
    return Finding(numerically_equal(*nodes), f"to {AGREE} digits", "exact")


def numerically_equal(gold: Node, answer: Node) -> bool:
    """Equal at points drawn for their letters. Errors: `Undecidable` where neither has a value at any of them."""
    if _uses_log(gold) or _uses_log(answer):  # \log is natural to some and decimal to others
        return any(_equal_at_points(gold, answer, base) for base in (mp.e, mp.mpf(10)))
    return _equal_at_points(gold, answer, mp.e)


def math_verify_equal(gold: str, answer: str) -> bool:
    """math-verify's word. It runs without a time limit of its own, which would need SIGALRM: the process has one."""
    import math_verify

    logging.disable(logging.CRITICAL)  # 0.9 warns that there is no time limit
    config = [math_verify.LatexExtractionConfig(boxed_match_priority=0)]
    parsed = [
        math_verify.parse(f"\\boxed{{{text}}}", config, fallback_mode="no_fallback", parsing_timeout=0)
        for text in (gold, answer)
    ]
    if not parsed[0] or not parsed[1]:
        return False
    # The third argument has another name in every version: places after the point that must agree.
    return bool(math_verify.verify(parsed[0], parsed[1], 15, timeout_seconds=0))


_KNOWN_COMMANDS_TEXT = """
frac sqrt binom int sum prod lim log ln exp sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh infty pi
cdot times rightarrow alpha beta gamma delta epsilon theta lambda mu phi omega sigma rho tau mathbb in cup cap
setminus emptyset le ge ne pm begin end lfloor rfloor lceil rceil min max gcd ldots dots cdots
"""
_KNOWN_COMMANDS = frozenset(_KNOWN_COMMANDS_TEXT.split())


def is_mathematics(text: str) -> bool:
    """Whether math-verify can be trusted with a text: known commands, no words, no digits with a subscript.

    It reads what it can and leaves out the rest, in every version differently: `-37_1` equals `-37_8`, "42 or so" 42.
    """
    commands = re.findall(r"\\([A-Za-z]+)", text)
    rest = re.sub(r"\\[A-Za-z]+", " ", text)
    return (
        len(text) <= MAX_LENGTH
        and _KNOWN_COMMANDS.issuperset(commands)
        and text.count("{") == text.count("}")
        and not re.search(r"(?<!\w)[A-Za-z]{4,}|[\d)]\s*_|[^\x00-\x7f]|[?#&@%;\"']", rest)
    )


def _by_math_verify(gold: str, answer: str) -> Finding:
    if not is_mathematics(gold):
        raise Undecidable("the gold answer is no expression that can be read")
    if not is_mathematics(answer):
        return Finding(False, "(the answer is no expression that can be read)", "exact")
    if re.sub(r"\d", "0", gold) == re.sub(r"\d", "0", answer):
        return Finding(False, "(other digits in the same form)", "exact")
    return Finding(math_verify_equal(gold, answer), "by math-verify", "math_verify")


def _equal_at_points(gold: Node, answer: Node, log_base: Any) -> bool:
    names = sorted(_letters(gold) | _letters(answer))
    draw = random.Random(20)
    compared = 0
    with mp.workdps(DIGITS):
        for _ in range(POINTS if names else 1):
            point = {name: mp.mpf(draw.randrange(10**30, 10**31)) / 10**30 / 4 for name in names}
            a, b = (_value(node, point, log_base) for node in (gold, answer))
            if a is None and b is None:
                continue
            if a is None or b is None or abs(a - b) > mp.mpf(10) ** -AGREE * max(abs(a), abs(b)):
                return False
            compared += 1
    if not compared:
        raise Undecidable("neither expression has a value where they were evaluated")
    return True


def _value(node: Node, point: Point, log_base: Any) -> Any:
    """The value of an expression at a point, or None where it has none."""
    try:
        value = _evaluate(node, point, log_base)
    except (ZeroDivisionError, ValueError, OverflowError, mp.libmp.NoConvergence):
        return None
    return value if mp.isfinite(value) else None


def _letters(node: Node) -> set[str]:
    own = {node.name} if node.op == "sym" and node.name not in ("\\pi", "e", "i") else set()
    return own.union(*(_letters(argument) for argument in node.args))


def _uses_log(node: Node) -> bool:
    return (node.op == "log" and len(node.args) == 1) or any(map(_uses_log, node.args))


def _evaluate(node: Node, point: Point, log_base: Any) -> Any:
    if node.op == "num":
        return mp.mpf(node.value.numerator) / node.value.denominator
    if node.op == "sym":
        if node.name == "\\infty":
            raise Undecidable("infinity in an expression")
        constants = {"\\pi": mp.pi, "e": mp.e, "i": mp.j}
        return +constants[node.name] if node.name in constants else point[node.name]
    values = [_evaluate(argument, point, log_base) for argument in node.args]
    if node.op == "log":
        return mp.log(values[0]) / mp.log(values[1] if len(values) > 1 else log_base)
    operation = _OPERATIONS.get(node.op)
    if operation is None:
        raise Undecidable(f"no value of {node.op!r} is known")
    return operation(*values)


def _power(base: Any, exponent: Any) -> Any:
    if abs(exponent) > MAX_EXPONENT:
        raise Undecidable("a power too large to evaluate")
    return mp.power(base, exponent)


def _factorial(n: Any) -> Any:
    if abs(n) > MAX_EXPONENT:
        raise Undecidable("a factorial too large to evaluate")
    return mp.factorial(n)


def _root(value: Any, degree: Any) -> Any:
    """The real root where there is one (the cube root of -8 is -2)."""
    if mp.im(value) == 0 and mp.re(value) < 0 and degree == int(degree) and int(degree) % 2:
        return -_root(-value, degree)
    return mp.sqrt(value) if degree == 2 else mp.power(value, 1 / mp.mpf(degree))


_OPERATIONS: dict[str, Callable[..., Any]] = {
    "add": lambda *terms: mp.fsum(terms),
    "neg": lambda a: -a,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "pow": _power,
    "root": _root,
    "fact": _factorial,
    "binom": mp.binomial,
    "abs": abs,
    "floor": mp.floor,
    "ceil": mp.ceil,
    "ln": mp.ln,
    "exp": mp.exp,
    "arcsin": mp.asin,
    "arccos": mp.acos,
    "arctan": mp.atan,
    **{name: getattr(mp, name) for name in ("sin", "cos", "tan", "cot", "sec", "csc", "sinh", "cosh", "tanh")},
}
