"""Foreign rows: every shape gives the same problem, gold, thinking and response."""

from typing import Any

import pytest

from generator.importer.conversations import samples_of, without_requests
from generator.problems.rows import BadRow

QUESTION = "What is 20 plus 22?"
REQUEST = "Please reason step by step, and put your final answer within \\boxed{}."
TEXT = "<think>\nTwenty and twenty-two.\n</think>\n\nIt is \\boxed{42}."
ASKED = f"{QUESTION}\n{REQUEST}"

SHAPES: dict[str, dict[str, Any]] = {
    "OpenR1-Math": {
        "problem": QUESTION,
        "answer": "42",
        "solution": "20 + 22 = \\boxed{42}",
        "generations": [TEXT],
        "correctness_count": 1,
    },
    "DeepMath": {
        "question": QUESTION,
        "final_answer": "42",
        "difficulty": 4.5,
        "r1_solution_1": TEXT,
    },
    "ShareGPT": {
        "conversations": [
            {"from": "system", "value": "Be brief."},
            {"from": "human", "value": ASKED},
            {"from": "gpt", "value": TEXT},
        ],
        "answer": "42",
    },
    "messages": {
        "messages": [{"role": "user", "content": ASKED}, {"role": "assistant", "content": TEXT}],
        "answer": "42",
    },
    "reasoning apart": {
        "messages": [
            {"role": "user", "content": ASKED},
            {
                "role": "assistant",
                "content": "It is \\boxed{42}.",
                "reasoning_content": "Twenty and twenty-two.",
            },
        ],
        "gold": 42,
    },
    "alpaca": {
        "instruction": REQUEST,
        "input": QUESTION,
        "output": TEXT,
        "system": "Be brief.",
        "answer": "42",
    },
    "prompt and completion": {"prompt": ASKED, "completion": TEXT, "answer": "42"},
    "chats of prompt and completion": {
        "prompt": [{"role": "user", "content": ASKED}],
        "completion": [{"role": "assistant", "content": TEXT}],
        "reward_model": {"ground_truth": "42"},
    },
    "OpenThoughts": {
        "conversations": [
            {"from": "user", "value": ASKED},
            {
                "from": "assistant",
                "value": (
                    "<|begin_of_thought|>\n\nTwenty and twenty-two.\n\n<|end_of_thought|>\n\n"
                    "<|begin_of_solution|>\n\nIt is \\boxed{42}.\n\n<|end_of_solution|>"
                ),
            },
        ],
        "ground_truth": "42",
    },
    "problem and response": {"problem": ASKED, "response": TEXT, "answer": "42"},
}


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_is_read_as_the_same_sample(shape: str) -> None:
    (sample,) = samples_of(SHAPES[shape], "set")
    assert sample.problem == QUESTION
    assert sample.gold == "42"
    assert sample.reasoning == "Twenty and twenty-two."
    assert sample.response == "It is \\boxed{42}."
    assert not sample.unclosed
    assert sample.source == "set"


def test_messages_keep_the_turns_as_they_stood() -> None:
    (sample,) = samples_of(SHAPES["ShareGPT"], "set")
    assert sample.messages == (
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": ASKED},
    )


def test_every_generation_of_a_row_is_a_sample_and_its_subset_is_named() -> None:
    row = {**SHAPES["OpenR1-Math"], "generations": [TEXT, "", "no box"], "source": "olympiads"}
    samples = list(samples_of(row, "openr1"))
    assert [sample.response for sample in samples] == ["It is \\boxed{42}.", "no box"]
    assert {sample.source for sample in samples} == {"openr1/olympiads"}


def test_a_thinking_that_never_ends_is_told() -> None:
    (sample,) = samples_of({"problem": QUESTION, "response": "<think>\nTwenty and"}, "set")
    assert sample.unclosed
    assert sample.reasoning == "Twenty and"
    assert sample.response == ""


@pytest.mark.parametrize(
    ("question", "problem"),
    [
        (ASKED, QUESTION),
        (f"{REQUEST}\n\n{QUESTION}", QUESTION),
        (f"{QUESTION}\n\nReturn your final response within \\boxed{{}}.", QUESTION),
        (f"{QUESTION} 请逐步推理，并将最终答案放在\\boxed{{}}内。", QUESTION),
        ("Put 3 in the box \\boxed{} of each row. How many?", None),
        (QUESTION, QUESTION),
    ],
)
def test_only_the_request_for_steps_and_a_box_is_taken_off(
    question: str, problem: str | None
) -> None:
    assert without_requests(question) == (problem or question)


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({"text": "x"}, "no messages, conversations"),
        ({"problem": QUESTION}, "without an answer"),
        ({"messages": []}, "0 user turns"),
        ({"messages": [{"role": "user", "content": "a"}]}, "0 answers"),
        ({"messages": [{"role": "tool", "content": "a"}]}, "neither user nor assistant"),
        ({"messages": ["a"]}, "a turn that is a str"),
        ({"messages": [{"role": "user", "content": [1]}]}, "content is a list"),
        (
            {"messages": [{"role": r, "content": "x"} for r in ("user", "assistant") * 2]},
            "several questions",
        ),
        ({"instruction": "a", "output": "b", "history": [["a", "b"]]}, "history"),
        ({"prompt": REQUEST, "completion": TEXT}, "question is empty"),
        ({"prompt": 7, "completion": TEXT}, "content is a int"),
    ],
)
def test_a_row_that_is_no_single_answered_problem_says_why(row: dict[str, Any], why: str) -> None:
    with pytest.raises(BadRow, match=why):
        list(samples_of(row, "set"))
