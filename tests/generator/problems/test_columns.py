"""Data sets that people know by name are recognised by their columns, and chats as prompts are read."""

from typing import Any

import pytest

from generator.problems.columns import has, prompt_text, recognise, unframed, value_at

DAPO = (
    "Solve the following math problem step by step. The last line of your response should be of the form "
    "Answer: $Answer (without quotes) where $Answer is the answer to the problem.\n\nWhat is 1 + 1?\n\n"
    'Remember to put your answer on its own line after "Answer:".'
)


@pytest.mark.parametrize(
    ("columns", "name", "problem", "answer"),
    [
        (
            "problem solution answer problem_type question_type problem_is_valid solution_is_valid source",
            "NuminaMath-1.5",
            "problem",
            "",
        ),
        (
            "problem solution answer problem_type generations correctness_math_verify correctness_count",
            "OpenR1-Math-220k",
            "problem",
            "",
        ),
        (
            "question final_answer difficulty topic r1_solution_1 r1_solution_2 r1_solution_3",
            "DeepMath-103K",
            "question",
            "final_answer",
        ),
        (
            "data_source prompt ability reward_model extra_info",
            "DAPO-Math-17k or another data set of verl's shape",
            "prompt",
            "reward_model.ground_truth",
        ),
        ("problem answer source domain llama8b_solve_rate", "Big-Math", "problem", ""),
        ("domain difficulty problem solution answer source", "Omni-MATH", "problem", ""),
        (
            "id question solution final_answer context is_multiple_answer unit answer_type",
            "OlympiadBench",
            "question",
            "final_answer",
        ),
        ("type query original_question response", "MetaMathQA", "query", ""),
    ],
)
def test_a_known_data_set_is_recognised_by_its_columns(
    columns: str, name: str, problem: str, answer: str
) -> None:
    shape = recognise(columns.split())
    assert shape is not None
    assert (shape.name, shape.problem, shape.answer) == (name, problem, answer)


@pytest.mark.parametrize("columns", ["problem answer", "question answer", "text", ""])
def test_what_is_no_known_data_set_is_not_taken_for_one(columns: str) -> None:
    assert recognise(columns.split()) is None


def test_a_dotted_name_is_a_field_inside_a_field_unless_a_column_has_that_very_name() -> None:
    row = {"reward_model": {"ground_truth": "42"}, "a.b": "dotted"}
    assert value_at(row, "reward_model.ground_truth") == "42"
    assert value_at(row, "a.b") == "dotted"
    assert value_at(row, "reward_model.style") is None
    assert value_at(row, "missing.ground_truth") is None
    assert has(row, "reward_model.ground_truth")
    assert not has(row, "reward_model.style")


@pytest.mark.parametrize(
    ("prompt", "text"),
    [
        ("What is 1 + 1?", "What is 1 + 1?"),
        ([{"role": "user", "content": "What is 1 + 1?"}], "What is 1 + 1?"),
        (
            [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "What is 1 + 1?"},
            ],
            "What is 1 + 1?",
        ),
        ([{"from": "human", "value": "What is 1 + 1?"}], "What is 1 + 1?"),
        (DAPO, "What is 1 + 1?"),
        ([{"role": "user", "content": DAPO}], "What is 1 + 1?"),
        ([{"role": "user", "content": "a"}, {"role": "user", "content": "b"}], None),
        ([{"role": "assistant", "content": "a"}], None),
        ([], None),
        (7, None),
        ([{"role": "user", "content": [{"type": "image"}]}], None),
    ],
)
def test_a_prompt_is_a_text_or_a_chat_with_one_user_turn(prompt: Any, text: str | None) -> None:
    assert prompt_text(prompt) == text


def test_a_text_that_only_resembles_the_frame_keeps_every_word() -> None:
    text = 'What is x? Remember to put your answer on its own line after "Answer:".'
    assert unframed(text) == text
