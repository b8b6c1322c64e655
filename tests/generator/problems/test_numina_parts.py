"""NuminaMath rows: what asks for several answers, and what only looks like it."""

import pytest

from generator.problems.numina import has_parts, is_one_answer


@pytest.mark.parametrize(
    "problem",
    [
        "Let $f(x)=x^2$. (I) Find $f(3)$. (II) Find the minimum of $f$.",
        "Given $a_1=2$. ① Find $a_5$; ② prove that the sequence grows.",
        "A box holds 5 balls.\n1. What is the chance of red?\n2. What is the chance of blue?",
        "Question 1: Find the area.\nQuestion 2: Find the perimeter.",
        "For a line: (1) Find its slope. (2) Determine where it meets the axis.",
        "已知 $a=2$。(1) 求 $b$；(2) 求 $c$。",
    ],
)
def test_a_problem_in_parts_is_seen_however_they_are_marked(problem: str) -> None:
    assert has_parts(problem)


@pytest.mark.parametrize(
    "problem",
    [
        (
            "A function satisfies: (1) $f(0)=1$; (2) $f(x+y)=f(x)f(y)$ for all $x, y$. Find $f(3)$"
            " if $f(1)=2$."
        ),
        "Three statements: ① $a>0$; ② $b>0$; ③ $ab>0$. Which of them are true?",
        (
            "Rules:\n1. Each player takes one card.\n2. The higher card wins.\nHow many games are"
            " there?"
        ),
        "Points (1, 2) and (2, 3) are given. Find the distance.",
    ],
)
def test_numbered_conditions_are_no_parts(problem: str) -> None:
    assert not has_parts(problem)


@pytest.mark.parametrize(
    ("gold", "solution"),
    [
        ("(I) 5 (II) 7", ""),
        ("① 5 ② 7", ""),
        ("Question 1: 5, Question 2: 7", ""),
        ("\\frac{1}{2", ""),
        ("5\\}}", ""),
        ("7", "So the first is\n\n$\\boxed{5}$\n\n$\\boxed{7}$"),
    ],
)
def test_a_gold_that_is_cut_off_or_several_is_not_one_answer(gold: str, solution: str) -> None:
    assert not is_one_answer(gold, solution)


@pytest.mark.parametrize(
    ("gold", "solution"),
    [
        ("①③", ""),
        ("\\{1, 2\\}", ""),
        (
            "7",
            (
                "The base is \\boxed{5}, as we have seen above from the equation of the line.\nSo"
                " the area is $\\boxed{7}$"
            ),
        ),
    ],
)
def test_one_answer_stays_one(gold: str, solution: str) -> None:
    assert is_one_answer(gold, solution)
