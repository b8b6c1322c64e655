"""What comparison.json says of judged answers, worked out by hand."""

from dataclasses import replace

import pytest

from evaluation.records import Case, ModelAnswer, Question
from evaluation.stats.comparison import compare, show_p, summary
from shared.records import Verdict


def case(number: int, kind: str, sample: int = 0, tokens: int = 100) -> Case:
    """A judged answer: right, wrong (boxed), bare (wrong, no box), cut (by the limit), open
    (thinking never ended).
    """
    verdict = {
        "right": "correct",
        "wrong": "incorrect",
        "bare": "no_answer",
        "cut": "truncated",
        "open": "truncated",
    }
    answer = ModelAnswer("…", "length" if kind == "cut" else "stop", 10, tokens, 1.0)
    graded_verdict = Verdict(verdict[kind], None, "", "")  # type: ignore[arg-type]
    question = Question(f"q{number}", "?", "1", ())
    return Case(
        question, sample, answer, graded_verdict, kind in ("right", "wrong"), kind == "right"
    )


def cases(kinds: str) -> dict[str, list[Case]]:
    return {f"q{i}": [case(i, kind)] for i, kind in enumerate(kinds.split())}


def test_each_fixed_problem_counts_once_in_the_split_of_the_gain() -> None:
    base = cases("wrong bare cut open wrong right right bare")
    tuned_cases = cases("right right right right wrong right bare right")
    entry = compare("base", base, "tuned", tuned_cases)
    assert entry["fixed"] == 5
    assert entry["gain"] == {"format": 2, "finishing": 2, "reasoning": 1}
    assert entry["broken"] == 1
    assert entry["loss"] == {"format": 1, "finishing": 0, "reasoning": 0}
    assert entry["difference"] == pytest.approx((6 - 2) / 8)


def test_an_answer_cut_off_with_a_box_in_it_failed_by_finishing_not_by_reasoning() -> None:
    cut = case(0, "wrong")
    cut = Case(
        cut.question, 0, ModelAnswer("\\boxed{2}", "length", 1, 50, 1.0), cut.verdict, True, False
    )
    entry = compare("base", {"q0": [cut]}, "tuned", cases("right"))
    assert entry["gain"] == {"format": 0, "finishing": 1, "reasoning": 0}


def test_only_problems_that_both_answered_are_compared() -> None:
    entry = compare(
        "base",
        cases("right wrong right"),
        "tuned",
        {"q1": [case(1, "right")], "q9": [case(9, "right")]},
    )
    assert (entry["n"], entry["fixed"], entry["base"]["correct"]) == (1, 1, 0)


def test_a_difference_by_chance_is_called_not_significant() -> None:
    entry = compare(
        "base", cases("right " * 6 + "wrong " * 6), "tuned", cases("right " * 8 + "wrong " * 4)
    )
    assert entry["significant"] is False
    assert entry["says"].startswith("not significant: +16.7 points")
    assert any("12 problems are few" in warning for warning in entry["warnings"])


def test_an_interval_that_is_surer_than_p_is_warned_about() -> None:
    entry = compare("base", cases("wrong " * 8), "tuned", cases("right " * 3 + "wrong " * 5))
    assert entry["interval95"][0] > 0
    assert entry["significant"] is False
    assert any("leaves out 0 and p does not agree" in warning for warning in entry["warnings"])


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (30, "differences under 15 points would mostly go unseen"),
        (2, "a difference that shows on 2 of them would mostly go unseen"),
        (0, "small differences would mostly go unseen"),
    ],
)
def test_few_problems_are_warned_about_with_what_they_could_show(more: int, words: str) -> None:
    entry = compare(
        "base", cases("wrong " * 100), "tuned", cases("right " * more + "wrong " * (100 - more))
    )
    assert entry["warnings"] == [f"100 problems are few: {words} (power 80%)"]


def test_a_clear_loss_is_called_worse() -> None:
    entry = compare("base", cases("right " * 30), "tuned", cases("wrong " * 30))
    assert entry["says"].startswith("worse: -100.0 points")


def test_equal_answers_differ_by_nothing_and_no_p_is_small() -> None:
    entry = compare("base", cases("right wrong"), "tuned", cases("right wrong"))
    assert (entry["difference"], entry["mcnemar_p"], entry["interval95"]) == (0.0, 1.0, [0.0, 0.0])


def test_several_samples_give_the_average_and_pass_at_k() -> None:
    groups = {
        "q0": [case(0, "right", s) for s in range(4)],
        "q1": [case(1, "right" if s == 0 else "wrong", s) for s in range(4)],
        "q2": [case(2, "bare", s) for s in range(4)],
    }
    entry = summary("model", groups)
    assert entry["accuracy"] == pytest.approx((1 + 0.25 + 0) / 3)
    assert entry["pass_at_k"] == {
        "1": pytest.approx(5 / 12),
        "2": pytest.approx((1 + 0.5) / 3),
        "4": pytest.approx(2 / 3),
    }


def test_tokens_a_right_answer_counts_the_tokens_of_wrong_ones_too() -> None:
    entry = summary(
        "model", {"q0": [case(0, "right", tokens=100)], "q1": [case(1, "wrong", tokens=500)]}
    )
    assert entry["tokens_per_correct"] == 600
    assert [(b["from"], b["n"], b["correct"]) for b in entry["by_length"]] == [
        (0, 1, 1),
        (256, 1, 0),
    ]


@pytest.mark.parametrize(("disputed", "is_noted"), [(4, False), (5, True)])
def test_disagreement_with_lighteval_is_noted_above_two_percent_of_the_answers(
    disputed: int, is_noted: bool
) -> None:
    groups = {f"q{i}": [case(i, "right", sample) for sample in range(4)] for i in range(60)}
    for i in range(disputed):
        groups[f"q{i}"][0] = replace(groups[f"q{i}"][0], second_opinion=False)
    entry = compare("base", groups, "tuned", groups)
    notes = [note for note in entry["warnings"] if "lighteval's own metric" in note]
    assert bool(notes) is is_noted


@pytest.mark.parametrize(
    ("p", "text"),
    [
        (0.25, "0.25"),
        (0.0031, "0.0031"),
        (0.0497, "0.0497"),
        (0.0501, "0.0501"),
        (1.0, "1.00"),
    ],
)
def test_a_p_value_is_never_rounded_across_the_bound_of_significance(p: float, text: str) -> None:
    assert show_p(p) == text


def test_a_model_that_got_nothing_right_has_no_tokens_a_right_answer() -> None:
    assert summary("model", cases("wrong bare"))["tokens_per_correct"] is None
