"""A family of word problems: what its sentences, numbers and steps may be.

`{a}` to `{e}` stand for numbers, `{name}` and `{other}` for people, `{things}` and `{goods}` for
what they own.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Op = Literal["+", "-", "*", "/"]


_NAMES = """
    Ada Anna Ben Carla Clara Daniel David Elena Emma Eric Felix Fiona Grace Hana Henry Iris Ivan Jack James Julia Karen
    Kate Kevin Laura Leo Linda Lucas Maria Mark Mia Nina Noah Oliver Olivia Omar Paul Peter Rosa Ruth Sam Sara Simon
    Sofia Tara Tom Victor Walter Wendy Yusuf Zoe"""


NAMES = tuple(_NAMES.split())


_THINGS = """
    apples balloons beads books bottles bricks buttons candles cards carrots coins cookies cups dolls eggs erasers
    flowers grapes hats keys lemons marbles muffins mugs notebooks oranges peaches pears pencils pens plates plums
    ribbons shells shirts spoons stamps stickers stones tickets"""


THINGS = tuple(_THINGS.split())


@dataclass(frozen=True, slots=True)
class StepRule:
    """`result = left_operand op right_operand`: the operands are numbers of the text, results, or digits;
    `about` says what it is.
    """

    result: str
    left_operand: str
    op: Op
    right_operand: str
    about: str


@dataclass(frozen=True)
class ProblemFamily:
    """Problems that differ in their wording, names and numbers only. The last step's result is
    the answer.
    """

    name: str
    texts: tuple[str, ...]
    ranges: Mapping[str, tuple[int, int]]  # inclusive
    steps: tuple[StepRule, ...]
    conclusion: str  # with {answer}
