"""`synthetic:arithmetic`: endless multi-step word problems with their answers, for rehearsals and small students.

("Rosa has 52 plums. Rosa buys 7 more and then gives 30 of them to Ben. How many plums does Rosa have now?", "29")
"""

import random
from collections.abc import Iterator

from generator.arithmetic import draw


def problems(seed: int) -> Iterator[tuple[str, str]]:
    """(text, gold) without end; the same seed gives the same problems in the same order."""
    rng = random.Random(f"synthetic:arithmetic:{seed}")
    while True:
        text, answer = draw(rng)
        yield text, str(answer)
