"""Presets are valid lanes, dated, and give way to whatever the user writes."""

from datetime import UTC, date, datetime

import pytest

from generator.config import LaneConfig
from generator.lanes.windows import Windows
from generator.presets import PRESETS


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_a_valid_lane_with_a_date(name: str) -> None:
    lane = LaneConfig.model_validate({"name": "x", "preset": name})
    assert lane.base_url.endswith("/v1")
    assert lane.model
    assert date.fromisoformat(PRESETS[name].checked) <= datetime.now(UTC).date()
    Windows(lane.windows, lane.day_timezone, lane.holidays)


def test_a_key_of_the_users_wins_over_the_preset() -> None:
    lane = LaneConfig.model_validate({"name": "x", "preset": "modelscope", "calls_per_day": 200})
    assert (lane.calls_per_day, lane.day_timezone) == (200, "Asia/Shanghai")


def test_a_limit_in_dollars_is_refused_where_no_price_can_hold_it() -> None:
    with pytest.raises(ValueError, match="without prices"):
        LaneConfig.model_validate({"name": "x", "preset": "siliconflow", "usd_per_day": 1.0})
    LaneConfig.model_validate({"name": "x", "preset": "deepseek", "usd_per_day": 1.0})


def test_an_unknown_preset_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="there are modelscope, deepseek"):
        LaneConfig.model_validate({"name": "x", "preset": "deepsek"})


@pytest.mark.parametrize(
    ("when", "is_open"),
    [
        ("2026-11-24T10:00+08:00", False),  # a Tuesday morning
        ("2026-11-24T13:00+08:00", True),
        ("2026-11-24T15:00+08:00", False),
        ("2026-11-24T19:00+08:00", True),
        ("2026-11-25T03:00+08:00", True),
        ("2026-11-28T10:00+08:00", True),  # a Saturday
        ("2026-10-05T10:00+08:00", True),  # a Monday, but National Day's week
    ],
)
def test_off_peak_is_nights_middays_weekends_and_holidays(when: str, is_open: bool) -> None:
    lane = LaneConfig.model_validate({"name": "x", "preset": "deepseek-off-peak"})
    windows = Windows(lane.windows, lane.day_timezone, lane.holidays)
    assert (windows.open_until(datetime.fromisoformat(when).timestamp()) is not None) is is_open
