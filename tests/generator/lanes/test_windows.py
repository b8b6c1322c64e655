"""Weekday and hour ranges, time zones, holidays, clock changes."""

from datetime import datetime
from math import inf
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generator.lanes.windows import Windows


def at(text: str, zone: str = "UTC") -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


NIGHT = Windows(["mon-fri 00:30-08:30 Asia/Shanghai"])
SHANGHAI = "Asia/Shanghai"


def test_no_range_is_always_open() -> None:
    assert Windows([]).open_until(0.0) == inf
    assert Windows([]).opens_at(0.0) is None


def test_a_range_opens_and_closes_by_the_clock_of_its_zone() -> None:
    wednesday = "2026-11-25"
    assert NIGHT.open_until(at(f"{wednesday}T00:29", SHANGHAI)) is None
    assert NIGHT.open_until(at(f"{wednesday}T00:30", SHANGHAI)) == at(
        f"{wednesday}T08:30", SHANGHAI
    )
    assert NIGHT.open_until(at(f"{wednesday}T08:30", SHANGHAI)) is None
    assert NIGHT.opens_at(at(f"{wednesday}T08:30", SHANGHAI)) == at("2026-11-26T00:30", SHANGHAI)


def test_after_friday_the_next_opening_is_on_monday() -> None:
    assert NIGHT.opens_at(at("2026-11-27T12:00", SHANGHAI)) == at("2026-11-30T00:30", SHANGHAI)


def test_a_range_over_midnight_belongs_to_the_day_it_starts_on() -> None:
    windows = Windows(["fri 22:00-06:00"])
    assert windows.open_until(at("2026-11-28T05:00")) == at("2026-11-28T06:00")
    assert windows.open_until(at("2026-11-27T05:00")) is None


def test_ranges_that_touch_are_one_window() -> None:
    windows = Windows(["mon-fri 00:00-08:00", "sat-sun", "fri 20:00-24:00"])
    assert windows.open_until(at("2026-11-27T21:00")) == at("2026-11-30T08:00")
    assert windows.opened_at(at("2026-11-29T21:00")) == at("2026-11-27T20:00")


def test_a_range_without_a_zone_is_in_the_lanes_own() -> None:
    windows = Windows(["sat-sun"], SHANGHAI)
    assert windows.open_until(at("2026-11-28T00:30", SHANGHAI)) == at("2026-11-30T00:00", SHANGHAI)
    assert windows.open_until(at("2026-11-27T23:30", SHANGHAI)) is None


def test_a_holiday_counts_as_a_sunday() -> None:
    windows = Windows(["mon-fri 00:30-08:30", "sat-sun"], SHANGHAI, ["2026-10-01"])  # a Thursday
    noon = at("2026-10-01T12:00", SHANGHAI)
    assert windows.open_until(noon) == at("2026-10-02T00:00", SHANGHAI)
    assert Windows(["mon-fri 00:30-08:30"], SHANGHAI, ["2026-10-01"]).opens_at(noon) == at(
        "2026-10-02T00:30", SHANGHAI
    )


def test_a_lane_that_only_works_on_holidays_far_away_knows_no_opening() -> None:
    assert Windows(["sun 10:00-11:00"]).opens_at(at("2026-11-23T00:00")) == at("2026-11-29T10:00")


def test_a_range_follows_the_local_clock_over_its_changes() -> None:
    windows = Windows(["mon-sun 01:00-04:00 Europe/Berlin"])
    spring, autumn = (
        at("2026-03-29T01:00", "Europe/Berlin"),
        at("2026-10-25T01:00", "Europe/Berlin"),
    )
    assert windows.open_until(spring) == spring + 2 * 3600  # 02:00 to 03:00 does not exist
    assert windows.open_until(autumn) == autumn + 4 * 3600  # and here it comes twice


def test_hours_without_days_are_for_every_day() -> None:
    assert Windows(["12:00-13:00"]).open_until(at("2026-11-29T12:30")) == at("2026-11-29T13:00")


@pytest.mark.parametrize(
    ("spec", "remedy"),
    [
        ("mon-fri 00:30 Asia/Shanghai", "write it like"),
        ("monday 00:30-08:30", "write it like"),
        ("mon-fry 00:30-08:30", "'fry' is no day"),
        ("mon 00:30-25:00", "no time of day"),
        ("mon 00:61-08:00", "no time of day"),
        ("mon 08:00-08:00", "empty"),
        ("mon 00:30-08:30 Asia/Shangai", "no time zone"),
        ("", "write it like"),
    ],
)
def test_a_line_that_cannot_be_read_says_how_to_write_it(spec: str, remedy: str) -> None:
    with pytest.raises(ValueError, match=remedy):
        Windows([spec])


def test_a_holiday_that_is_no_date_says_how_to_write_it() -> None:
    with pytest.raises(ValueError, match="2026-10-01"):
        Windows(["sat"], "UTC", ["1st of October"])


@given(
    st.floats(1.7e9, 1.9e9),
    st.sampled_from(["mon-fri 22:00-03:00", "sat", "sun,wed 10:15-11:45", "fri-mon"]),
)
def test_what_opens_is_open_then_and_what_closes_is_closed_then(now: float, spec: str) -> None:
    windows = Windows([spec], "America/New_York")
    opens, closes = windows.opens_at(now), windows.open_until(now)
    assert opens is not None
    assert now < opens <= now + 8 * 86400
    assert windows.open_until(opens) is not None
    if closes is not None:
        assert closes > now
        assert windows.open_until(closes) is None
