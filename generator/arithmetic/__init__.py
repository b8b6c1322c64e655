"""Arithmetic word problems in both directions: `draw` makes one with its answer, `read` recognises
one and solves it.

The families are data (`families.py`); reading uses the same sentences as patterns.
"""

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from generator.arithmetic.families import FAMILIES
from generator.arithmetic.family import NAMES, THINGS, Op, ProblemFamily


@dataclass(frozen=True, slots=True)
class SolvedStep:
    """A step with its numbers filled in: `left_operand op right_operand = result`."""

    left_operand: int
    op: Op
    right_operand: int
    result: int
    about: str

    def __str__(self) -> str:
        return f"{self.left_operand} {self.op} {self.right_operand} = {self.result}"


@dataclass(frozen=True, slots=True)
class Solution:
    """A problem that was read and solved."""

    family: str
    words: Mapping[str, str]  # every placeholder of the text with what stood there
    steps: tuple[SolvedStep, ...]
    conclusion: str

    @property
    def answer(self) -> int:
        """The last step's result."""
        return self.steps[-1].result


def draw(rng: random.Random, families: Sequence[ProblemFamily] = FAMILIES) -> tuple[str, int]:
    """A random problem and its answer: whole and positive, as is every result on the way."""
    family = rng.choice(families)
    name, other_name = rng.sample(NAMES, 2)
    things, goods = rng.sample(THINGS, 2)
    words = {"name": name, "other": other_name, "things": things, "goods": goods}
    text = rng.choice(family.texts)
    while True:
        numbers = {key: rng.randint(low, high) for key, (low, high) in family.ranges.items()}
        digits = {key: str(number) for key, number in numbers.items()}
        steps = _solve(family, numbers, words | digits)
        if steps is not None:
            return text.format(**words, **numbers), steps[-1].result


def read(text: str) -> Solution | None:
    """The worked solution of a problem that stands somewhere in `text`; None where no family
    recognises it.
    """
    for pattern, family in _PATTERNS:
        match = pattern.search(text)
        if match is None:
            continue
        words = match.groupdict()
        numbers = {key: int(words[key]) for key in family.ranges}
        steps = _solve(family, numbers, words)
        if steps is not None:
            conclusion = family.conclusion.format(**words, answer=steps[-1].result)
            return Solution(family.name, words, steps, conclusion)
    return None


def _solve(
    family: ProblemFamily, numbers: Mapping[str, int], words: Mapping[str, str]
) -> tuple[SolvedStep, ...] | None:
    """The steps with numbers, or None where one of them leaves the positive whole numbers."""
    values = dict(numbers)
    steps = []
    for step in family.steps:
        a = _operand(step.left_operand, values)
        b = _operand(step.right_operand, values)
        result = calculate(a, step.op, b)
        if result is None or result <= 0:
            return None
        values[step.result] = result
        steps.append(SolvedStep(a, step.op, b, result, step.about.format(**words)))
    return tuple(steps)


def _operand(key: str, values: Mapping[str, int]) -> int:
    return int(key) if key.isdigit() else values[key]


def calculate(a: int, op: Op, b: int) -> int | None:
    """`a op b`; None for a division that does not come out whole."""
    match op:
        case "+":
            return a + b
        case "-":
            return a - b
        case "*":
            return a * b
        case "/":
            return a // b if b and a % b == 0 else None


_NUMBER_PATTERN = r"\d+"
_WORD_PATTERNS = {
    "name": r"[A-Z][a-z]+",
    "other": r"[A-Z][a-z]+",
    "things": r"[a-z]+",
    "goods": r"[a-z]+",
}


def _pattern(text: str) -> re.Pattern[str]:
    """What `text` looks like when it is filled; a repeated placeholder must repeat its word."""
    keys: set[str] = set()

    def group(match: re.Match[str]) -> str:
        """The group of a placeholder, or a reference back to it."""
        key = match[1]
        if key in keys:
            return f"(?P={key})"
        keys.add(key)
        return f"(?P<{key}>{_WORD_PATTERNS.get(key, _NUMBER_PATTERN)})"

    escaped_text = re.escape(text).replace(r"\{", "{").replace(r"\}", "}")
    pattern = escaped_text.replace(r"\ ", r"\s+")
    return re.compile(re.sub(r"\{(\w+)\}", group, pattern))


_PATTERNS = [(_pattern(text), family) for family in FAMILIES for text in family.texts]
