"""Requests and tokens a minute: set, announced, or learnt from 429."""

import pytest

from generator.lanes.pace import Pace
from generator.lanes.token_bucket import TokenBucket
from tests.generator.lanes.lane_simulation import Allows, Window, one_gate, simulate


@pytest.mark.parametrize("window", ["sliding", "fixed"])
def test_a_pace_of_230_under_a_limit_of_240_a_minute_draws_no_429_and_uses_what_it_may(
    window: Window,
) -> None:
    server = Allows(a_minute=240, seconds=2, window=window)
    log = simulate([(one_gate(concurrency=200, requests_per_minute=230), server)], 600)
    assert log.refused() <= 3
    assert log.ok() > 0.97 * 2300 - 20


@pytest.mark.parametrize("window", ["sliding", "fixed"])
@pytest.mark.parametrize("retry_after", [None, 5.0, 30.0])
def test_an_unknown_limit_of_300_a_minute_costs_a_handful_of_429(
    window: Window, retry_after: float | None
) -> None:
    server = Allows(a_minute=300, seconds=2, window=window, retry_after=retry_after)
    log = simulate([(one_gate(concurrency=200), server)], 1200)
    assert log.refused(0, 90) <= 20
    assert log.refused(90) <= 0.01 * log.ok()
    assert log.ok() > 0.8 * 20 * 300


@pytest.mark.parametrize("size", [10, 20, 40])
def test_a_small_bucket_at_the_start_is_not_taken_for_the_limit_of_a_minute(size: int) -> None:
    """A bucket of 20 that gains 300 a minute lets some 25 in within the first two seconds and then
    refuses: by that the limit might be 25 a minute. Kept for 80 calls, so wrong a lesson lasted
    four minutes.
    """
    server = Allows(a_minute=300, seconds=0.2, window="bucket", bucket_size=size)
    log = simulate([(one_gate(concurrency=64), server)], 300)
    assert log.ok(0, 90) > 150
    assert log.ok(120, 300) > 0.5 * 3 * 300


@pytest.mark.slow
def test_a_limit_a_minute_that_is_raised_is_followed() -> None:
    server = Allows(a_minute=300, seconds=2)
    log = simulate(
        [(one_gate(concurrency=200), server)],
        3600,
        at=[(600, lambda: setattr(server, "a_minute", 900))],
    )
    assert log.ok(3000, 3600) > 0.6 * 10 * 900


def test_requests_are_spaced_evenly_and_never_come_in_a_burst() -> None:
    log = simulate([(one_gate(concurrency=64, requests_per_minute=60), Allows())], 300)
    gaps = [
        after - before
        for (before, _), (after, _) in zip(log.started, log.started[1:], strict=False)
    ]
    assert min(gaps) >= 0.999


def test_retry_after_stops_every_start_and_one_call_tries_first() -> None:
    pace = Pace()
    pace.start(0.0)
    pace.refused(0.1, 0.0, 30.0, too_fast=True)
    assert pace.ready_at() == 30.1
    assert pace.thawing == 1


def test_429_in_a_row_without_retry_after_back_off_longer_each_time() -> None:
    pace, now, pauses = Pace(), 0.0, []
    for _ in range(9):
        pace.start(now)
        pace.refused(now, now, None, too_fast=True)
        pauses.append(pace.ready_at() - now)
        now = pace.ready_at()
    # A minute after the first 429 no window holds what was started before it: a try then.
    assert pauses == [1, 2, 4, 8, 16, 30, 60, 60, 60]


def test_429_that_were_on_their_way_when_the_first_came_count_once() -> None:
    pace = Pace()
    for _ in range(5):
        pace.start(0.0)
    for _ in range(5):
        pace.refused(0.1, 0.0, None, too_fast=True)
    assert pace.ready_at() == pytest.approx(1.1)


def test_a_call_from_before_the_429_does_not_end_the_row() -> None:
    pace = Pace()
    pace.start(0.0)
    pace.refused(5.0, 0.0, None, too_fast=True)
    pace.taken_up(5.5, started_at=0.0)
    assert pace.thawing == 1
    pace.taken_up(7.0, started_at=6.5)
    assert pace.thawing == 2


def test_a_limit_that_the_server_names_is_kept_with_a_margin() -> None:
    pace = Pace()
    pace.announce(100)
    pace.start(0.0)
    assert pace.ready_at() == pytest.approx(60 / 95)


def test_tokens_a_minute_are_reserved_and_put_right() -> None:
    bucket = TokenBucket(6000)
    bucket.take(0.0, 4000)
    assert bucket.ready_at(0.0, 4000) == pytest.approx(20.0)
    bucket.correct(0.0, 4000, 1000)
    assert bucket.ready_at(0.0, 4000) <= 0.0


def test_a_call_larger_than_a_minutes_tokens_waits_for_a_full_bucket_and_then_starts() -> None:
    bucket = TokenBucket(1000)
    assert bucket.ready_at(0.0, 5000) <= 0.0
    bucket.take(0.0, 5000)
    assert bucket.ready_at(0.0, 5000) == pytest.approx(300.0)


def test_tokens_a_minute_bound_what_is_used_in_any_long_stretch() -> None:
    log = simulate([(one_gate(concurrency=64, tokens_per_minute=60_000), Allows(seconds=5))], 1800)
    assert log.ok() * 1000 <= 60_000 * 31
    assert log.ok() * 1000 > 60_000 * 27
