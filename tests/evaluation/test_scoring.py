"""What becomes of one answer: which part of it is graded, and what its cut makes of it."""

import pytest

from evaluation.records import ModelAnswer, Question, SampleRequest, split_answer
from evaluation.scoring import verdict_on
from tests.thinking_texts import TAGGED_TEXTS, TaggedText

FOUR = SampleRequest(Question("id", "What is 2 + 2?", "4", ()), 0)


@pytest.mark.parametrize("case", TAGGED_TEXTS.values(), ids=list(TAGGED_TEXTS))
def test_an_answer_is_read_as_generator_and_trainer_read_it(case: TaggedText) -> None:
    answer = ModelAnswer(case.text, "stop", 9, 64, 1.0)
    text = split_answer(answer)
    assert (text.reasoning, text.response) == (case.reasoning, case.response)
    assert verdict_on(FOUR.question, answer, text).verdict == case.verdict


def test_a_text_without_a_tag_that_the_limit_cut_is_no_answer_whichever_engine_it_came_from() -> (
    None
):
    text = "It is \\boxed{4}. And"
    assert split_answer(ModelAnswer(text, "length", 9, 64, 1.0)).unclosed
    assert not split_answer(ModelAnswer(text, "stop", 9, 64, 1.0)).unclosed
    closed_answer = ModelAnswer(f"<think>\nhm\n</think>\n\n{text}", "length", 9, 64, 1.0)
    assert split_answer(closed_answer).response == text


def test_an_answer_that_agrees_with_any_of_several_golds_is_right() -> None:
    question = Question("id", "Where is f least?", "x = 1", (), ("(1, 5)", "5"))
    for box, verdict in {"(1,5)": "correct", "x=1": "correct", "2": "incorrect"}.items():
        answer = ModelAnswer(f"so \\boxed{{{box}}}", "stop", 9, 64, 1.0)
        assert verdict_on(question, answer, split_answer(answer)).verdict == verdict
