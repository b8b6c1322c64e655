"""The columns of data sets that people know by name, recognised by the columns that they have.

    {"question": …, "final_answer": "42", "r1_solution_1": …}                              DeepMath-103K
    {"prompt": [{"role": "user", …}], "reward_model": {"ground_truth": "42"}, …}           DAPO-17k, verl
    {"query": …, "response": "… The answer is: 42", "type": "GSM_Rephrased"}               MetaMathQA

A dotted name is a field inside a field: `reward_model.ground_truth`. What the user configures wins.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Columns:
    """Where a data set keeps what a problem needs. "" means that it has no such column."""

    name: str
    marks: frozenset[str]  # the columns that it is recognised by
    problem: str = "problem"
    answer: str = ""
    solution: str = "solution"
    note: str = ""  # what a user should know of its golds


# The first whose marks are all there. Sources: the data sets' own pages on their hub, November 2026.
KNOWN = (
    Columns(
        "NuminaMath-1.5",
        frozenset({"problem", "solution", "answer", "question_type", "problem_is_valid"}),
    ),
    Columns(
        "OpenR1-Math-220k",
        frozenset({"problem", "solution", "answer", "generations", "correctness_count"}),
    ),
    Columns(
        "DeepMath-103K",
        frozenset({"question", "final_answer", "r1_solution_1"}),
        problem="question",
        answer="final_answer",
        solution="r1_solution_1",
    ),
    Columns(
        "DAPO-Math-17k or another data set of verl's shape",
        frozenset({"prompt", "reward_model"}),
        problem="prompt",
        answer="reward_model.ground_truth",
    ),
    Columns(
        "Big-Math",
        frozenset({"problem", "answer", "llama8b_solve_rate"}),
    ),
    Columns(
        "OlympiadBench",
        frozenset({"question", "final_answer", "is_multiple_answer"}),
        problem="question",
        answer="final_answer",
    ),
    Columns(
        "Omni-MATH",
        frozenset({"problem", "solution", "answer", "domain", "difficulty"}),
    ),
    Columns(
        "MetaMathQA",
        frozenset({"query", "response", "original_question"}),
        problem="query",
        solution="response",
    ),
    Columns(
        "MetaMathQA",
        frozenset({"query", "response", "type"}),
        problem="query",
        solution="response",
    ),
)

DEFAULTS = {"problem": "problem", "answer": "", "solution": "solution"}

# DAPO wraps each problem in the same two sentences.
_DAPO_LEAD = re.compile(
    r"\ASolve the following math problem step by step\. The last line of your response should be of the form "
    r"Answer: \$Answer \(without quotes\) where \$Answer is the answer to the problem\.\s+"
)
_DAPO_TAIL = re.compile(r'\s+Remember to put your answer on its own line after "Answer:"\.\s*\Z')


def recognise(names: Iterable[str]) -> Columns | None:
    """The known data set that has these columns; None for none."""
    present = set(names)
    return next((columns for columns in KNOWN if columns.marks <= present), None)


def value_at(row: Mapping[str, Any], name: str) -> Any:
    """The value of a column, or of a field inside one by a dotted name; None where it is not there."""
    if name in row:
        return row[name]
    value: Any = row
    for part in name.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return None
        value = value[part]
    return value


def has(row: Mapping[str, Any], name: str) -> bool:
    """Whether the row has this column or field."""
    if name in row:
        return True
    parent, _, field_name = name.rpartition(".")
    fields = value_at(row, parent) if parent else None
    return isinstance(fields, Mapping) and field_name in fields


def prompt_text(value: Any) -> str | None:
    """The problem in a prompt: a text, or a chat whose only user turn it is. None where it is neither.

    A system turn is left out (ours is configured), and so is DAPO's frame around each problem.
    """
    if isinstance(value, str):
        return unframed(value)
    if not isinstance(value, list) or not all(isinstance(turn, Mapping) for turn in value):
        return None
    roles = [turn.get("role", turn.get("from")) for turn in value]
    user_turns = [
        turn for turn, role in zip(value, roles, strict=True) if role in ("user", "human")
    ]
    if len(user_turns) != 1:
        return None
    text = user_turns[0].get("content", user_turns[0].get("value"))
    return unframed(text) if isinstance(text, str) else None


def unframed(text: str) -> str:
    """A problem without the frame that DAPO puts around it."""
    lead = _DAPO_LEAD.match(text)
    if lead is None:
        return text
    return _DAPO_TAIL.sub("", text[lead.end() :])
