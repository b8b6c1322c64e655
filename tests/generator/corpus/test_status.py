"""`status`: what a run that is going says of its lanes."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pytest

from generator.corpus import open_corpus
from generator.corpus.status import corpus_status
from generator.lanes.describe import lane_status
from generator.monitor.status import BudgetStatus, LaneStatus
from shared.chat_api.limits import LimitNews
from tests.generator.lanes.lane_simulation import one_gate
from tests.generator.run_statuses import run_status


async def status_of_a_run(folder: Path, lane: LaneStatus) -> str:
    corpus = open_corpus(folder, 10, 64)
    corpus.ledger.note("status", orjson.dumps(run_status(lane).as_dict()).decode())
    corpus.ledger.commit()
    try:
        return corpus_status(folder).text()
    finally:
        await corpus.close(False)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("configured", "keeps to 60 calls a minute (configured)"),
        ("named", "keeps to 95 calls a minute (named by the provider)"),
        ("learnt", "keeps to 276 calls a minute (learnt from 429s)"),
        ("", ""),
    ],
)
def test_status_says_the_pace_of_a_lane_and_where_it_comes_from(
    tmp_path: Path, source: str, says: str
) -> None:
    gate = one_gate(requests_per_minute=60 if source == "configured" else 0)
    pace = gate.account.pace
    if source == "named":
        gate.news(0.0, gate.enter(0.0), LimitNews(requests_limit=100, per="minute"))
    if source == "learnt":
        for _ in range(291):
            pace.start(0.0)
        pace.refused(0.2, 0.1, None, too_fast=True)

    text = asyncio.run(status_of_a_run(tmp_path, lane_status(gate, 0, 1.0)))
    assert "limit 8" in text
    assert says in text
    assert ("keeps to" in text) == bool(says)


@pytest.mark.parametrize(
    ("hours", "says"),
    [
        (39.01, "100 of 100 calls per day, resets in 39 h 00 min"),
        (-50.8, "100 of 100 calls per day, reset is due"),
        (None, "100 of 100 calls per day\n"),
    ],
)
async def test_status_says_when_a_budget_resets_and_no_time_below_zero(
    tmp_path: Path, hours: float | None, says: str
) -> None:
    moment = datetime.now(UTC) + timedelta(hours=hours or 0.0)
    resets_at = "" if hours is None else moment.isoformat()
    budget = BudgetStatus("free", "calls_per_day", 100, 100, resets_at)
    lane = LaneStatus("free", "r1", "used up", "", 0, 0, 8, 64, 100, {}, 0, 0.0, [budget])
    text = await status_of_a_run(tmp_path, lane) + "\n"
    assert says in text
