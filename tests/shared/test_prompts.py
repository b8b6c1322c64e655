"""What the presets send."""

from shared.prompts import BOXED_REQUEST, PRESETS, messages_for


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
