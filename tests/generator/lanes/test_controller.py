"""The controller as a whole, in simulated worlds: at least nine tenths of the best fixed
setting in every one.
"""

import pytest

from benchmarks.controller.trial import misses, ours, outcome
from benchmarks.controller.worlds import LESSONS, WORLDS
from generator.lanes.pace import Pace
from tests.generator.lanes.lane_simulation import Allows, Log, Window, one_gate, simulate

TEN_MINUTES = 600.0
TWENTY_MINUTES = 1200.0


def refused_share(log: Log, since: float = 0.0) -> float:
    return log.refused(since) / (log.refused(since) + log.ok(since))


@pytest.mark.slow
@pytest.mark.parametrize("stall", [0.0, 0.5], ids=["idle client", "loaded client"])
@pytest.mark.parametrize("seconds", [2.0, 10.0])
@pytest.mark.parametrize("chance", [0.005, 0.02, 0.05, 0.1])
def test_429_by_chance_never_take_a_tenth_of_the_throughput(
    chance: float, seconds: float, stall: float
) -> None:
    log = simulate(
        [(one_gate(concurrency=64), Allows(refused_share=chance, seconds=seconds))],
        TEN_MINUTES,
        stall=stall,
    )
    best = 64 / (seconds + stall / 2)  # samples a second
    assert log.ok(30) > 0.9 * best * (TEN_MINUTES - 30)


@pytest.mark.slow
def test_429_by_chance_leave_hundreds_of_short_calls_a_second_alone() -> None:
    """The demo's teacher: 2% of 429, answers in a tenth of a second. No limit a minute is
    learnt from 20 seconds.
    """
    gate = one_gate(concurrency=64)
    log = simulate([(gate, Allows(refused_share=0.02, seconds=0.15, first_token=0.05))], 60)
    assert log.ok() > 0.9 * 60 * 64 / 0.15


@pytest.mark.parametrize("chance", [0.02, 0.1])
def test_a_pause_that_every_chance_429_names_is_obeyed_and_costs_no_more_than_that(
    chance: float,
) -> None:
    server = Allows(refused_share=chance, seconds=10, retry_after=1.0)
    log = simulate([(one_gate(concurrency=64), server)], TEN_MINUTES)
    assert log.ok(60) > 0.85 * 6.4 * (TEN_MINUTES - 60)


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [2.0, 10.0])
@pytest.mark.parametrize("retry_after", [None, 5.0])
@pytest.mark.parametrize("window", ["sliding", "fixed"])
@pytest.mark.parametrize("a_minute", [240])
def test_a_real_limit_a_minute_is_found_with_few_429(
    a_minute: int, window: Window, retry_after: float | None, seconds: float
) -> None:
    server = Allows(a_minute=a_minute, window=window, retry_after=retry_after, seconds=seconds)
    log = simulate([(one_gate(concurrency=200), server)], TWENTY_MINUTES)
    assert refused_share(log) < 0.03
    assert log.ok() > 0.9 * a_minute * 20


@pytest.mark.slow
@pytest.mark.parametrize("retry_after", [None, 1.0])
def test_a_limit_only_just_passed_is_found_by_the_share_of_429(retry_after: float | None) -> None:
    """64 calls of 10 s are 384 a minute: the 429 come one by one among calls that go well."""
    log = simulate(
        [(one_gate(concurrency=64), Allows(a_minute=300, retry_after=retry_after))], TWENTY_MINUTES
    )
    assert refused_share(log, 120) < 0.03
    assert log.ok() > 0.9 * 300 * 20


@pytest.mark.slow
@pytest.mark.parametrize("retry_after", [None, 1.0])
@pytest.mark.parametrize(("a_minute", "seconds"), [(300, 10.0), (100, 30.0)])
def test_a_limit_in_flight_and_one_a_minute_together(
    a_minute: int, seconds: float, retry_after: float | None
) -> None:
    server = Allows(at_once=60, a_minute=a_minute, seconds=seconds, retry_after=retry_after)
    log = simulate([(one_gate(concurrency=0), server)], TWENTY_MINUTES)
    assert refused_share(log) < 0.03  # the search for both included
    assert log.ok(60) > 0.9 * a_minute * 19


@pytest.mark.slow
@pytest.mark.parametrize("chance", [0.02, 0.1])
def test_a_limit_in_flight_is_found_among_429_by_chance(chance: float) -> None:
    log = simulate(
        [(one_gate(concurrency=0), Allows(at_once=60, refused_share=chance))], TWENTY_MINUTES
    )
    assert log.ok(60) > 0.9 * 6 * (TWENTY_MINUTES - 60)


def test_a_server_that_slows_down_is_followed() -> None:
    server = Allows(at_once=60, refused_share=0.02)

    def slow() -> None:
        server.seconds, server.first_token = 30.0, 1.2

    log = simulate([(one_gate(concurrency=0), server)], TWENTY_MINUTES, at=[(600, slow)])
    assert log.ok(660) > 0.9 * 2 * 540


@pytest.mark.parametrize("taught", ["row", "long pause"])
def test_a_wrong_lesson_is_unlearnt_within_a_minute(taught: str) -> None:
    """290 starts in twelve seconds, then 429 as at a limit, once. The pace of 276 a minute is
    not kept for long.
    """
    gate = one_gate(concurrency=64)
    pace = gate.account.pace

    def teach() -> None:
        pause = 5.0 if taught == "long pause" else None
        pace.refused(12.0, 12.0, pause, too_fast=taught == "row")
        assert pace.source == "learnt from 429s"

    log = simulate([(gate, Allows(seconds=2.5, refused_share=0.02))], 180, at=[(12.0, teach)])
    assert pace.source == ""
    assert log.ok(72) > 0.9 * (64 / 2.5) * 108


def test_chance_429_among_many_calls_in_the_air_are_no_row() -> None:
    """They come back sooner than first tokens: by arrival ten of them follow each other, by
    start they do not.
    """
    gate = one_gate(concurrency=64)
    concurrency = gate.account.concurrency
    flights = [concurrency.start(0.0) for _ in range(64)]
    for flight in flights:
        concurrency.first_token(0.3, flight)
        concurrency.end(flight)
    again = [concurrency.start(3.0) for _ in range(60)]
    for flight in again[::6]:
        concurrency.end(flight)
        assert concurrency.refuse(3.05, flight, too_fast=False) == "chance"


def test_a_429_by_chance_without_a_pause_stops_nobody() -> None:
    pace = Pace()
    pace.start(0.0)
    pace.chance(0.1, 0.0, None)
    assert pace.ready_at() <= 0.1


def test_a_pause_that_was_obeyed_and_refused_again_is_made_longer() -> None:
    pace, now, pauses = Pace(), 0.0, []
    for _ in range(6):
        pace.start(now)
        pace.refused(now, now, 5.0, too_fast=True)
        pauses.append(pace.cool_until - now)
        now = pace.cool_until
    # The last: a minute after the first 429 no window holds what was started before it.
    assert pauses == [5, 5, 5, 8, 16, 22]


def test_a_pace_says_where_it_comes_from_and_the_strictest_is_in_force() -> None:
    pace = Pace(requests_per_minute=600)
    assert (pace.per_minute, pace.source) == (600, "configured")
    pace.announce(100)
    assert (pace.per_minute, pace.source) == (95, "named by the provider")


def test_starts_that_a_busy_client_missed_are_made_up_for() -> None:
    log = simulate(
        [(one_gate(concurrency=64, requests_per_minute=300), Allows(seconds=2))], 300, stall=1.0
    )
    assert len(log.started) > 0.95 * 5 * 300


# A few of each kind that take little time; all of them: python -m benchmarks.controller
FAST = (
    "60 a minute, fixed, 2 s",
    "60 a minute, bucket, 2 s",
    "300 a minute, named in the 429",
    "300 a minute, bucket of 20, 64 calls of 1.5 s",
    "300 a minute, bucket of 300, 64 calls of 1.5 s",
    "10 in flight, like R1's",
    "10 in flight and 60 a minute, 8 s",
    "a queue before 64 slots, 30 s",
    "a burst, 64 calls of 10 s",
    "a burst, 60 in flight",
    "60 in flight, 20 for three minutes, 10 s",
)


@pytest.mark.parametrize("name", FAST)
def test_a_world_of_the_comparison_keeps_every_bound(name: str) -> None:
    world = next(world for world in (*WORLDS, *LESSONS) if world.name == name)
    assert misses(world, outcome(world, ours)) == []
