"""What the presets send."""

import pytest

from shared import thinking
from shared.prompts import BOXED_REQUEST, PRESETS, fill, messages_for, training_messages


def test_the_tutorials_preset_instructs_in_both_turns_with_a_real_line_break() -> None:
    preset = PRESETS["tutorial"]
    system, user = messages_for("What is {2} + 2?", preset.system_prompt, preset.prompt)
    assert all(
        tag in system["content"]
        for tag in ("User", "Assistant", "<think>", "</think>", "<answer>", "</answer>")
    )
    assert user["content"] == f"What is {{2}} + 2?\n{BOXED_REQUEST}"


def test_r1s_preset_sends_no_system_message() -> None:
    preset = PRESETS["r1"]
    (user,) = messages_for("2 + 2?", preset.system_prompt, preset.prompt)
    assert user["content"] == f"2 + 2?\n{BOXED_REQUEST}"


@pytest.mark.parametrize(
    ("template", "problem", "filled"),
    [
        ("{problem}", "a {b} {{c}}", "a {b} {{c}}"),  # a problem's braces are its own
        ("Solve: {problem} \\boxed{{}}", "1+1", "Solve: 1+1 \\boxed{}"),
        ("{problem} again: {problem}", "x", "x again: x"),
        ("{problem}", "{problem}", "{problem}"),
        ("{{problem}} is {problem}", "x", "{x} is x"),
        ("no place for it", "x", "no place for it"),
        ("{problem}", "", ""),
        ("{problem}\n%s %d {0}", "x", "x\n%s %d {0}"),
    ],
)
def test_a_template_is_filled_and_a_problem_stays_as_it_is(
    template: str, problem: str, filled: str
) -> None:
    assert fill(template, problem) == filled


def test_every_preset_asks_for_the_box_and_has_one_place_for_the_problem() -> None:
    for preset in PRESETS.values():
        assert preset.prompt.count("{problem}") == 1
        assert fill(preset.prompt, "").strip() == BOXED_REQUEST


def test_an_empty_system_prompt_sends_no_system_message_and_any_other_goes_first() -> None:
    assert messages_for("x", "", "{problem}") == [{"role": "user", "content": "x"}]
    assert messages_for("x", "Be brief.", "{problem}") == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "x"},
    ]


def test_the_training_view_has_the_thinking_in_tags_before_the_answer() -> None:
    user, assistant = training_messages("2 + 2?", "two and two", "It is \\boxed{4}.")
    assert user == {"role": "user", "content": "2 + 2?"}
    assert assistant["role"] == "assistant"
    parts = thinking.split(assistant["content"])
    assert (parts.reasoning, parts.response) == ("two and two", "It is \\boxed{4}.")
