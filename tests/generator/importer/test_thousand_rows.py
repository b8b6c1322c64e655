"""A thousand rows in each shape: every row's problem, gold, thinking, response and verdict."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from generator.__main__ import main
from generator.corpus import check
from generator.importer import Import, import_into
from shared.hubs import modelscope as hub
from shared.records import Trace, read_traces
from tests.generator.importer.test_import import rejected
from tests.modelscope_server import modelscope

ROWS = 1000
REQUEST = "Please reason step by step, and put your final answer within \\boxed{}."
SYSTEM = "Be brief."
# Of every twenty rows: what becomes of their answer. All others are right.
WRONG = 3
UNCLOSED = 7
WITHOUT_BOX = 11
NO_SHAPE = 19


def question(number: int) -> str:
    return f"Anna has {number} ½-litre jars, and $a < b$: how many are {number} and {2 * number}?"


def gold(number: int) -> str:
    return str(3 * number)


def reasoning(number: int) -> str:
    lead = f"So {number} + {2 * number},\n\n\twhich is {3 * number}.\n"
    return lead + "“Wait”: 一加二 \\(x<y\\)."


def response(number: int) -> str:
    stated_number = 3 * number + (1 if number % 20 == WRONG else 0)
    if number % 20 == WITHOUT_BOX:
        return f"Together.\n\n**Answer:** {stated_number}"
    return f"Together:\n\\[ \\boxed{{{stated_number}}} \\]"


def text(number: int) -> str:
    if number % 20 == UNCLOSED:
        return f"<think>\n{reasoning(number)}"
    return f"<think>\n{reasoning(number)}\n</think>\n\n{response(number)}"


def asked(number: int) -> str:
    return f"{question(number)}\n{REQUEST}"


def turns(number: int, role: str, content: str, user: str, assistant: str) -> list[dict[str, str]]:
    return [
        {role: user, content: asked(number)},
        {role: assistant, content: text(number)},
    ]


SHAPES: dict[str, Callable[[int], dict[str, Any]]] = {
    "OpenR1-Math": lambda n: {
        "problem": question(n),
        "solution": f"It is \\boxed{{{gold(n)}}}.",
        "answer": gold(n),
        "generations": [text(n)],
        "is_reasoning_complete": [n % 20 != UNCLOSED],
    },
    "ShareGPT": lambda n: {
        "conversations": turns(n, "from", "value", "human", "gpt"),
        "answer": gold(n),
    },
    "messages": lambda n: {
        "messages": turns(n, "role", "content", "user", "assistant"),
        "answer": gold(n),
    },
    "alpaca": lambda n: {
        "instruction": REQUEST,
        "input": question(n),
        "output": text(n),
        "system": SYSTEM,
        "answer": gold(n),
    },
    "prompt and completion": lambda n: {
        "prompt": asked(n),
        "completion": text(n),
        "answer": gold(n),
    },
}


def rows_of(shape: str) -> list[dict[str, Any]]:
    return [{"text": f"row {n}"} if n % 20 == NO_SHAPE else SHAPES[shape](n) for n in range(ROWS)]


def lines_of(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def number_of(trace: Trace) -> int:
    return int(trace.problem.split()[2])


@pytest.mark.parametrize("shape", SHAPES)
def test_a_thousand_rows_of_a_shape_give_their_counts_grades_and_texts(
    tmp_path: Path, shape: str
) -> None:
    source = tmp_path / "rows.jsonl"
    source.write_text(lines_of(rows_of(shape)), encoding="utf-8")
    corpus = tmp_path / "corpus"
    summary = asyncio.run(import_into(corpus, Import(str(source))))
    assert (summary.rows, summary.bad_rows, summary.samples) == (1000, 50, 950)
    kept_traces = list(read_traces(str(corpus)))
    other_traces = rejected(corpus)
    assert len(kept_traces) == summary.kept == 850
    assert Counter(trace.verdict for trace in other_traces) == {"incorrect": 50, "truncated": 50}
    assert {number_of(trace) % 20 for trace in other_traces} == {WRONG, UNCLOSED}
    assert len({number_of(trace) for trace in kept_traces + other_traces}) == 950
    for trace in kept_traces:
        number = number_of(trace)
        assert trace.problem == question(number)
        assert trace.gold == trace.final_answer == gold(number)
        assert trace.reasoning == reasoning(number)
        assert trace.response == response(number)
        turn = trace.messages[-1]["content"]
        assert turn == (f"{REQUEST}\n{question(number)}" if shape == "alpaca" else asked(number))
        assert len(trace.messages) == (2 if shape == "alpaca" else 1)
    assert not check(corpus).faults


@pytest.mark.slow
def test_our_own_export_is_read_back_text_for_text(tmp_path: Path) -> None:
    source = tmp_path / "rows.jsonl"
    source.write_text(lines_of(rows_of("messages")), encoding="utf-8")
    asyncio.run(import_into(tmp_path / "first", Import(str(source))))
    export = tmp_path / "export.jsonl"
    assert main(["export", str(tmp_path / "first"), str(export)]) == 0
    task = Import(str(export), keep_unverifiable=True)  # chats carry no gold
    summary = asyncio.run(import_into(tmp_path / "again", task))
    assert (summary.samples, summary.kept) == (850, 850)
    first_traces = {trace.problem: trace for trace in read_traces(str(tmp_path / "first"))}
    for trace in read_traces(str(tmp_path / "again")):
        before = first_traces[trace.problem]
        assert trace.verdict == "unverifiable"
        assert trace.problem_id == before.problem_id
        assert (trace.reasoning, trace.response) == (before.reasoning, before.response)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """ModelScope, with a data set of 1,000 rows in the shape of its tutorials."""
    files = {
        "datasets/modelscope/MathR": {
            "README.md": b"# MathR",
            "clean/train.jsonl": lines_of(rows_of("messages")).encode(),
        }
    }
    monkeypatch.setenv("MODELSCOPE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("MODELSCOPE_HOME", str(tmp_path / "home"))
    hub._fetched.cache_clear()
    with modelscope(files) as local:
        monkeypatch.setenv("MODELSCOPE_ENDPOINT", local.url)
        yield
    hub._fetched.cache_clear()


@pytest.mark.usefixtures("server")
def test_a_data_set_of_modelscope_is_imported_by_its_name(tmp_path: Path) -> None:
    task = Import("modelscope:modelscope/MathR:clean")
    summary = asyncio.run(import_into(tmp_path / "corpus", task))
    assert (summary.samples, summary.kept) == (950, 850)
