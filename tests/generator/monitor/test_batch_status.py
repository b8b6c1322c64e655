"""Batches, as status, panel and log line say them."""

import io
from dataclasses import replace

from rich.console import Console

from generator.monitor import console
from generator.monitor.status import BatchStatus, LaneStatus, RunStatus
from tests.generator.run_statuses import run_status

NOW = 1_800_000_000.0
BATCH = BatchStatus(
    name="stillhouse-siliconflow-9f2c.jsonl",
    lane="siliconflow",
    state="created",
    lines=4800,
    completed=3120,
    failed=0,
    status="in_progress",
    expires_at=NOW + 9 * 3600 + 12 * 60,
    note="",
)


def test_a_batch_says_how_far_it_is_and_when_it_expires() -> None:
    assert BATCH.in_words(NOW) == "batch of 4,800 at siliconflow: 3,120 done, expires in 9 h 12 min"
    slow = replace(BATCH, failed=7, status="finalizing", expires_at=0.0)
    assert slow.in_words(NOW) == ("batch of 4,800 at siliconflow: 3,120 done, 7 failed, finalizing")


def test_a_held_batch_says_what_a_person_may_do() -> None:
    held_batch = replace(BATCH, state="held", note="look in its console")
    assert held_batch.in_words(NOW) == "batch of 4,800 at siliconflow: held, look in its console"


def test_the_panel_and_the_log_line_show_every_batch() -> None:
    status = _status()
    out = io.StringIO()
    Console(file=out, width=120).print(console.panel(status))
    assert "batch of 4,800 at siliconflow: 3,120 done" in out.getvalue()
    assert "batch of 4,800 at siliconflow: 3,120 done" in console.line(status)


def _status() -> RunStatus:
    lane = LaneStatus(
        name="siliconflow",
        model="r1",
        state="ready",
        reason="",
        in_flight=4800,
        waiting=0,
        limit=1,
        ceiling=1,
        calls=4800,
        errors={},
        tokens=0,
        usd=0.0,
        batches=[BATCH],
    )
    return run_status(lane, done=10, kept=10, in_flight=4800)
