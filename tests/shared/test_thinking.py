"""One reading of thinking tags, for streams, grading, training and evaluation."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import thinking
from shared.chat_api.dialects import Gathering
from shared.grading import grade
from shared.rendering import without_thinking
from tests.thinking_texts import TAGGED_TEXTS, TaggedText

each_text = pytest.mark.parametrize("case", TAGGED_TEXTS.values(), ids=list(TAGGED_TEXTS))
with_tags = st.lists(st.sampled_from(["<think>", "</think>", "\n", " ", "a", "b"])).map("".join)


@each_text
def test_a_text_is_split_into_thinking_and_response(case: TaggedText) -> None:
    text = thinking.split(case.text)
    assert (text.reasoning, text.response) == (case.reasoning, case.response)
    assert text.unclosed == (case.spoken is None)
    assert thinking.spoken(case.text) == case.spoken


@each_text
def test_a_stream_with_tags_in_its_content_is_split_the_same_way(case: TaggedText) -> None:
    gathering = Gathering()
    gathering.take([orjson.dumps({"choices": [{"delta": {"content": case.text}}]})])
    assert gathering.texts() == (case.reasoning, case.response)


@each_text
def test_a_text_and_its_response_alone_are_graded_alike(case: TaggedText) -> None:
    verdict = grade(case.text, "4")
    assert verdict.verdict == case.verdict
    if case.response:  # of one that is nothing but an open thinking nothing is left to tell
        assert grade(case.response, "4") == verdict


@each_text
def test_a_later_turn_shows_what_was_said_outside_the_thinking(case: TaggedText) -> None:
    assert without_thinking(case.text) == (case.text if case.spoken is None else case.spoken)


@given(st.text(), st.text())
def test_what_stands_in_tags_comes_back_byte_for_byte(reasoning: str, response: str) -> None:
    if "</think>" in reasoning or "<think>" in reasoning:
        return
    parts = thinking.split(thinking.join(reasoning, response))
    assert (parts.reasoning, parts.response) == (reasoning, response)
    parts_of_closed = thinking.split(f"{reasoning}\n</think>\n\n{response}")
    assert (parts_of_closed.reasoning, parts_of_closed.response) == (reasoning, response)


@given(with_tags)
def test_no_character_outside_the_tags_is_lost(text: str) -> None:
    def letters(text: str) -> list[str]:
        return sorted(text.replace("<think>", "").replace("</think>", "").replace("\n", "").strip())

    parts = thinking.split(text)
    whole_text = f"{parts.reasoning}{parts.response}"
    assert [c for c in letters(whole_text) if c != " "] == [c for c in letters(text) if c != " "]


@given(with_tags)
def test_a_response_tells_the_same_answer_as_the_whole_text(text: str) -> None:
    parts = thinking.split(text)
    whole = thinking.spoken(text)
    assert parts.unclosed == (whole is None)
    if parts.response and whole is not None:
        spoken_text = thinking.spoken(parts.response)
        assert spoken_text is not None
        assert spoken_text.strip() == whole.strip()


def test_a_text_without_a_tag_is_an_open_thinking_where_the_caller_says_so() -> None:
    text = "It is \\boxed{4}."
    assert thinking.split(text, untagged_is_thinking=True) == thinking.SplitText(text, "", True)
    tagged_text = f"hm</think>{text}"
    assert thinking.split(tagged_text, untagged_is_thinking=True) == thinking.split(tagged_text)


def test_half_a_million_tags_are_read_in_a_moment() -> None:
    for tags in ("<think>", "</think>", "<think></think>", "</think><think>"):
        thinking.split(tags * 500_000)
