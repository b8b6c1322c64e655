"""Rows of other people's corpora as samples: a problem, its gold answer, one answer with its thinking. Pure.

    {"problem": …, "answer": "42", "generations": ["<think>…</think> … \\\\boxed{42}", …]}       OpenR1-Math
    {"question": …, "final_answer": "42", "r1_solution_1": …, "r1_solution_2": …}             DeepMath
    {"conversations": [{"from": "human", "value": …}, {"from": "gpt", "value": …}]}           ShareGPT
    {"messages": [{"role": "user", …}, {"role": "assistant", …}]}                             ms-swift, TRL, our export
    {"instruction": …, "input": "", "output": …, "system": …}                                 LLaMA-Factory's alpaca
    {"prompt": …, "completion": …}                                                            TRL

The problem is the user's turn without the request for steps and a box that people put around it, so that the same
problem has the same id in every corpus. `messages` keep the turn as it stood; a problem in a
column gets the request that an evaluation asks with.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from generator.problems.columns import recognise, unframed, value_at
from generator.problems.golds import NoGold, checked_solution, gold_of_column
from generator.problems.rows import BadRow
from shared.prompts import PRESETS, fill
from shared.records import Message
from shared.thinking import split

ROLES = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "model": "assistant",
    "system": "system",
}
GENERATION_COLUMNS = re.compile(r"generations?|r1_solution_\d+|r1_generations?|deepseek_solutions?")
ANSWER_COLUMNS = (
    "answer",
    "final_answer",
    "gold",
    "gold_answer",
    "ground_truth",
    "expected_answer",
    "reference_answer",
    "reward_model.ground_truth",
)
MODEL_COLUMNS = ("model", "generator", "teacher", "model_name")
REASONING_KEYS = ("reasoning_content", "reasoning", "thinking")

# What people ask for besides the problem, before or behind it.
_REQUESTS = [
    r"please reason step by step,? and put your final answer within \\boxed\{\}\.?",
    r"let'?s think step by step and output the final answer within \\boxed\{\}\.?",
    r"return your final response within \\boxed\{\}\.?",
    r"put your (?:final )?answer (?:within|in|inside) \\boxed\{\}\.?",
    r"solve the following math problem efficiently and clearly\.[^\n]*",
    r"请(?:逐步|一步一步|一步步)(?:地)?推理[，,]\s*并?(?:将|把|在)?(?:你的)?最终答案(?:放在|写在|放入)?\s*\\boxed\{\}(?:内|中|里)?。?",
]
_BEHIND = re.compile(rf"\s*(?:{'|'.join(_REQUESTS)})\s*\Z", re.I)
_BEFORE = re.compile(rf"\A\s*(?:{'|'.join(_REQUESTS)})\s*", re.I)
# OpenThoughts and its kin mark the thinking with tags of their own.
_THOUGHT = re.compile(
    r"\A\s*<\|begin_of_thought\|>\n*(?P<thought>.*?)\n*<\|end_of_thought\|>\s*"
    r"(?:<\|begin_of_solution\|>\n*(?P<solution>.*?)\n*(?:<\|end_of_solution\|>)?\s*)?\Z",
    re.S,
)


@dataclass(frozen=True, slots=True)
class ForeignSample:
    """One answer of a foreign row. `unclosed`: its thinking never ended."""

    problem: str
    gold: str | None
    messages: tuple[Message, ...]
    reasoning: str
    response: str
    unclosed: bool
    source: str
    model: str


def samples_of(row: Mapping[str, Any], data_set: str) -> Iterator[ForeignSample]:
    """The answers in a row, in its order. `data_set`: where the row comes from.

    Errors: `BadRow` for a row that has no question with an answer in any known shape.
    """
    turns, answers = _turns_and_answers(row)
    question = turns[-1]["content"]
    problem = without_requests(question)
    if not problem.strip():
        raise BadRow("the question is empty")
    gold = gold_of(row)
    subset = row.get("source")
    source = f"{data_set}/{subset}" if isinstance(subset, str) and subset else data_set
    model = next((row[name] for name in MODEL_COLUMNS if isinstance(row.get(name), str)), "")
    for reasoning, text in answers:
        split_reasoning, response, is_unclosed = _parts(reasoning, text)
        yield ForeignSample(
            problem,
            gold,
            tuple(turns),
            split_reasoning,
            response,
            is_unclosed,
            source,
            model,
        )


def without_requests(question: str) -> str:
    """A question without the request for steps and a box before or behind it."""
    text = unframed(question)
    text = _BEFORE.sub("", text)
    return _BEHIND.sub("", text)


def gold_of(row: Mapping[str, Any]) -> str | None:
    """The gold answer that a row states in a column of its own; None where it states none."""
    for name in ANSWER_COLUMNS:
        gold = gold_of_column(value_at(row, name))
        if isinstance(gold, str):
            return gold
    solution = row.get("solution")
    if isinstance(solution, str):
        answer = checked_solution(solution)
        return None if isinstance(answer, NoGold) else answer
    return None


Answers = Sequence[tuple[str, str]]  # (reasoning in a field of its own or "", text)


def _turns_and_answers(row: Mapping[str, Any]) -> tuple[list[Message], Answers]:
    """The turns up to the question, and what answers it."""
    for name in ("messages", "conversations"):
        if isinstance(row.get(name), list):
            return _chat(row[name], row.get("system"))
    if isinstance(row.get("instruction"), str) and isinstance(row.get("output"), str):
        return _alpaca(row), [("", row["output"])]
    if "prompt" in row and "completion" in row:
        return _prompt_and_completion(row["prompt"], row["completion"])
    return _question_column(row), _generations(row)


def _chat(turns: Any, system: Any) -> tuple[list[Message], Answers]:
    messages: list[Message] = []
    if isinstance(system, str) and system.strip():
        messages.append({"role": "system", "content": system})
    answers: list[tuple[str, str]] = []
    for turn in turns:
        role, content = _turn(turn)
        if role == "assistant":
            reasoning = next(
                (turn[key] for key in REASONING_KEYS if isinstance(turn.get(key), str)), ""
            )
            answers.append((reasoning, content))
        elif answers:
            raise BadRow("a conversation of several questions: only the first could be graded")
        else:
            messages.append({"role": role, "content": content})
    questions = [message for message in messages if message["role"] == "user"]
    if len(questions) != 1 or messages[-1]["role"] != "user":
        raise BadRow(f"a conversation with {len(questions)} user turns before its answer")
    if len(answers) != 1:
        raise BadRow(f"a conversation with {len(answers)} answers")
    return messages, answers


def _turn(turn: Any) -> tuple[str, str]:
    if not isinstance(turn, Mapping):
        raise BadRow(f"a turn that is a {type(turn).__name__}")
    name = turn.get("role", turn.get("from"))
    content = turn.get("content", turn.get("value"))
    role = ROLES.get(name) if isinstance(name, str) else None
    if role is None:
        raise BadRow(f"a turn by {str(name)[:40]!r}, which is neither user nor assistant")
    if not isinstance(content, str):
        raise BadRow(f"a turn whose content is a {type(content).__name__}")
    return role, content


def _alpaca(row: Mapping[str, Any]) -> list[Message]:
    if row.get("history"):
        raise BadRow("a conversation with a history: only single questions can be graded")
    extra = row.get("input")
    question = row["instruction"]
    if isinstance(extra, str) and extra.strip():
        question = f"{question}\n{extra}"
    turns = [{"role": "user", "content": question}]
    system = row.get("system")
    if isinstance(system, str) and system.strip():
        turns.insert(0, {"role": "system", "content": system})
    return turns


def _prompt_and_completion(prompt: Any, completion: Any) -> tuple[list[Message], Answers]:
    turns = prompt if isinstance(prompt, list) else [{"role": "user", "content": prompt}]
    answer_turns = (
        completion
        if isinstance(completion, list)
        else [{"role": "assistant", "content": completion}]
    )
    return _chat([*turns, *answer_turns], None)


def _question_column(row: Mapping[str, Any]) -> list[Message]:
    shape = recognise(row)
    names = [shape.problem] if shape else []
    for name in [*names, "problem", "question", "query"]:
        if isinstance(row.get(name), str):
            return [{"role": "user", "content": _asked(row[name])}]
    fields = ", ".join(list(row)[:8]) or "no field"
    raise BadRow(f"no messages, conversations, instruction, prompt or problem: it has {fields}")


def _asked(problem: str) -> str:
    """The turn of a problem that stands in a column, where no turn is known: with the request that
    our own problems are asked with, and that an evaluation asks with.
    """
    if without_requests(problem) != unframed(problem):
        return problem
    return fill(PRESETS["r1"].prompt, problem)


def _generations(row: Mapping[str, Any]) -> Answers:
    answers: list[tuple[str, str]] = []
    for name, value in row.items():
        if GENERATION_COLUMNS.fullmatch(name):
            texts = value if isinstance(value, list) else [value]
            answers += [("", text) for text in texts if isinstance(text, str) and text.strip()]
    for name in ("response", "output", "completion"):
        if not answers and isinstance(row.get(name), str):
            reasoning = next(
                (row[key] for key in REASONING_KEYS if isinstance(row.get(key), str)), ""
            )
            answers.append((reasoning, row[name]))
    if not answers:
        raise BadRow("a problem without an answer: no generations, response, output or completion")
    return answers


def _parts(reasoning: str, text: str) -> tuple[str, str, bool]:
    """(thinking, response, whether the thinking never ended)."""
    if reasoning:
        return reasoning, text, False
    thought = _THOUGHT.match(text)
    if thought is not None:
        return thought["thought"], thought["solution"] or "", False
    parts = split(text)
    return parts.reasoning, parts.response, parts.unclosed
