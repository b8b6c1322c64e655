"""Texts on which a pattern with two ways to read the same letters never ends, and what a call
on them costs.
"""

import random
import time
from collections.abc import Callable
from typing import Any

BOUND = 0.05  # CPU-seconds of one call
WORDS_TEXT = (
    "the answer cannot be found without solving every equation for all of the values is are final"
    " total therefore Thus at most option correct base eight dollars cm per hour and or to in not"
    " yes 答案 是 平方米 或 和 元"
)
WORDS = WORDS_TEXT.split()
SIGNS_TEXT = r"""
0 1 2 3 4 5 6 7 8 9 ( ) [ ] { } \ $ , . ; : = < > | ^ _ - + * / % & ~ ! ? ' " ° ① ③
\\ \( \) \[ \] \{ \} ** $$ #### \$ \text{ \frac{ \boxed{ \begin{array} \end{array} \over \overline{ \dot \pm \approx
\in \le
<answer> </think> Answer: **Answer (A) \text{(B) 1,000 4:30 0.( C_ \begin{asy} ![ ]( [asy] <| [INST
"""
SIGNS = [*SIGNS_TEXT.split(), " ", "  ", "\n", "\t", "\\ ", "1 000"]
LENGTHS = (80, 390, 4_000, 10_000, 100_000)


def seconds(call: Callable[..., Any], *arguments: Any) -> float:
    """Processor time of a call, the best of three: another process on this core is none of ours."""
    best = float("inf")
    for _ in range(3):
        started = time.process_time()
        call(*arguments)
        best = min(best, time.process_time() - started)
        if best < BOUND / 5:
            break
    return best


def hostile_texts() -> list[str]:
    """Long runs of one thing, of two things in turn, and heaps of all of them, in all lengths."""
    draw = random.Random(13)
    heaps = []
    for length in LENGTHS:
        heaps.append(" ".join(draw.choice(WORDS) for _ in range(length // 5))[:length])
        heaps.append("".join(draw.choice(WORDS) for _ in range(length // 5))[:length])
        for one in [*SIGNS, "a", "ab ", "B", "中"]:
            heaps.append((one * length)[:length])
            heaps.append((one * length)[: length - 1] + "!")
        for _ in range(30):
            one, other, third = (draw.choice(SIGNS + WORDS) for _ in range(3))
            heaps.append(((one + other) * length)[: length - 1] + draw.choice(SIGNS))
            heaps.append(one + (other * length)[: length - 9] + third)
        mixed = (
            "".join(draw.choice(SIGNS + WORDS) for _ in range(length // 2))[:length]
            for _ in range(15)
        )
        heaps.extend(mixed)
    return heaps


TEXTS = hostile_texts()
