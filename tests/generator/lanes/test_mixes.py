"""Live, off-peak and batch lanes compared, and which mix meets a date or a budget."""

from math import inf

import pytest

from generator.lanes.mixes import (
    Offer,
    as_fast_as_possible,
    cheapest,
    compared,
    fastest_within,
)

LIVE = Offer("live", "live", samples_per_day=1000, usd=0.02)
NIGHT = Offer("night", "off-peak", samples_per_day=400, usd=0.01)
FILES = Offer("files", "batch", 4000, 0.01, window_days=1.0, window_samples=4000)


def test_each_kind_stands_by_itself_and_all_together() -> None:
    mixes = {mix.name: mix for mix in compared([LIVE, NIGHT, FILES], 2000)}
    assert set(mixes) == {"live only", "off-peak only", "batch only", "all lanes"}
    assert mixes["live only"].days == pytest.approx(2.0, abs=0.01)
    assert mixes["live only"].usd == pytest.approx(40.0, abs=0.05)
    assert mixes["off-peak only"].days == pytest.approx(5.0, abs=0.01)
    assert mixes["batch only"].usd == pytest.approx(20.0, abs=0.05)


def test_nothing_of_a_batch_is_there_before_its_window_has_ended() -> None:
    mix = as_fast_as_possible([FILES], 10, "files")
    assert mix.days == pytest.approx(1.0, abs=0.001)
    assert as_fast_as_possible([FILES], 4001, "files").days == pytest.approx(2.0, abs=0.001)


def test_the_cheapest_mix_for_a_date_takes_batches_where_their_window_fits() -> None:
    tomorrow = cheapest([LIVE, FILES], 4500, 1.0, "by then")
    assert tomorrow.samples == {"files": 4000, "live": 500}
    assert tomorrow.usd == pytest.approx(4000 * 0.01 + 500 * 0.02)
    tonight = cheapest([LIVE, FILES], 4500, 0.5, "by then")
    assert tonight.samples == {"live": 500}
    assert tonight.left_over == 4000


def test_the_fastest_mix_for_a_sum_pays_for_live_calls_only_what_it_can() -> None:
    mix = fastest_within([LIVE, NIGHT], 1000, 15.0, "for $15")
    assert mix.usd <= 15.0 + 1e-6
    assert mix.samples["night"] == pytest.approx(500, abs=2)
    assert mix.days == pytest.approx(500 / 400, abs=0.01)


def test_a_sum_that_does_not_reach_says_how_many_samples_it_makes() -> None:
    mix = fastest_within([LIVE, NIGHT], 1000, 4.0, "for $4")
    assert mix.samples == {"night": pytest.approx(400, abs=1)}
    assert mix.left_over == 600
    assert as_fast_as_possible([], 10, "none").days == inf
