"""The limit of calls in flight, found against simulated servers."""

import pytest

from generator.lanes.concurrency import Concurrency
from tests.generator.lanes.lane_simulation import Allows, Queues, one_gate, simulate

MINUTE = 60.0
TWENTY_MINUTES = 1200.0


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [2.0, 10.0, 60.0])
@pytest.mark.parametrize("retry_after", [None, 1.0])
def test_an_unknown_limit_of_60_in_flight_is_found_with_few_429_and_no_loss_of_throughput(
    seconds: float, retry_after: float | None
) -> None:
    found = simulate(
        [(one_gate(concurrency=0), Allows(at_once=60, seconds=seconds, retry_after=retry_after))],
        TWENTY_MINUTES,
    )
    by_hand = simulate(
        [(one_gate(concurrency=60), Allows(at_once=60, seconds=seconds))], TWENTY_MINUTES
    )
    settled = 5 * MINUTE
    assert 48 <= found.level(settled) <= 72
    assert found.refused(MINUTE) < 0.03 * len([at for at, _ in found.started if at > MINUTE])
    assert found.ok(MINUTE) > 0.9 * by_hand.ok(MINUTE)


def test_a_limit_is_found_although_one_call_in_twenty_fails_with_503() -> None:
    log = simulate(
        [(one_gate(concurrency=0), Allows(at_once=60, fault_share=0.05))], TWENTY_MINUTES
    )
    assert 48 <= log.level(5 * MINUTE) <= 72


@pytest.mark.slow
def test_a_limit_that_is_halved_is_followed_down_and_one_that_is_raised_is_followed_up() -> None:
    server = Allows(at_once=60)
    log = simulate(
        [(one_gate(concurrency=0), server)],
        1800,
        at=[
            (300, lambda: setattr(server, "at_once", 30)),
            (900, lambda: setattr(server, "at_once", 90)),
        ],
    )
    assert log.level(420, 900) < 36
    assert log.refused(300, 900) < 0.03 * log.ok(300, 900)
    assert log.level(960) > 72


def test_a_short_call_is_not_held_up_by_a_slow_start() -> None:
    """200 calls at once within a few first-token times: nobody waits minutes for a server that
    says yes.
    """
    log = simulate([(one_gate(concurrency=200), Allows(first_token=0.5, seconds=60))], 30)
    assert next(at for at, level in log.levels if level == 200) < 6 * 0.5


def test_the_ceiling_is_never_passed() -> None:
    log = simulate([(one_gate(concurrency=12), Allows())], 300)
    assert max(level for _, level in log.levels) == 12


def test_a_lower_ceiling_lets_calls_in_flight_finish_and_starts_no_more() -> None:
    concurrency = Concurrency(20)
    for _ in range(8):
        concurrency.start(0.0)
    concurrency.set_ceiling(3)
    assert concurrency.full
    assert concurrency.in_flight == 8


@pytest.mark.slow
def test_a_server_that_queues_is_not_flooded_and_loses_no_throughput() -> None:
    hour = 3600.0
    found = simulate([(one_gate(concurrency=0), Queues(64))], hour)
    by_hand = simulate([(one_gate(concurrency=64), Queues(64))], hour)
    assert found.refused() == 0
    assert found.level(600) < 1.25 * 64
    assert found.ok(600) > 0.9 * by_hand.ok(600)


def test_5xx_holds_the_limit_and_never_shrinks_it() -> None:
    concurrency = Concurrency(100)
    before = concurrency.limit
    flights = [concurrency.start(0.0) for _ in range(before)]
    for flight in flights[:4]:
        concurrency.end(flight)
        concurrency.fault()
    assert concurrency.limit == before
    for flight in flights[4:]:
        concurrency.first_token(0.2, flight)
    assert concurrency.limit == before  # four faults took back the growth of these


def test_a_429_shrinks_to_what_the_server_still_serves() -> None:
    concurrency = Concurrency(100)
    flights = [concurrency.start(0.0) for _ in range(8)]
    for flight in flights[:3]:
        concurrency.end(flight)
        verdict = concurrency.refuse(0.05, flight, too_fast=False)
    assert verdict == "in flight"
    assert concurrency.limit == 5


def test_a_429_far_below_a_level_that_was_just_carried_is_no_matter_of_the_number_in_flight() -> (
    None
):
    concurrency = Concurrency(100)
    flights = [concurrency.start(0.0) for _ in range(8)]
    for flight in flights:
        concurrency.first_token(0.1, flight)
        concurrency.end(flight)
    limit = concurrency.limit
    alone = concurrency.start(2.0)
    concurrency.end(alone)
    assert concurrency.refuse(2.1, alone, too_fast=False) == "chance"
    assert concurrency.limit == limit


def test_a_limit_that_the_server_names_is_taken_up() -> None:
    concurrency = Concurrency(100)
    concurrency.announce(5)
    assert concurrency.limit == 5


@pytest.mark.slow
def test_a_server_with_very_long_calls_is_not_flooded_for_long_either() -> None:
    """The queue tells of itself by calls that are overdue, long before any of them ends."""
    log = simulate([(one_gate(concurrency=0), Queues(256, seconds=300))], 2 * 3600)
    assert log.level(3600) < 1.25 * 256


def test_after_an_outage_the_limit_is_found_anew() -> None:
    concurrency = Concurrency(100)
    flights = [concurrency.start(0.0) for _ in range(8)]
    concurrency.end(flights[0])
    concurrency.refuse(0.1, flights[0], too_fast=False)
    concurrency.begin()
    assert concurrency.congested_level is None
    assert concurrency.limit == 8
