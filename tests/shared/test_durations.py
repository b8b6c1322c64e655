"""Durations in words."""

import pytest

from shared.durations import duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(5, "5 s"), (75, "1 min 15 s"), (7260, "2 h 01 min"), (400_000, "4.6 days")],
)
def test_durations_are_told_as_people_do(seconds: float, text: str) -> None:
    assert duration(seconds) == text
