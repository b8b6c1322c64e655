"""The held-out problems: the same for whoever trains and whoever examines, whatever the order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.holdout import held_out_problems

PROBLEMS = [f"{number:016x}" for number in range(1000)]


def test_the_choice_depends_on_no_order_and_no_repetition() -> None:
    chosen = held_out_problems(PROBLEMS, 0.1, 7)
    assert held_out_problems(reversed(PROBLEMS), 0.1, 7) == chosen
    assert held_out_problems(PROBLEMS * 3, 0.1, 7) == chosen
    assert len(set(chosen)) == 100


def test_another_seed_is_another_choice() -> None:
    chosen = set(held_out_problems(PROBLEMS, 0.1, 7))
    other_choice = set(held_out_problems(PROBLEMS, 0.1, 8))
    assert len(chosen & other_choice) < 30


def test_a_larger_share_holds_out_the_same_problems_and_more() -> None:
    small = held_out_problems(PROBLEMS, 0.05, 7)
    assert held_out_problems(PROBLEMS, 0.2, 7)[: len(small)] == small


def test_a_corpus_that_grows_keeps_most_of_what_was_held_out() -> None:
    before = set(held_out_problems(PROBLEMS[:900], 0.1, 7))
    after = set(held_out_problems(PROBLEMS, 0.1, 7))
    assert len(before - after) <= len(before) * 0.2


@pytest.mark.parametrize(
    ("problems", "share", "count"),
    [
        ([], 0.5, 0),
        (["a"], 0.9, 0),  # nothing would be left to train on
        (["a", "b"], 0.01, 1),
        (["a", "b"], 0.99, 1),
        (PROBLEMS[:10], 1.0, 9),
        (PROBLEMS[:10], 0.0, 0),
    ],
)
def test_at_least_one_is_held_out_and_never_all(
    problems: list[str], share: float, count: int
) -> None:
    assert len(held_out_problems(problems, share, 1)) == count


@given(st.sets(st.text(max_size=8), max_size=30), st.floats(0, 1), st.integers(0, 9))
def test_what_is_held_out_is_a_part_of_the_problems(
    problems: set[str], share: float, seed: int
) -> None:
    chosen = held_out_problems(problems, share, seed)
    assert set(chosen) <= problems
    assert len(chosen) < len(problems) or not problems
