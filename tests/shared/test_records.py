"""The file format: a trace survives its line, whatever is in its texts."""

import dataclasses
import json
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import InputError
from shared.records import Trace, problem_id, read_traces, trace_id
from tests.generator.traces import trace

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


@given(TEXTS, TEXTS)
def test_a_trace_survives_its_line(reasoning: str, response: str) -> None:
    original = dataclasses.replace(trace("a problem"), reasoning=reasoning, response=response)
    line = original.to_line()
    assert Trace.from_row(orjson.loads(line)) == original
    assert json.loads(line) == orjson.loads(line)
    assert (
        len(line.decode().splitlines()) == 1
    )  # also for readers that split at U+2028 and its like


def test_half_a_surrogate_pair_is_replaced_and_loses_nothing_else() -> None:
    line = dataclasses.replace(trace("a problem"), reasoning="before \ud83d after").to_line()
    assert Trace.from_row(orjson.loads(line)).reasoning == "before ? after"


def test_keys_are_those_of_the_contract_in_their_order() -> None:
    assert list(json.loads(trace("a problem").to_line())) == [
        "schema",
        "id",
        "problem_id",
        "sample",
        "source",
        "problem",
        "gold",
        "messages",
        "reasoning",
        "response",
        "final_answer",
        "verdict",
        "reason",
        "checked_by",
        "finish_reason",
        "lane",
        "model",
        "model_returned",
        "params",
        "usage",
        "cost_usd",
        "timing",
        "attempts",
        "started_at",
        "finished_at",
        "flags",
    ]


def test_problems_share_an_id_only_if_nothing_but_white_space_and_composition_differ() -> None:
    assert problem_id("caf\u00e9  is\n1") == problem_id(" cafe\u0301 is 1 ")
    assert len({problem_id(text) for text in ("a 1", "A 1", "a 2", "a1")}) == 4
    # First 16 hex digits of SHA-256 of b"hello world".
    assert problem_id("hello\tworld") == "b94d27b9934d3e08"
    assert trace_id("b94d27b9934d3e08", 3) == "b94d27b9934d3e08:3"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 2}, "schema 2"),
        ({"reasoning": None}, "'reasoning' is a NoneType"),
        ({"sample": "0"}, "'sample'"),
        ({"gold": 5}, "'gold' is a int"),
        ({"cost_usd": "0.01"}, "'cost_usd' is a str"),
        ({"flags": 5}, "'flags' is a int"),
        ({"messages": [1, 2]}, "'messages' holds something other"),
        ({"messages": [{"role": "user"}]}, "'messages' holds something other"),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "2 + 2?"}]}]},
            "'messages' holds",
        ),
    ],
)
def test_a_row_of_another_kind_is_refused_by_name(change: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Trace.from_row(json.loads(trace("a problem").to_line()) | change)


def test_a_missing_key_is_named_and_an_unknown_one_left_aside() -> None:
    row = json.loads(trace("a problem").to_line())
    assert Trace.from_row(row | {"later": 1}) == trace("a problem")
    del row["verdict"]
    with pytest.raises(InputError, match="no key 'verdict'"):
        Trace.from_row(row)


def test_traces_are_read_from_sealed_shards_in_order_and_a_foreign_line_is_placed(
    tmp_path: Path,
) -> None:
    (tmp_path / "traces").mkdir()
    for number in (1, 0):
        shard = tmp_path / "traces" / f"shard-{number:06d}.jsonl"
        shard.write_bytes(trace(f"problem {number}").to_line())
    (tmp_path / "traces" / "shard-000002.jsonl.open").write_bytes(trace("open").to_line())
    assert [each.problem for each in read_traces(tmp_path)] == ["problem 0", "problem 1"]
    (tmp_path / "traces" / "shard-000000.jsonl").write_bytes(b'{"schema": 1}\n')
    with pytest.raises(InputError, match=r"shard-000000\.jsonl:1: not a trace"):
        list(read_traces(tmp_path))
