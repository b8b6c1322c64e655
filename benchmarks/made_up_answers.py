"""Graded work that never was: a gold, a whole R1-like trace that ends in an answer, and whether that
answer is right.

Half of the answers are spelled as the gold is, a quarter otherwise, a quarter is wrong. The kinds of
MATH-like golds come about as often as in MATH's training set.
"""

import random
from dataclasses import dataclass

from benchmarks.made_up import made_up

SAME_SHARE = 0.5
RESPELLED_SHARE = 0.25
# characters of thinking; what real traces have on GSM8K and on MATH, roughly
GSM8K_THINKING = 4_000
MATH_THINKING = 12_000

MATH_KINDS = {
    "whole": 60,
    "fraction": 14,
    "root": 8,
    "polynomial": 6,
    "point": 4,
    "interval": 3,
    "several": 3,
    "equation": 2,
}
ENDINGS = (
    "\n\n**Final Answer**\n\\boxed{ANSWER}",
    "\nThus, the final answer is:\n\n$$\n\\boxed{ANSWER}\n$$",
    " So the answer is $\\boxed{ANSWER}$.",
)


@dataclass(frozen=True, slots=True)
class MadeUpAnswer:
    """A whole trace with thinking, the gold it is graded against, and whether it is right."""

    problem: str
    gold: str
    response: str
    is_right: bool


def gsm8k_like(number: int) -> MadeUpAnswer:
    """Number `number` of the word problems: whole numbers, money, percents."""
    draw = random.Random(f"gsm8k {number}")
    value = draw.randrange(2, 60_000)
    gold = str(value)
    respelled = draw.choice(
        (f"{value:,}", f"\\${value}", f"{value}.00", f"{value}\\text{{ dollars}}", f"x = {value}")
    )
    wrong = str(value + draw.choice((-1, 1, 10, 100)))
    return _answered(draw, number, GSM8K_THINKING, (gold, respelled, wrong))


def math_like(number: int) -> MadeUpAnswer:
    """Number `number` of the problems with answers in LaTeX."""
    draw = random.Random(f"math {number}")
    (kind,) = draw.choices(list(MATH_KINDS), list(MATH_KINDS.values()))
    return _answered(draw, number, MATH_THINKING, _SPELLINGS[kind](draw))


Spellings = tuple[str, str, str]  # the gold, the same in another spelling, something else


def _answered(
    draw: random.Random, number: int, thinking_characters: int, spellings: Spellings
) -> MadeUpAnswer:
    gold, respelled, wrong = spellings
    chance = draw.random()
    answer = wrong
    if chance < SAME_SHARE:
        answer = gold
    elif chance < SAME_SHARE + RESPELLED_SHARE:
        answer = respelled
    problem = made_up("training", number)
    sentences = f"{problem} Let me check that again: {draw.randrange(10**6)} it is. "
    thinking = (sentences * (thinking_characters // len(sentences) + 1))[:thinking_characters]
    working = f"First we read: {problem}\n\n1. Add up: $\\frac{{3}}{{4}} \\cdot 8 = 6$.\n" * 3
    ending = draw.choice(ENDINGS).replace("ANSWER", answer)
    response = f"<think>\n{thinking}\n</think>\n\n{working}{ending}"
    return MadeUpAnswer(problem, gold, response, answer != wrong)


def _whole(draw: random.Random) -> Spellings:
    value = draw.randrange(-200, 20_000)
    respelled = draw.choice((f"{value:,}", f"{value}.0", f"n = {value}", f"{value}^\\circ"))
    return str(value), respelled, str(value + draw.choice((1, -2, 9)))


def _fraction(draw: random.Random) -> Spellings:
    above = draw.randrange(1, 90)
    below = draw.choice((2, 4, 5, 7, 8, 9, 11, 25, 64))
    gold = f"\\frac{{{above}}}{{{below}}}"
    respelled = draw.choice(
        (
            f"\\dfrac{{{above}}}{{{below}}}",
            f"{above}/{below}",
            f"\\frac{{{3 * above}}}{{{3 * below}}}",
        )
    )
    return gold, respelled, f"\\frac{{{above + 1}}}{{{below}}}"


def _root(draw: random.Random) -> Spellings:
    factor = draw.randrange(2, 30)
    inside = draw.choice((2, 3, 5, 7, 11, 13))
    gold = f"{factor}\\sqrt{{{inside}}}"
    respelled = draw.choice(
        (f"\\sqrt{{{factor * factor * inside}}}", f"{factor} \\cdot \\sqrt{{{inside}}}")
    )
    return gold, respelled, f"{factor + 1}\\sqrt{{{inside}}}"


def _polynomial(draw: random.Random) -> Spellings:
    a = draw.randrange(2, 20)
    b = draw.randrange(2, 20)
    start = f"x^2 + {a + b}x"
    respelled = draw.choice((f"(x+{a})(x+{b})", f"{a * b} + {a + b}x + x^{{2}}"))
    return f"{start} + {a * b}", respelled, f"{start} + {a * b + 1}"


def _point(draw: random.Random) -> Spellings:
    x = draw.randrange(-20, 20)
    y = draw.randrange(2, 9)
    gold = f"\\left({x}, \\frac{{1}}{{{y}}}\\right)"
    respelled = draw.choice((f"({x},\\tfrac1{y})", f"\\left( {x}, 1/{y} \\right)"))
    return gold, respelled, f"\\left(\\frac{{1}}{{{y}}}, {x}\\right)"


def _interval(draw: random.Random) -> Spellings:
    low = draw.randrange(-30, 0)
    high = draw.randrange(1, 30)
    behind_low = f"{low}, {high}) \\cup ({high}, \\infty)"
    return f"[{behind_low}", f"x \\ge {low}, x \\ne {high}", f"({behind_low}"


def _several(draw: random.Random) -> Spellings:
    first = draw.randrange(-40, 0)
    second = draw.randrange(1, 40)
    return f"{first}, {second}", f"{second} \\text{{ and }} {first}", f"{first}, {second + 1}"


def _equation(draw: random.Random) -> Spellings:
    slope = draw.randrange(2, 20)
    shift = draw.randrange(1, 20)
    gold = f"y = {slope}x + {shift}"
    return gold, f"{slope}x - y + {shift} = 0", f"y = {slope}x - {shift}"


_SPELLINGS = {
    "whole": _whole,
    "fraction": _fraction,
    "root": _root,
    "polynomial": _polynomial,
    "point": _point,
    "interval": _interval,
    "several": _several,
    "equation": _equation,
}
