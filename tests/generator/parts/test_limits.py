"""What each part gets of an account's limits: all together never more than the account has."""

import pytest

from generator.config import BudgetConfig, GeneratorConfig, LaneConfig, ProblemsConfig
from generator.parts.limits import Share, most_at_once
from generator.parts.part import Part
from shared.errors import InputError

LANE = {
    "name": "teacher",
    "base_url": "http://127.0.0.1:9/v1",
    "model": "m",
    "price_out": 1.0,
    "concurrency": 10,
    "requests_per_minute": 7,
}


def configuration(budget: BudgetConfig | None = None, **lane: object) -> GeneratorConfig:
    return GeneratorConfig(
        corpus="c",
        problems=ProblemsConfig(source="synthetic:arithmetic"),
        lane=(LaneConfig.model_validate({**LANE, **lane}),),
        budget=budget or BudgetConfig(),
    )


def shares(config: GeneratorConfig, parts: int, at_once: int) -> list[GeneratorConfig]:
    return [Share(Part(number, parts), at_once).of(config) for number in range(parts)]


@pytest.mark.parametrize(("parts", "at_once"), [(1, 1), (3, 2), (4, 2), (40, 5)])
def test_all_parts_of_a_day_use_up_what_it_allows_and_no_more(parts: int, at_once: int) -> None:
    config = configuration(BudgetConfig(calls_per_day=41, usd_total=9.0), calls_per_day=40)
    part_configs = shares(config, parts, at_once)
    assert sum(each.lane[0].calls_per_day for each in part_configs) == 40
    assert sum(each.budget.calls_per_day for each in part_configs) == 41
    assert sum(each.budget.usd_total for each in part_configs) == pytest.approx(9.0)
    for each in part_configs:
        assert each.lane[0].concurrency * at_once <= 10
        assert each.lane[0].requests_per_minute * at_once <= 7
        assert each.lane[0].concurrency > 0


def test_parts_at_once_are_no_more_than_can_have_one_call_each() -> None:
    assert most_at_once(configuration()) == 7
    assert most_at_once(configuration(requests_per_minute=0, concurrency=0)) is None


def test_an_unlimited_lane_stays_unlimited() -> None:
    (lane,) = shares(configuration(concurrency=0, requests_per_minute=0), 5, 5)[0].lane
    assert (lane.concurrency, lane.requests_per_minute, lane.calls_per_day) == (0, 0, 0)


def test_fewer_calls_a_day_than_parts_are_refused_with_the_remedy() -> None:
    with pytest.raises(
        InputError, match=r"calls_per_day = 3 cannot be divided among 4 parts.*shared"
    ):
        Share(Part(0, 4), 1).of(configuration(calls_per_day=3))


def test_one_allowance_for_all_is_not_divided() -> None:
    config = configuration(BudgetConfig(shared="quota", calls_per_day=9), calls_per_day=3)
    for each in shares(config, 4, 2):
        assert (each.lane[0].calls_per_day, each.budget.calls_per_day) == (3, 9)
        assert each.lane[0].concurrency == 5
