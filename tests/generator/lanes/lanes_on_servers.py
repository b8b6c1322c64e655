"""Lanes on real servers, and what these say."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web

from generator.config import GeneratorConfig, LaneConfig
from generator.corpus import HighWaterFile, Ledger
from generator.lanes import Answer, Lanes
from shared.chat_api import ChatClient, Clocks
from tests.fake_server import Reply, Script, says

PARAMS = {"temperature": 0.6, "top_p": 0.95, "max_tokens": 100}


def event(value: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(value) + b"\n\n"


def delta(**fields: str) -> bytes:
    return event({"model": "m", "choices": [{"index": 0, "delta": fields, "finish_reason": None}]})


END = (
    event({"model": "m", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    + b"data: [DONE]\n\n"
)


USAGE = event({"model": "m", "choices": [], "usage": {"prompt_tokens": 0, "completion_tokens": 3}})


LENGTH = (
    event({"model": "m", "choices": [{"index": 0, "delta": {}, "finish_reason": "length"}]})
    + b"data: [DONE]\n\n"
)


ANSWER = says([delta(reasoning_content="thinking"), delta(content="\\boxed{4}"), END])


PARTIAL = says([delta(reasoning_content="half a thought")], aborts=True)


async def black_hole(request: web.Request) -> web.StreamResponse:
    """Accepts and never answers."""
    await asyncio.Event().wait()
    raise AssertionError


def after(calls: int, before: Reply, then: Reply) -> list[Reply]:
    return [before] * calls + [then]


@asynccontextmanager
async def lanes_on(
    folder: Path,
    servers: Sequence[Script],
    lane: dict[str, Any] | None = None,
    now: Callable[[], float] = time.time,
    **tables: Any,
) -> AsyncIterator[Lanes]:
    """Lanes a, b, … on these servers; a is the cheapest."""
    config = GeneratorConfig.model_validate(
        {
            "corpus": str(folder),
            "problems": {"source": "synthetic:arithmetic"},
            "lane": [
                {
                    "name": "abc"[n],
                    "base_url": server.url,
                    "model": "m",
                    "price_out": n + 1.0,
                    **(lane or {}),
                }
                for n, server in enumerate(servers)
            ],
        }
        | tables
    )
    clocks = Clocks(connect=5, first_token=0.5, stall=0.5, total=20)

    def teacher_for(lane: LaneConfig) -> ChatClient:
        return ChatClient(lane.base_url, "", clocks)

    ledger = Ledger(folder / "ledger.sqlite")
    marks = HighWaterFile(folder, ledger.last_call())
    try:
        lanes = Lanes(config, teacher_for, ledger, marks, now)
        async with lanes, asyncio.TaskGroup() as group:
            dispatching = group.create_task(lanes.dispatch())
            yield lanes
            dispatching.cancel()
        await lanes.give_back()
    finally:
        marks.close()
        ledger.close()


async def ask_all(lanes: Lanes, count: int) -> list[Answer]:
    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(ask(lanes, number)) for number in range(count)]
    return [each.result() for each in asked]


async def ask(lanes: Lanes, number: int = 0) -> Answer:
    return await lanes.ask(f"{number:016x}:0", [{"role": "user", "content": "2 + 2?"}], PARAMS)


async def calls_at(server: Script, count: int) -> None:
    for _ in range(3000):
        if len(server.bodies) >= count:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"{len(server.bodies)} calls, not {count}")
