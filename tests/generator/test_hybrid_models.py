"""A hybrid model is told to think by the provider's own fields, and one that does not is told of or stopped."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from shared.records import Trace
from tests.fake_server import Reply, Script, says, scripted
from tests.generator.process_runs import generator
from tests.shared.chat_api.stream_events import chunk, sse

PLAIN = says([sse(chunk({"content": "It is \\boxed{4}."}, "stop"))])
THOUGHT = says(
    [
        sse(
            chunk({"reasoning_content": "Let me add them."}),
            chunk({"content": "It is \\boxed{4}."}, "stop"),
        )
    ]
)


def thinks_if_told() -> Reply:
    async def reply(request: web.Request) -> web.StreamResponse:
        body = await request.json()
        return await (THOUGHT if body.get("enable_thinking") else PLAIN)(request)

    return reply


def configuration(folder: Path, server: Script, lane: str) -> str:
    problems = folder / "problems.jsonl"
    rows = [{"problem": f"What is {n} + {4 - n}?", "answer": "4"} for n in range(20)]
    problems.write_text("".join(json.dumps(row) + "\n" for row in rows))
    path = folder / "config.toml"
    path.write_text(
        f'corpus = "{folder / "corpus"}"\n[problems]\nsource = "{problems}"\n'
        f'[[lane]]\nname = "a"\nmodel = "m"\nbase_url = "{server.url}"\nconcurrency = 2\n{lane}\n'
        "[daemon]\nport = 0\nwait = false\n[grading]\nworkers = 1\n"
    )
    return str(path)


async def run(folder: Path, server: Script, lane: str = "") -> Any:
    return await asyncio.to_thread(generator, "run", configuration(folder, server, lane))


def traces(folder: Path, pile: str) -> list[Trace]:
    lines = [
        line
        for file in sorted((folder / "corpus" / pile).glob("*.jsonl"))
        for line in file.read_text().splitlines()
    ]
    return [Trace.from_row(json.loads(line)) for line in lines]


async def test_the_providers_own_fields_are_sent_as_they_are_and_kept_in_the_trace(
    tmp_path: Path,
) -> None:
    extra = 'extra_body = { enable_thinking = true, chat_template_kwargs = { a = [1, "b"] } }'
    async with scripted(thinks_if_told()) as server:
        process = await run(tmp_path, server, extra)
    assert process.returncode == 0, process.stderr
    sent_fields = {"enable_thinking": True, "chat_template_kwargs": {"a": [1, "b"]}}
    assert all(body.items() >= sent_fields.items() for body in server.bodies)
    kept_traces = traces(tmp_path, "traces")
    assert len(kept_traces) == 20
    assert all(trace.params["extra_body"] == sent_fields for trace in kept_traces)
    assert all(trace.reasoning == "Let me add them." for trace in kept_traces)


async def test_a_model_that_does_not_think_is_told_of_once_and_its_answers_are_kept(
    tmp_path: Path,
) -> None:
    async with scripted(PLAIN) as server:
        process = await run(tmp_path, server)
    assert process.returncode == 0, process.stderr
    assert process.stderr.count("does not think") == 1
    assert len(traces(tmp_path, "traces")) == 20


async def test_where_reasoning_is_required_the_lane_stops_after_the_first_answers(
    tmp_path: Path,
) -> None:
    async with scripted(thinks_if_told()) as server:
        stopped_run = await run(tmp_path, server, "require_reasoning = true")
        assert stopped_run.returncode == 4, stopped_run.stderr
        assert "lane.extra_body" in stopped_run.stderr
        assert traces(tmp_path, "traces") == []
        assert 3 <= len(server.bodies) <= 6
        rejected_traces = traces(tmp_path, "rejected")
        assert {trace.reason for trace in rejected_traces} == {"the answer carries no reasoning"}
        remedy = "require_reasoning = true\nextra_body = { enable_thinking = true }"
        process = await run(tmp_path, server, remedy)
    assert process.returncode == 0, process.stderr
    assert len(traces(tmp_path, "traces")) == 20 - len(rejected_traces)


@pytest.mark.parametrize(
    ("extra", "key"), [('model = "x"', "lane.model"), ("temperature = 1", "sampling.temperature")]
)
async def test_a_field_that_another_key_sets_is_refused(
    tmp_path: Path, extra: str, key: str
) -> None:
    async with scripted(THOUGHT) as server:
        refused_run = await run(tmp_path, server, f"extra_body = {{ {extra} }}")
    assert refused_run.returncode == 2
    assert key in refused_run.stderr
    assert server.bodies == []
