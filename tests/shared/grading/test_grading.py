"""The grading policy: our own table of cases, properties over generated answers, and what no
answer may become.
"""

import json
import random
import re
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.grading import grade, grade_fast


def cases_of(name: str) -> list[dict[str, str]]:
    lines = (Path(__file__).parent / name).read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]


CASES = cases_of("grading_cases.jsonl")  # what responses usually look like
TRAPS = cases_of(
    "grading_traps.jsonl"
)  # look-alikes that are wrong, and right answers in rare notations
KINDS = sorted({case["kind"] for case in CASES + TRAPS})


@pytest.mark.parametrize("kind", KINDS)
def test_every_case_of_the_table_gets_its_verdict(kind: str) -> None:
    wrong = []
    for case in CASES + TRAPS:
        if case["kind"] == kind:
            verdict = grade(case["response"], case["gold"], case.get("problem"), timeout_seconds=60)
            if verdict.verdict != case["expected"]:
                wrong.append((case["gold"], case["response"], case["expected"], verdict))
    assert not wrong


def test_the_table_has_at_least_150_cases_of_all_kinds() -> None:
    assert len(CASES) >= 150
    assert len(KINDS) >= 15


def test_nearly_all_cases_are_decided_without_a_worker() -> None:
    asked = [
        case
        for case in CASES
        if grade_fast(case["response"], case["gold"], case.get("problem"))[1] is not None
    ]
    assert len(asked) < 0.1 * len(CASES)


def test_a_verdict_says_what_was_extracted_where_and_how_it_was_checked() -> None:
    verdict = grade("Step one.\n\nSo \\boxed{x = 5}.", "5")
    assert (verdict.verdict, verdict.final_answer, verdict.checked_by) == (
        "correct",
        "x = 5",
        "exact",
    )
    assert verdict.reason == "last box; equal by value"
    assert grade("**Answer:** 5 apples", "5").reason.startswith("no box; after")
    assert grade("\\boxed{(B)}", "B").checked_by == "choice"
    assert grade("\\boxed{\\sum_{k=1}^{3} k}", "6", timeout_seconds=60).checked_by == "math_verify"


def test_the_final_answer_is_extracted_also_where_there_is_no_gold() -> None:
    verdict = grade("So \\boxed{\\frac{1}{2}}.", None)
    assert (verdict.verdict, verdict.final_answer) == ("unverifiable", "\\frac{1}{2}")
    assert "no gold" in verdict.reason


def test_a_trailing_list_of_boxes_is_one_final_answer_in_order() -> None:
    assert grade("\\boxed{2}, \\boxed{1} and \\boxed{2}", "(2,1,2)").final_answer == "2, 1, 2"


def test_a_gold_that_cannot_be_read_leaves_the_answer_unverifiable_with_the_reason() -> None:
    verdict = grade("\\boxed{17}", "\\frac{1}{7}\\triangle ABC", timeout_seconds=60)
    assert verdict.verdict == "unverifiable"
    assert "no expression that can be read" in verdict.reason


def one_digit_changed(gold: str) -> list[str]:
    """Every spelling that differs from `gold` in exactly one digit."""
    return [
        gold[:at] + digit + gold[at + 1 :]
        for at, old in enumerate(gold)
        if old.isdigit()
        for digit in "0123456789"
        if digit != old
    ]


@pytest.mark.slow
def test_changing_one_digit_of_the_gold_of_a_correct_case_leaves_no_case_correct() -> None:
    # Options, words and equations proportional to one another may name a value without its digits.
    kinds = {
        "number",
        "thousands",
        "units",
        "degrees",
        "time",
        "mixed",
        "sets",
        "interval",
        "base",
        "boxes",
        "extract",
    }
    survivors = []
    for case in CASES:
        working_shown = "####" in (case["gold"] or "")
        if case["kind"] in kinds and case["expected"] == "correct" and not working_shown:
            for gold in one_digit_changed(case["gold"]):
                verdict = grade(case["response"], gold, case.get("problem"), timeout_seconds=60)
                if verdict.verdict == "correct":
                    survivors.append((case["gold"], gold, case["response"], verdict.reason))
    assert not survivors


numbers = st.one_of(
    st.integers(-(10**25), 10**25).map(str),
    st.decimals(-1000, 1000, places=6, allow_nan=False).map(lambda d: f"{d:f}"),
    st.tuples(st.integers(-999, 999), st.integers(1, 999)).map(
        lambda pair: f"\\frac{{{pair[0]}}}{{{pair[1]}}}"
    ),
    st.tuples(st.integers(1, 99), st.integers(1, 30), st.integers(31, 60)).map(
        lambda three: f"{three[0]}\\frac{{{three[1]}}}{{{three[2]}}}"
    ),
    st.tuples(st.integers(1, 99), st.integers(2, 99)).map(
        lambda pair: f"{pair[0]}\\sqrt{{{pair[1]}}}"
    ),
)


@settings(max_examples=200, deadline=None)
@given(
    numbers,
    st.sampled_from(
        ["\\boxed{%s}", "\\boxed{x = %s}", "**Answer:** $%s$", "\\boxed{%s \\text{ cm}}"]
    ),
)
def test_a_number_is_equal_to_itself_however_it_is_dressed(number: str, dress: str) -> None:
    assert grade(f"So {dress % number}.", number).verdict == "correct"


@settings(max_examples=200, deadline=None)
@given(numbers, st.randoms(use_true_random=False))
def test_a_number_with_one_digit_changed_is_never_equal(number: str, draw: random.Random) -> None:
    changed = draw.choice(one_digit_changed(number))
    if value(changed) != value(number):
        assert grade(f"So \\boxed{{{number}}}.", changed).verdict != "correct"


def value(number: str) -> tuple[Fraction, int] | str:
    """The value of what `numbers` draws, computed in another way than the code under test does."""
    if match := re.fullmatch(r"(\d*)\\frac\{(-?\d+)\}\{(\d+)\}", number):
        return (
            (int(match[1] or 0) + Fraction(int(match[2]), int(match[3])), 1)
            if int(match[3])
            else number
        )
    if match := re.fullmatch(r"(\d+)\\sqrt\{(\d+)\}", number):
        return Fraction(int(match[1]) ** 2 * int(match[2])), 2
    return Fraction(number), 1


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(-50, 50), min_size=2, max_size=6), st.randoms(use_true_random=False))
def test_sets_are_compared_with_multiplicity_and_tuples_in_order(
    items: list[int], draw: random.Random
) -> None:
    gold = ", ".join(map(str, items))
    shuffled = draw.sample(items, len(items))
    listed = ", ".join(map(str, shuffled))
    assert grade(f"\\boxed{{{listed}}}", gold).verdict == "correct"
    assert grade(f"\\boxed{{\\{{{listed}\\}}}}", f"\\{{{gold}\\}}").verdict == "correct"
    assert grade(f"\\boxed{{{listed}, {items[0]}}}", gold).verdict == "incorrect"
    in_order = "correct" if shuffled == items else "incorrect"
    assert grade(f"\\boxed{{({listed})}}", f"({gold})").verdict == in_order
