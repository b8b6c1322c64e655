"""Sampling until correct: calls against the optimum, none after the last correct one, problems
left in time.
"""

import random
from dataclasses import dataclass

import pytest

from generator.sample_policy import Rule, asks_longer, chance_of_reaching, next_samples


@dataclass(frozen=True)
class Sample:
    sample: int
    verdict: str
    finished_at: str = "2026-01-01T00:00:00Z"


def play(rule: Rule, success: float, draw: random.Random) -> list[Sample]:
    """One problem asked until the rule asks no more, by a teacher that is right with
    probability `success`.
    """
    finished_samples: list[Sample] = []
    while numbers := next_samples(rule, finished_samples):
        finished_samples += [
            Sample(number, "correct" if draw.random() < success else "incorrect")
            for number in numbers
        ]
    return finished_samples


@pytest.mark.slow
def test_until_one_correct_of_eight_spends_what_the_optimum_spends_and_nothing_after_a_correct_one() -> (
    None
):
    rule = Rule(until_correct=1, max_samples=8)
    draw = random.Random(4)
    rates = [draw.random() for _ in range(20_000)]
    plays = [play(rule, rate, draw) for rate in rates]
    # The best that the rule allows asks one by one until the first correct one: 1 + (1 - p) + … +
    # (1 - p)^7 calls.
    optimum = sum(sum((1 - rate) ** n for n in range(8)) for rate in rates)
    num_samples = sum(len(samples) for samples in plays)
    assert abs(num_samples / optimum - 1) < 0.05
    assert all(sample.verdict != "correct" for samples in plays for sample in samples[:-1])


@pytest.mark.parametrize("wanted", [2, 3, 4])
def test_no_more_correct_ones_are_bought_than_wanted(wanted: int) -> None:
    rule = Rule(until_correct=wanted, max_samples=12)
    draw = random.Random(wanted)
    for _ in range(2000):
        samples = play(rule, draw.random(), draw)
        assert sum(sample.verdict == "correct" for sample in samples) <= wanted
        assert len(samples) <= 12


def test_a_problem_is_left_once_it_is_hopeless_and_not_before() -> None:
    wrong = [Sample(n, "incorrect") for n in range(60)]
    rule = Rule(until_correct=2, max_samples=64, hopeless=0.05)
    assert next_samples(rule, wrong[:10])
    assert not next_samples(rule, wrong)
    assert next_samples(Rule(until_correct=2, max_samples=64, hopeless=0.0), wrong)
    impossible = Rule(until_correct=4, max_samples=8)
    assert not next_samples(impossible, wrong[:5]), (
        "three samples left cannot bring four correct ones"
    )


def test_the_chance_agrees_with_a_simulation() -> None:
    draw = random.Random(1)
    hits = [0, 0]
    while hits[1] < 4000:
        rate = draw.random()
        if sum(draw.random() < rate for _ in range(5)) == 1:  # one of five was correct
            num_right = sum(draw.random() < rate for _ in range(3))
            if num_right >= 2:
                hits[0] += 1
            hits[1] += 1
    assert chance_of_reaching(2, 3, 1, 4) == pytest.approx(hits[0] / hits[1], abs=0.03)
    assert chance_of_reaching(1, 4, 0, 0) == pytest.approx(4 / 5)


def test_a_truncated_sample_is_asked_once_more_with_the_larger_budget() -> None:
    rule = Rule(samples=2, longer=True)
    cut = [Sample(0, "truncated"), Sample(1, "correct")]
    assert next_samples(rule, cut) == [2]
    assert asks_longer(rule, cut)
    assert next_samples(rule, [*cut, Sample(2, "truncated")]) == []
    assert next_samples(Rule(samples=2), cut) == []
    assert not asks_longer(rule, [Sample(0, "incorrect")])


def test_a_problem_that_was_never_asked_is_not_hopeless_however_many_are_wanted() -> None:
    assert next_samples(Rule(until_correct=30, max_samples=30), []) == list(range(30))
