"""What the user sees: the panel, the line, the summary."""

import asyncio
import contextlib
import io
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, TextIO

import pytest
from rich.console import Console

from generator.monitor import console
from generator.monitor.event_log import EventLog
from generator.monitor.status import BudgetStatus, LaneStatus, RunStatus, counts

LANE = LaneStatus(
    "modelscope", "r1", "ready", "", 40, 2, 48, 64, 1200, {"rate_limited": 3}, 5_000_000, 1.25
)


def status(**changes: Any) -> RunStatus:
    values: dict[str, Any] = {
        "corpus": "data/[bold]x",
        "phase": "running",
        "note": "",
        "started_at": "2026-11-24T05:00:00+00:00",
        "at": "2026-11-24T06:00:00+00:00",
        "elapsed_seconds": 3600.0,
        "total": 2000,
        "done": 1000,
        "kept": 900,
        "rejected": 100,
        "verdicts": {"correct": 900, "incorrect": 80, "no_answer": 20},
        "in_flight": 40,
        "asking": 41,
        "grading": 1,
        "tokens": 5_000_000,
        "tokens_per_second": 1400.0,
        "errors": {"rate_limited": 3},
        "usd": 1.25,
        "eta_seconds": 3600.0,
        "lanes": [LANE],
    }
    return RunStatus(**(values | changes))


def drawn(status: RunStatus, width: int = 100) -> str:
    out = io.StringIO()
    Console(file=out, width=width).print(console.panel(status))
    return out.getvalue()


def test_the_panel_shows_counts_rates_failures_spend_and_the_time_left() -> None:
    text = drawn(status())
    for part in (
        "1,000 of 2,000",
        "ready in 1 h 00 min",
        "900 (90%)",
        "80 incorrect",
        "40 calls",
        "1,400/s",
        "$1.25",
        "3 rate limited",
        "data/[bold]x",
    ):
        assert part in text


def test_the_panel_says_why_it_waits() -> None:
    waiting = LaneStatus(
        "modelscope",
        "r1",
        "used up",
        "modelscope has used 2,000 calls [today]",
        0,
        9,
        48,
        64,
        2000,
        {},
        0,
        0,
    )
    text = drawn(status(phase="idle", note="next at 00:00", lanes=[waiting]), width=140)
    assert "idle: next at 00:00" in text
    assert "used 2,000 calls [today]" in text


def test_the_panel_and_the_line_say_the_pace_and_where_it_comes_from() -> None:
    paced_status = status(lanes=[replace(LANE, per_minute=285.0, pace_source="learnt from 429s")])
    assert "285 calls a minute (learnt from 429s)" in drawn(paced_status, width=140)
    assert "modelscope keeps to 285 calls a minute (learnt from 429s)" in console.line(paced_status)
    assert "a minute" not in console.line(status())


@pytest.mark.parametrize("width", [40, 80, 200])
def test_the_panel_fits_the_terminal(width: int) -> None:
    assert max(len(line) for line in drawn(status(), width).splitlines()) <= width


def test_the_line_is_one_line_with_what_matters() -> None:
    line = console.line(status())
    assert "\n" not in line
    for part in (
        "1,000 of 2,000 done",
        "900 kept",
        "40 in flight",
        "3 rate limited",
        "$1.25",
        "ready in 1 h 00 min",
    ):
        assert part in line


@contextlib.contextmanager
def pipe_that_nobody_reads() -> Iterator[TextIO]:
    reading, writing = os.pipe()
    os.close(reading)
    out = os.fdopen(writing, "w")
    yield out
    with contextlib.suppress(BrokenPipeError):
        out.close()


async def test_a_run_goes_on_when_nobody_sees_it_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "LINE_SECONDS", 0.01)
    with pipe_that_nobody_reads() as out:
        async with asyncio.timeout(60):
            await console.show(status, out)
    with pipe_that_nobody_reads() as err:
        monkeypatch.setattr(sys, "stderr", err)
        EventLog().record(status())
        monkeypatch.undo()


def test_the_summary_gives_path_and_next_command() -> None:
    text = console.summary(status(), "python -m generator export data/x traces.jsonl")
    assert "data/[bold]x/traces/*.jsonl" in text
    assert text.splitlines()[-1] == "next: python -m generator export data/x traces.jsonl"
    assert "no call was made" in console.summary(status(verdicts={}, phase="done"), "x")
    assert "next:" not in console.summary(status(kept=0), "x"), "nothing to export"


def test_a_run_that_was_stopped_before_its_first_sample_does_not_say_that_nothing_was_left() -> (
    None
):
    text = console.summary(status(verdicts={}, phase="stopped", errors={"key_refused": 3}), "x")
    assert "nothing was left" not in text
    assert "no sample was finished" in text
    assert "failed calls: 3 key refused" in text


def test_counts_come_with_the_largest_first() -> None:
    assert counts({"cut": 1, "no_answer": 1200}) == "1,200 no answer, 1 cut"


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_panel_fits_the_terminal_and_takes_two_lines_a_lane_at_most(width: int) -> None:
    lanes = [
        replace(
            LANE,
            name=f"lane-{number}",
            reason="modelscope has used 2,000 of 2,000 calls today, next at 00:00 Asia/Shanghai",
            per_minute=285.0,
            pace_source="learnt from 429s",
        )
        for number in range(3)
    ]
    lines = drawn(status(lanes=lanes), width).splitlines()
    assert max(map(len, lines)) <= width
    if width < 88:
        without_lanes = drawn(status(), width).splitlines()
        assert len(lines) - len(without_lanes) <= 2 * len(lanes)


def test_the_panel_shows_what_is_used_of_each_budget_and_when_it_resets() -> None:
    budget = BudgetStatus("modelscope", "calls_per_day", 122, 2000, "2026-11-24T16:00:00+00:00")
    money = BudgetStatus("", "usd_total", 1.25, 20.0, "")
    text = drawn(status(lanes=[replace(LANE, budgets=[budget])], budgets=[money]))
    assert "modelscope: 122 of 2,000 calls per day, resets in 10 h 00 min" in text
    assert "whole run: $1.25 of $20.00 in total" in text
