"""A lane whose first answers carry no reasoning is told once; one thought settles it."""

from generator.lanes.reasoning_check import FIRST_ANSWERS, ReasoningCheck


def test_the_first_answers_without_a_thought_are_told_once() -> None:
    check = ReasoningCheck()
    told = [check.answered("") for _ in range(3 * FIRST_ANSWERS)]
    assert told == [False] * (FIRST_ANSWERS - 1) + [True] + [False] * (2 * FIRST_ANSWERS)


def test_one_thought_among_the_first_answers_settles_it() -> None:
    check = ReasoningCheck()
    assert not any(check.answered(text) for text in ["", "a thought", *[""] * 20])


def test_white_space_is_no_thought() -> None:
    check = ReasoningCheck()
    assert [check.answered(text) for text in ["\n", " ", ""]] == [False, False, True]
