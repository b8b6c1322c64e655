"""Durations in words."""

import pytest

from shared.durations import duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (5, "5 s"),
        (59, "59 s"),
        (75, "1 min 15 s"),
        (3600, "1 h 00 min"),
        (18_720, "5 h 12 min"),
        (86_400 * 3, "3.0 days"),
    ],
)
def test_durations_are_told_as_people_do(seconds: float, text: str) -> None:
    assert duration(seconds) == text
