"""What flags know of a text without reading it word by word."""

import random
import zlib

from generator.quality.words import fewest_deflated_bytes

LETTERS = "".join(map(chr, range(32, 127)))


def test_no_text_deflates_below_the_bound() -> None:
    """Nor one that has every pair of letters with as few surprises as may be."""
    draw = random.Random(3)
    every_pair = "".join(first + second for first in LETTERS for second in LETTERS)
    texts = [every_pair, "".join(f"e{letter}" for letter in LETTERS * 20)]
    for _ in range(800):
        letters = LETTERS[: draw.randrange(1, 95)]
        weights = [draw.choice((1, 30, 400)) for _ in letters]
        text = "".join(draw.choices(letters, weights, k=draw.randrange(100, 4000)))
        period = draw.randrange(1, len(text) + 1)
        texts.append((text[:period] * 40)[: len(text)])
    bounds = [fewest_deflated_bytes(text.encode()[:8000]) for text in texts]
    sizes = [len(zlib.compress(text.encode()[:8000], 1)) for text in texts]
    assert all(size >= bound for size, bound in zip(sizes, bounds, strict=True))
    assert sum(bound > 0 for bound in bounds) > 300
