"""The benchmark of growth: it measures, it draws, and it says which promise is broken."""

from pathlib import Path

from benchmarks.growth import __main__ as growth
from benchmarks.growth import costs


def test_a_row_costs_something_in_the_ledger_and_in_the_shard(tmp_path: Path) -> None:
    point = costs.storing(tmp_path, 300)
    assert 0 < point["ledger_microseconds"] < 10_000
    assert 0 < point["shard_microseconds"] < 10_000


def test_a_broken_promise_is_named_with_its_size() -> None:
    slow = {"wall_seconds": 5.1, "megabytes": 100.0}
    large = {"wall_seconds": 1.0, "megabytes": 201.0}
    good = {"wall_seconds": 1.0, "megabytes": 100.0}
    points = {
        "starting": {10: good, 1000: slow, 10_000: large},
        "settling": {1_000_000: {"bytes_a_problem": 90.0}, 10_000_000: {"bytes_a_problem": 79.0}},
    }
    assert growth.faults(points) == [
        "1,000 finished samples resume in 5.1 s",
        "10,000 finished samples take 201 MB",
        "settling 1,000,000 takes 90 bytes each",
    ]


def test_every_size_is_a_row_of_the_page_and_a_point_of_the_picture() -> None:
    points = {"screening": {10: {"cpu_seconds": 1.0}, 1000: {"cpu_seconds": 12.5}}}
    assert "| 1,000 | 12.5 |" in growth.page(points)
    picture = growth.picture(points)
    assert picture.count("<circle") == 2
    assert "1,000" in picture
