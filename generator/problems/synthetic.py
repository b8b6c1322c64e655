"""`synthetic:KIND`: endless multi-step word problems with their answers, for rehearsals and small
students.

`arithmetic` is all families; `first-steps` is a few easy ones, for a first training on a CPU.

("Rosa has 52 plums. Rosa buys 7 more and then gives 30 of them to Ben. How many plums does Rosa
have now?", "29")
"""

import random
from collections.abc import Iterator

from generator.arithmetic import draw
from generator.arithmetic.families import KINDS

__all__ = ["KINDS", "problems"]


def problems(seed: int, kind: str = "arithmetic") -> Iterator[tuple[str, str]]:
    """(text, gold) without end; the same seed gives the same problems in the same order."""
    rng = random.Random(f"synthetic:{kind}:{seed}")
    while True:
        text, answer = draw(rng, KINDS[kind])
        yield text, str(answer)
