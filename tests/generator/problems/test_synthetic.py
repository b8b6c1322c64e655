"""Synthetic arithmetic: endless, seeded, practically without duplicates, and read back as it
was drawn.
"""

import itertools
import random
import re

import pytest

from generator.arithmetic import draw, read
from generator.arithmetic.families import FAMILIES
from generator.problems import synthetic
from shared.prompts import PRESETS, fill


def first(count: int, seed: int = 0) -> list[tuple[str, str]]:
    return list(itertools.islice(synthetic.problems(seed), count))


def test_the_same_seed_gives_the_same_problems_and_another_seed_others() -> None:
    assert first(200) == first(200)
    assert not set(first(200)) & set(first(200, seed=1))


@pytest.mark.slow
def test_the_first_hundred_thousand_hold_practically_no_duplicates() -> None:
    texts = [text for text, _ in first(100_000)]
    assert len(set(texts)) > 99_900


def test_every_problem_is_solved_from_its_text_alone_in_every_prompt() -> None:
    for text, gold in first(3000):
        for preset in PRESETS.values():
            solution = read(fill(preset.prompt, text))
            assert solution is not None, text
            assert str(solution.answer) == gold, text


def test_problems_take_two_to_four_steps_with_numbers_that_a_small_student_can_handle() -> None:
    solutions = [read(text) for text, _ in first(3000)]
    assert {len(solution.steps) for solution in solutions if solution} == {2, 3, 4}
    assert all(
        0 < step.result < 1000 for solution in solutions if solution for step in solution.steps
    )
    assert {solution.family for solution in solutions if solution} == {
        family.name for family in FAMILIES
    }


def test_sentences_are_filled_and_ask_something() -> None:
    rng = random.Random(1)
    for _ in range(500):
        text, _ = draw(rng)
        assert text.endswith("?")
        assert re.fullmatch(r"[A-Za-z0-9 .,?']+", text), text


def test_a_text_of_another_kind_is_not_read() -> None:
    assert read("What is the meaning of life?") is None
    assert read("Rosa has many plums. Rosa buys 7 more and then gives 30 of them to Ben.") is None
