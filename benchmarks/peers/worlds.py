"""The worlds of the comparison: problems, the answers that the fake provider has for them, and what
goes wrong.

An answer is known from its problem's number alone, so the server writes it and the accounts know it
again, to the last character.
"""

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

WORD_CHARACTERS = 5  # of each token of reasoning, its space included
RING = 997  # places at which a reasoning may begin
MOST_TOKENS = 16_000
MEDIAN_TOKENS = 900
# Of the logarithm: one answer in 500 reaches MOST_TOKENS, as R1's do on competition problems.
SPREAD = 1.0
QUICK = 5  # times fewer rows with --quick


def _words() -> str:
    """All tokens that there are, one after the other."""
    draw = random.Random(20)
    letters = ("bdfgklmnprst", "aeiou")
    words = ["".join(draw.choice(letters[place % 2]) for place in range(4)) for _ in range(RING)]
    text = "".join(f"{word} " for word in words)
    return text * (MOST_TOKENS // RING + 3)


TEXT = _words()


@dataclass(frozen=True, slots=True)
class World:
    """One kind of work.

    Attributes:
        tokens: of every answer; 0: R1-like lengths, log-normal.
        rate: tokens a second of one stream; 0: all at once.
        faults: rate of each kind, of all calls that reach the model: "429", "500", "torn", "empty",
            "truncated".
        per_minute: calls that the account may make; 0: any number. Nobody is told.
        burst: calls that it may make at once.
        side_by_side: the clients run at the same time, each against a server of its own: what is
            measured is patience, not the processor.
    """

    name: str
    title: str
    rows: int
    streams: int
    tokens: int
    rate: float = 0.0
    latency: float = 0.05
    faults: Mapping[str, float] = field(default_factory=dict)
    per_minute: int = 0
    burst: int = 1
    side_by_side: bool = False
    label: str = ""  # in a plot

    def quick(self) -> "World":
        """The same with fewer rows."""
        return replace(self, rows=max(min(self.rows, 20), self.rows // QUICK))

    def tokens_of(self, number: int) -> int:
        """Tokens of this problem's answer, the last of them its response."""
        if self.tokens:
            return self.tokens
        if number == 0:
            return MOST_TOKENS  # the tail is there, however few rows there are
        draw = random.Random(f"length {number}")
        return max(2, min(MOST_TOKENS, round(draw.lognormvariate(math.log(MEDIAN_TOKENS), SPREAD))))

    def problems(self) -> list[dict[str, str]]:
        """Rows of `id`, `problem` and `answer`."""
        return [
            {"id": str(number), "problem": problem(number), "answer": str(total(number))}
            for number in range(self.rows)
        ]


WORLDS = (
    World(
        "start",
        "two calls: what starting costs",
        rows=2,  # data-designer cannot describe a single row
        streams=2,
        tokens=60,
        side_by_side=True,
        label="two calls",
    ),
    World("short", "many short calls", 2000, 128, 60, label="short calls"),
    World("r1", "R1-like lengths", 160, 160, 0, rate=1200.0, label="R1-like lengths"),
    World(
        "faults",
        "a quarter of all calls fails",
        rows=600,
        streams=64,
        tokens=120,
        rate=400.0,
        faults={"429": 0.05, "500": 0.05, "torn": 0.05, "empty": 0.05, "truncated": 0.05},
        label="a quarter fails",
    ),
    World(
        "limit",
        "an unknown limit of 300 calls a minute",
        rows=150,
        streams=64,
        tokens=60,
        rate=400.0,
        per_minute=300,
        burst=20,
        side_by_side=True,
        label="300 a minute",
    ),
)


def total(number: int) -> int:
    """What the problem of this number comes to."""
    return number + addend(number)


def addend(number: int) -> int:
    """The other number of the problem."""
    return number * 7 % 1000


def problem(number: int) -> str:
    """The text of a problem."""
    return f"Add {number} and {addend(number)}."


def reasoning(number: int, tokens: int) -> str:
    """So many tokens of thought about the problem of this number."""
    start = number % RING * WORD_CHARACTERS
    return TEXT[start : start + tokens * WORD_CHARACTERS]


def response(number: int) -> str:
    """The answer proper."""
    return f"The sum is \\boxed{{{total(number)}}}."


def fate(world: World, seed: int, number: int, attempt: int) -> str:
    """What happens to a call: "" or a kind of `world.faults`; the same for the same call."""
    throw = random.Random(f"{seed} {number} {attempt}").random()
    for kind, rate in world.faults.items():
        if throw < rate:
            return kind
        throw -= rate
    return ""
