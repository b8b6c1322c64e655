r"""What the exact comparison leaves open, decided in a worker process that can be killed.

First numerically (`evaluation`), at points of every kind if they have letters (`sampling`). Only
where our parser cannot read one of them, math-verify reads and compares both. In this order because
the numeric check is stricter (math-verify rounds to 15 places) and does not depend on the version
of math-verify.
"""

import logging
import re

from shared.grading.expressions import Node, parse
from shared.grading.numeric import AGREE, Values, evaluate
from shared.grading.outcome import Outcome, Undecidable
from shared.grading.sample_points import Domain, SamplePoint, domain_of, samples
from shared.grading.tokens import Unreadable

MAX_LENGTH = 2_000  # characters that math-verify gets to see
# Larger values that math-verify finds equal may differ behind the places that it compares.
MAX_ROUNDED = 10**12
MIN_COMPARED = 3  # points, where there are letters


def symbolically_equal(gold: str, answer: str, problem: str = "") -> Outcome:
    """Whether two cleaned expressions are equal. Errors: `Undecidable`."""
    try:
        nodes = parse(gold), parse(answer)
    except Unreadable:
        return _by_math_verify(gold, answer)
    return Outcome(numerically_equal(*nodes, problem), f"to {AGREE} digits", "exact")


def numerically_equal(gold: Node, answer: Node, problem: str = "") -> bool:
    """Equal at points drawn for their letters. Errors: `Undecidable` where neither has a value
    at any of them.
    """
    domain = domain_of(problem, gold, answer)
    if _uses_log(gold) or _uses_log(answer):  # \log is natural to some and decimal to others
        return any(_equal_at_points(gold, answer, domain, base) for base in (None, 10))
    return _equal_at_points(gold, answer, domain, None)


def math_verify_equal(gold: str, answer: str) -> bool:
    """math-verify's word. It runs without a time limit of its own, which would need SIGALRM:
    the process has one.
    """
    import math_verify

    logging.disable(logging.CRITICAL)  # 0.9 warns that there is no time limit
    config = [math_verify.LatexExtractionConfig(boxed_match_priority=0)]
    expressions = [
        math_verify.parse(
            f"\\boxed{{{text}}}",
            config,
            fallback_mode="no_fallback",
            parsing_timeout=0,
        )
        for text in (gold, answer)
    ]
    if not expressions[0] or not expressions[1]:
        return False
    # The third argument has another name in every version: places after the point that must agree.
    return bool(math_verify.verify(expressions[0], expressions[1], 15, timeout_seconds=0))


_KNOWN_COMMANDS_TEXT = """
frac sqrt binom int sum prod lim log ln exp sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh infty pi
cdot times rightarrow alpha beta gamma delta epsilon theta lambda mu phi omega sigma rho tau mathbb in cup cap
setminus emptyset le ge ne pm begin end lfloor rfloor lceil rceil min max gcd ldots dots cdots
"""
_FUNCTION_OF_NOTHING = re.compile(
    r"\\(?:sin|cos|tan|cot|sec|csc|ln|log|exp|sqrt|frac)\s*(?:[+*/=,)\]}-]|$)"
)
_KNOWN_COMMANDS = frozenset(_KNOWN_COMMANDS_TEXT.split())


def is_mathematics(text: str) -> bool:
    """Whether math-verify can be trusted with a text: known commands, no words, no digits with a
    subscript.

    It reads what it can and leaves out the rest, in every version differently: `-37_1` equals
    `-37_8`, "42 or so" 42.
    """
    commands = re.findall(r"\\([A-Za-z]+)", text)
    plain = re.sub(r"\\[A-Za-z]+", " ", text)
    return (
        len(text) <= MAX_LENGTH
        and _KNOWN_COMMANDS.issuperset(commands)
        and text.count("{") == text.count("}")
        and not _FUNCTION_OF_NOTHING.search(text)
        and not re.search(r"(?<!\w)[A-Za-z]{4,}|[\d)]\s*_|[^\x00-\x7f]|[?#&@%;\"']", plain)
    )


def _by_math_verify(gold: str, answer: str) -> Outcome:
    if not is_mathematics(gold):
        raise Undecidable("the gold answer is no expression that can be read")
    if not is_mathematics(answer):
        return Outcome(False, "(the answer is no expression that can be read)", "exact")
    if re.sub(r"\d", "0", gold) == re.sub(r"\d", "0", answer):
        return Outcome(False, "(other digits in the same form)", "exact")
    equal = math_verify_equal(gold, answer)
    if equal and (_is_large(gold) or _is_large(answer)):
        raise Undecidable("a value too large for the places that math-verify compares")
    return Outcome(equal, "by math-verify", "math_verify")


def _is_large(text: str) -> bool:
    """Whether a text is a constant beyond what math-verify tells apart."""
    try:
        node = parse(text)
        value = evaluate(node, node, {}, None).gold
    except (Unreadable, Undecidable, KeyError):
        return False
    return value is not None and bool(abs(value) > MAX_ROUNDED)


def _equal_at_points(
    gold: Node,
    answer: Node,
    domain: Domain,
    log_base: int | None,
) -> bool:
    """Equal wherever the gold has a real value (a complex one, if `i` occurs). Errors:
    `Undecidable`.
    """
    complex_values = _uses_i(gold) or _uses_i(answer) or not domain.names
    compared_count = 0
    valueless_count = 0  # points at which the answer alone has no value
    is_doubtful = False
    for sample in samples(domain):
        values = _values(gold, answer, sample, log_base)
        if values is None:
            continue
        if values.gold is None:
            if values.answer is not None:
                valueless_count += 1
            continue
        if not complex_values and not _is_real(values.gold):
            continue
        if values.answer is None:
            valueless_count += 1  # perhaps a pole that cancels
            continue
        if not values.agree:
            if not sample.sign_in_doubt:
                return False
            is_doubtful = True
        compared_count += 1
    if is_doubtful:
        raise Undecidable(
            "equal only where the letters are positive, and nothing says that they are"
        )
    if compared_count >= (MIN_COMPARED if domain.names else 1):
        return True
    if valueless_count:
        return False
    raise Undecidable("neither expression has a value where they were evaluated")


def _values(
    gold: Node,
    answer: Node,
    sample: SamplePoint,
    log_base: int | None,
) -> Values | None:
    """Both values at one point; None where one is too large there, unless it is the only point
    there is.
    """
    try:
        return evaluate(gold, answer, sample.point, log_base)
    except Undecidable:
        if not sample.point:
            raise
        return None


def _is_real(value: object) -> bool:
    imaginary = getattr(value, "imag", 0)
    return bool(abs(imaginary) <= abs(value) * 10**-AGREE)  # type: ignore[arg-type]


def _uses_i(node: Node) -> bool:
    return (node.op == "sym" and node.name == "i") or any(map(_uses_i, node.args))


def _uses_log(node: Node) -> bool:
    return (node.op == "log" and len(node.args) == 1) or any(map(_uses_log, node.args))
