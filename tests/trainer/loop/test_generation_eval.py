"""What the generation eval makes of an answer: a thinking that was cut is no answer."""

import pytest

from shared.rendering import ChatRenderer
from tests.thinking_texts import TAGGED_TEXTS, TaggedText
from tests.trainer.templates import CHATML, R1_DISTILL
from trainer.data.selection import HeldOut
from trainer.loop.generation_eval import EvalAnswer, GreedyCompletion, graded


@pytest.mark.parametrize(
    "template", [CHATML, R1_DISTILL]
)  # the second opens the thinking: no tag in the completion
@pytest.mark.parametrize("opening", ["", "<think>\n"])
def test_a_box_in_a_thought_that_was_cut_is_not_right(template: str, opening: str) -> None:
    chat = ChatRenderer(template, {})
    question = HeldOut("id", "", "2 + 2?", "4")

    def answer(text: str, ended: bool) -> EvalAnswer:
        return graded(question, GreedyCompletion(opening + text, 64, ended), chat)

    cut = answer("perhaps \\boxed{4}, wait", False)
    assert (cut.right, cut.boxed, cut.closed) == (False, False, False)
    cut_again = answer("hm\n</think>\n\nSo. <think>\nperhaps \\boxed{4}", False)
    assert not cut_again.right
    assert answer("hm\n</think>\n\n\\boxed{4}", True).right


@pytest.mark.parametrize("case", TAGGED_TEXTS.values(), ids=list(TAGGED_TEXTS))
def test_an_answer_is_read_as_grading_and_evaluation_read_it(case: TaggedText) -> None:
    chat = ChatRenderer(CHATML, {})
    answer = graded(HeldOut("id", "", "2 + 2?", "4"), GreedyCompletion(case.text, 64, True), chat)
    assert answer.right == (case.verdict == "correct")
    assert answer.closed == (case.verdict != "truncated")
