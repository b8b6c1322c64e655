"""The log: a line for each change, none for what stays as it is."""

import re

import pytest

from generator.monitor.event_log import EventLog
from generator.monitor.status import LaneStatus, RunStatus


def a_lane(state: str = "ready", reason: str = "", limit: int = 10, **errors: int) -> LaneStatus:
    return LaneStatus("free", "m", state, reason, 0, 0, limit, 64, 0, errors, 0, 0.0)


def a_status(lane: LaneStatus, phase: str = "running", note: str = "") -> RunStatus:
    return RunStatus(
        "c",
        phase,
        note,
        "",
        "",
        1.0,
        0,
        7,
        6,
        1,
        {},
        3,
        0,
        0,
        0,
        0.0,
        {},
        0.0,
        None,
        [lane],  # type: ignore[arg-type]
    )


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().err.splitlines()


def test_a_line_is_read_by_people_and_machines(capsys: pytest.CaptureFixture[str]) -> None:
    EventLog().record(a_status(a_lane(), "idle", "free has used 5 of 5 calls today"))
    (line,) = lines(capsys)
    assert re.match(r'at=\d{4}-\d\d-\d\dT[\d:.]+Z level=info event="run is idle" ', line)
    assert 'note="free has used 5 of 5 calls today"' in line


def test_what_stays_as_it_is_makes_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    event_log = EventLog()
    for _ in range(5):
        event_log.record(a_status(a_lane("full")))
        event_log.record(a_status(a_lane("cooling", "free cools after a 429")))
    assert len(lines(capsys)) == 1  # the run is running


def test_a_lane_that_stops_and_works_again_is_told_with_its_reason(
    capsys: pytest.CaptureFixture[str],
) -> None:
    event_log = EventLog()
    for lane in (a_lane(), a_lane("circuit open", "free does not work: 503"), a_lane("full")):
        event_log.record(a_status(lane))
    _, stops, works = lines(capsys)
    assert (
        'level=warning event="lane circuit open" lane=free why="free does not work: 503"' in stops
    )
    assert 'event="lane works" lane=free' in works


def test_failed_calls_are_told_at_the_first_the_tenth_and_the_hundredth(
    capsys: pytest.CaptureFixture[str],
) -> None:
    event_log = EventLog()
    for count in range(1, 200):
        event_log.record(a_status(a_lane(server_fault=count)))
    matches = [line for line in lines(capsys) if "failed calls" in line]
    assert [re.search(r"count=(\d+)", line)[1] for line in matches] == ["1", "10", "100"]  # type: ignore[index]


def test_a_limit_that_was_found_is_told_when_it_moved_far(
    capsys: pytest.CaptureFixture[str],
) -> None:
    event_log = EventLog()
    for limit in (8, 9, 10, 16, 17, 60):
        event_log.record(a_status(a_lane(limit=limit)))
    matches = [line for line in lines(capsys) if "limit moved" in line]
    assert [re.search(r"limit=(\d+)", line)[1] for line in matches] == ["16", "60"]  # type: ignore[index]


def test_text_of_a_provider_cannot_forge_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    event_log = EventLog()
    event_log.record(
        a_status(a_lane("stopped", "free is stopped: no\nat=2026 level=info event=forged"))
    )
    assert len(lines(capsys)) == 2
