"""`status`: what a run that is going says of its lanes."""

import asyncio
from pathlib import Path

import orjson
import pytest

from generator.corpus import open_corpus
from generator.corpus.status import standing
from generator.lanes.describe import lane_status
from generator.monitor.status import LaneStatus, RunStatus
from shared.chat_api.limits import LimitNews
from tests.generator.lanes.lane_simulation import one_gate


def picture(lane: LaneStatus) -> str:
    running = RunStatus(
        corpus="",
        phase="running",
        note="",
        started_at="",
        at="",
        elapsed_seconds=1.0,
        total=9,
        done=0,
        kept=0,
        rejected=0,
        verdicts={},
        in_flight=0,
        asking=0,
        grading=0,
        tokens=0,
        tokens_per_second=0.0,
        errors={},
        usd=0.0,
        eta_seconds=None,
        lanes=[lane],
    )
    return orjson.dumps(running.as_dict()).decode()


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
        pace.refused(0.1, None, too_fast=True)

    async def seen() -> str:
        corpus = open_corpus(tmp_path, 10, 64)
        corpus.ledger.note("status", picture(lane_status(gate, 0, 1.0)))
        corpus.ledger.commit()
        try:
            return standing(tmp_path)
        finally:
            await corpus.close(False)

    text = asyncio.run(seen())
    assert "limit 8" in text
    assert says in text
    assert ("keeps to" in text) == bool(says)
