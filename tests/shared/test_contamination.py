"""What is a copy of an evaluation problem: the pairs by which the rule was chosen."""

import pytest

from shared.contamination import EvaluationIndex

TRAIN = (
    "A train leaves the station at 80 km per hour and travels for 3 hours. How many kilometers"
    " does it go?"
)


@pytest.mark.parametrize(
    ("evaluation", "problem"),
    [
        pytest.param(
            "The product of two roots of $x^4+ax^3+bx^2+cx+d=0$ is $13+i$ and the sum of the other"
            " two roots is $3+4i,$ where $i=\\sqrt{-1}.$ Find $b.$",
            "The product of two roots of $x^4+ax^3+bx^2+cx+d=0$ is $13+i$ and the sum of the other"
            " two roots is $3+4i,$ where $i^2 = -1.$ Find $b.$",
            id="a definition spelled with one number more",
        ),
        pytest.param(
            "Let $\\tau(n)$ denote the number of positive integer divisors of $n$. Find the sum of"
            " the six least positive integers $n$ that are solutions to $\\tau(n)+\\tau(n+1)=7$.",
            "Let $\\tau (n)$ denote the number of positive integer divisors of $n$ (including $1$"
            " and $n$). Find the sum of the six least positive integers $n$ that are solutions to"
            " $\\tau (n) + \\tau (n+1) = 7$.",
            id="a remark with a number more",
        ),
        pytest.param(TRAIN, TRAIN.upper().replace("80", "$80$"), id="another dress"),
        pytest.param(
            "The sides of rectangle $ABCD$ have lengths $10$ and $11$. An equilateral triangle is"
            " drawn so that no point of the triangle lies outside $ABCD$. The maximum possible area"
            " of such a triangle can be written in the form $p\\sqrt{q}-r$. Find $p+q+r$.",
            "The sides of rectangle $ABCD$ have lengths $10$ and $11$. An equilateral triangle is"
            " drawn so that no point of the triangle lies outside $ABCD$.  Find the maximum"
            " possible area of such a triangle.",
            id="the same question, its answer in another form",
        ),
    ],
)
def test_a_problem_in_other_words_is_a_copy(evaluation: str, problem: str) -> None:
    assert EvaluationIndex({"exam": [evaluation]}).has_copy_of(problem)


@pytest.mark.parametrize(
    ("evaluation", "problem"),
    [
        pytest.param(
            "For a constant $c,$ in cylindrical coordinates $(r,\\theta,z),$ find the shape"
            " described by the equation \\[z = c.\\](A) Line (B) Circle (C) Plane (D) Sphere (E)"
            " Cylinder (F) Cone Enter the letter of the correct option.",
            "For a constant $c,$ in spherical coordinates $(\\rho,\\theta,\\phi),$ find the shape"
            " described by the equation \\[\\phi = c.\\](A) Line (B) Circle (C) Plane (D) Sphere (E)"
            " Cylinder (F) Cone Enter the letter of the correct option.",
            id="the same frame around another question",
        ),
        pytest.param(
            "What is the number of square centimeters in the area of this trapezoid?",
            "The length of a rectangle is three times its width. The perimeter is 160 cm. What is"
            " the number of square centimeters in the area of the rectangle?",
            id="the same closing sentence",
        ),
        pytest.param(
            "Compute $\\arcsin \\left( -\\frac{1}{2} \\right).$ Express your answer in radians.",
            "Compute $\\arcsin \\frac{1}{\\sqrt{2}}.$ Express your answer in radians.",
            id="another value",
        ),
        pytest.param(TRAIN, TRAIN.replace("80", "90").replace("3", "4"), id="other numbers"),
        pytest.param(TRAIN, TRAIN.replace("80", "90 or 100"), id="a number less, two more"),
    ],
)
def test_another_problem_in_like_words_is_none(evaluation: str, problem: str) -> None:
    assert not EvaluationIndex({"exam": [evaluation]}).has_copy_of(problem)


def test_every_evaluation_problem_is_a_copy_of_itself_and_nothing_is_of_none() -> None:
    index = EvaluationIndex({"exam": [TRAIN, "What?", ""]})
    assert all(map(index.has_copy_of, index.texts))
    assert not EvaluationIndex({}).has_copy_of(TRAIN)
