"""What grading runs in the caller costs no more than the text is long, whatever it is made of."""

import pytest

from shared.grading import grade_fast
from shared.grading.choices import named_choice, options
from shared.grading.compare import compare
from shared.grading.normalise import clean
from shared.grading.outcome import NeedsWorker, Undecidable
from tests.shared.grading.hostile_texts import BOUND, TEXTS, seconds

pytestmark = pytest.mark.timing  # CPU seconds, which coverage would double


def graded(text: str) -> None:
    grade_fast("So \\boxed{" + text + "}.", "56", text)
    grade_fast(text, "\\text{no one}", text)
    grade_fast("The answer is " + text, "56", None)
    grade_fast("<answer>" + text + "</answer>", "B", text)
    grade_fast("\\boxed{56}", text, "(A) 5 (B) 6")


def test_grading_in_the_caller_is_short_on_any_text() -> None:
    slow = [
        (round(cost, 3), len(text), text[:60])
        for text in TEXTS
        if (cost := seconds(graded, text)) > BOUND
    ]
    assert not slow


def compared(text: str) -> None:
    for gold, answer in (("56", text), (text, "56"), (text, text + "1"), ("\\text{no one}", text)):
        try:
            compare(gold, (answer,), "Which? (A) 5 (B) 6", None)
        except (NeedsWorker, Undecidable):
            continue


def test_spelling_and_choices_are_read_in_time_that_grows_with_the_length() -> None:
    slow = []
    for text in TEXTS:
        if len(text) > 10_000:
            continue
        for call in (clean, named_choice, options, compared):
            cost = seconds(call, text)
            if cost > BOUND:
                slow.append((call.__name__, round(cost, 3), len(text), text[:60]))
    assert not slow


def test_a_long_sentence_in_the_box_is_decided_at_once() -> None:
    sentence = (
        "the answer cannot be found without solving the equation for every value and checking all"
        " the cases 1"
    )
    assert seconds(graded, sentence) < BOUND
    assert grade_fast(f"\\boxed{{{sentence}}}", "56")[0].verdict != "correct"


NESTED = {
    "factorials": ("", "!"),
    "absolute values": ("|", "|"),
    "roots": ("\\sqrt{", "}"),
    "cube roots": ("\\sqrt[3]{", "}"),
    "powers": ("x^{", "}"),
    "floors": ("\\lfloor ", "\\rfloor"),
    "binomials": ("\\binom{", "}{2}"),
    "sines": ("\\sin(", ")"),
    "fractions": ("\\frac{1}{", "}"),
}


@pytest.mark.parametrize("name", NESTED)
@pytest.mark.parametrize("depth", [12, 24, 60, 400])
def test_operations_within_one_another_cost_no_more_than_their_depth(name: str, depth: int) -> None:
    """Twenty-four factorials of one another were sixteen million looks at the innermost."""
    before, after = NESTED[name]
    gold = before * depth + "AB" + after * depth
    assert seconds(grade_fast, "\\boxed{some words}", gold, "") < BOUND
    assert seconds(grade_fast, "\\boxed{" + gold + "}", "some words", "") < BOUND
