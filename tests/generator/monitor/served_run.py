"""A server of a run's status, with hostile text wherever a text can stand."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from generator.monitor.server import Access, dashboard_server
from generator.monitor.status import BudgetStatus, LaneStatus, RunStatus
from shared.errors import InputError
from shared.records import Trace, Usage
from tests.generator.process_runs import free_port

HOSTILE = (
    '<script>window.pwned=1;alert(1)</script><img src=x onerror="window.pwned=2"><svg'
    " onload='window.pwned=3'>"
)
TOKEN = "open sesame"


def a_status(**changes: Any) -> RunStatus:
    lane = LaneStatus(
        name="free",
        model=HOSTILE,
        state="used up",
        reason=f"free says {HOSTILE}",
        in_flight=3,
        waiting=4,
        limit=8,
        ceiling=64,
        calls=100,
        errors={HOSTILE: 7, "rate_limited": 2},
        tokens=5000,
        usd=0.25,
        budgets=[BudgetStatus("free", "calls_per_day", 100, 100, "2026-11-25T16:00:00+00:00")],
    )
    fields: dict[str, Any] = {
        "corpus": HOSTILE,
        "phase": "idle",
        "note": HOSTILE,
        "started_at": "2026-11-24T00:00:00+00:00",
        "at": "2026-11-24T01:00:00+00:00",
        "elapsed_seconds": 3600.0,
        "total": 50,
        "done": 20,
        "kept": 15,
        "rejected": 5,
        "verdicts": {"correct": 15, HOSTILE: 5},
        "in_flight": 3,
        "asking": 7,
        "grading": 1,
        "tokens": 5000,
        "tokens_per_second": 90.0,
        "errors": {HOSTILE: 7},
        "usd": 0.25,
        "eta_seconds": 60.0,
        "lanes": [lane],
    }
    return RunStatus(**{**fields, **changes})


def a_trace(number: int, text: str) -> Trace:
    return Trace(
        id=f"{number:016x}:0",
        problem_id=f"{number:016x}",
        sample=0,
        source=text,
        problem=text,
        gold=text,
        messages=[],
        reasoning=text,
        response=text,
        final_answer=text,
        verdict="correct",
        reason=text,
        checked_by="exact",
        finish_reason="stop",
        lane="free",
        model=text,
        model_returned=text,
        params={},
        usage=Usage(10, 20),
        cost_usd=None,
        timing={"first_token_seconds": 0.1, "total_seconds": 2.0},
        attempts=1,
        started_at="2026-11-24T00:00:00+00:00",
        finished_at="2026-11-24T00:00:02+00:00",
    )


class RecordedControls:
    """A run's controls that write down what they were asked."""

    def __init__(self) -> None:
        self.requests: list[str] = []

    def pause(self, lane: str = "") -> None:
        if lane not in ("", "free"):
            raise KeyError(lane)
        self.requests.append(f"pause {lane}".strip())

    def resume(self, lane: str = "") -> None:
        self.requests.append(f"resume {lane}".strip())

    def drain(self, why: str) -> None:
        self.requests.append("drain")

    def reload(self) -> list[str]:
        raise InputError("config.toml:3: lane.0.concurrency: must be a number")


TRACES = [
    a_trace(0, HOSTILE),
    a_trace(1, f"Solve $\\text{{{HOSTILE}}} + \\frac{{1}}{{2}}$ and \\boxed{{{HOSTILE}}}"),
]


@asynccontextmanager
async def served(token: str = TOKEN, **changes: Any) -> AsyncIterator[tuple[str, RecordedControls]]:
    controls = RecordedControls()
    access = Access("127.0.0.1", token, "GENERATOR_TOKEN")
    async with dashboard_server(
        "127.0.0.1", free_port(), access, lambda: a_status(**changes), lambda: TRACES, controls
    ) as url:
        yield url.rstrip("/"), controls


async def ask(method: str, url: str, **headers: str) -> tuple[int, str]:
    header_fields = {name.replace("_", "-"): value for name, value in headers.items()}
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, url, headers=header_fields) as reply,
    ):
        return reply.status, await reply.text()
