"""Screening and contamination read any text of a teacher or a data set in time that grows with
its length.
"""

from collections.abc import Callable
from dataclasses import replace

import pytest

from generator.quality.flags import flags_of
from shared.contamination import text as contamination
from tests.generator.corpora import trace
from tests.shared.grading.hostile_texts import BOUND, TEXTS, seconds

pytestmark = pytest.mark.timing  # CPU seconds, which coverage would double

SOLVED = trace("How many?")


def screened(text: str) -> None:
    flags_of(replace(SOLVED, problem=text, reasoning=text, response=text))


def read_for_contamination(text: str) -> None:
    contamination.tokens(contamination.body(text))


@pytest.mark.parametrize("call", [screened, read_for_contamination])
def test_any_text_is_read_in_time_that_grows_with_its_length(call: Callable[[str], None]) -> None:
    costs = [(round(seconds(call, text), 3), len(text), text[:60]) for text in TEXTS]
    # 100,000 characters in 0.4 s are 4 microseconds a character: what a linear reader needs on a
    # slow core.
    assert not [
        (cost, length, text) for cost, length, text in costs if cost > max(BOUND, 4e-6 * length)
    ]
