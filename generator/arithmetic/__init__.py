"""Arithmetic word problems in both directions: `draw` makes one with its answer, `read` recognises
one and solves it.

The families are data (`families.py`); reading uses the same sentences as patterns.
"""

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from generator.arithmetic.families import FAMILIES, NAMES, THINGS, Family, Op


@dataclass(frozen=True, slots=True)
class Working:
    """A step with its numbers filled in: `left op right = result`."""

    left: int
    op: Op
    right: int
    result: int
    about: str

    def __str__(self) -> str:
        return f"{self.left} {self.op} {self.right} = {self.result}"


@dataclass(frozen=True, slots=True)
class Worked:
    """A problem that was read and solved."""

    family: str
    words: Mapping[str, str]  # every placeholder of the text with what stood there
    workings: tuple[Working, ...]
    conclusion: str

    @property
    def answer(self) -> int:
        return self.workings[-1].result


def draw(rng: random.Random, families: Sequence[Family] = FAMILIES) -> tuple[str, int]:
    """A random problem and its answer: whole and positive, as is every result on the way."""
    family = rng.choice(families)
    name, other = rng.sample(NAMES, 2)
    things, goods = rng.sample(THINGS, 2)
    words = {"name": name, "other": other, "things": things, "goods": goods}
    text = rng.choice(family.texts)
    while True:
        numbers = {key: rng.randint(low, high) for key, (low, high) in family.ranges.items()}
        if (
            workings := _work(family, numbers, words | {key: str(n) for key, n in numbers.items()})
        ) is not None:
            return text.format(**words, **numbers), workings[-1].result


def read(text: str) -> Worked | None:
    """The worked solution of a problem that stands somewhere in `text`; None where no family
    recognises it.
    """
    for pattern, family in _PATTERNS:
        if match := pattern.search(text):
            words = match.groupdict()
            workings = _work(family, {key: int(words[key]) for key in family.ranges}, words)
            if workings is not None:
                conclusion = family.conclusion.format(**words, answer=workings[-1].result)
                return Worked(family.name, words, workings, conclusion)
    return None


def _work(
    family: Family, numbers: Mapping[str, int], words: Mapping[str, str]
) -> tuple[Working, ...] | None:
    """The steps with numbers, or None where one of them leaves the positive whole numbers."""
    values = dict(numbers)
    workings = []
    for step in family.steps:
        left, right = (
            int(key) if key.isdigit() else values[key] for key in (step.left, step.right)
        )
        result = calculate(left, step.op, right)
        if result is None or result <= 0:
            return None
        values[step.result] = result
        workings.append(Working(left, step.op, right, result, step.about.format(**words)))
    return tuple(workings)


def calculate(left: int, op: Op, right: int) -> int | None:
    """`left op right`; None for a division that does not come out whole."""
    match op:
        case "+":
            return left + right
        case "-":
            return left - right
        case "*":
            return left * right
        case "/":
            return left // right if right and left % right == 0 else None


def _pattern(text: str) -> re.Pattern[str]:
    """What `text` looks like when it is filled; a repeated placeholder must repeat its word."""
    seen: set[str] = set()

    def group(match: re.Match[str]) -> str:
        key = match[1]
        if key in seen:
            return f"(?P={key})"
        seen.add(key)
        shape = (
            r"[A-Z][a-z]+"
            if key in ("name", "other")
            else r"[a-z]+"
            if key in ("things", "goods")
            else r"\d+"
        )
        return f"(?P<{key}>{shape})"

    escaped = re.escape(text).replace(r"\{", "{").replace(r"\}", "}").replace(r"\ ", r"\s+")
    return re.compile(re.sub(r"\{(\w+)\}", group, escaped))


_PATTERNS = [(_pattern(text), family) for family in FAMILIES for text in family.texts]
