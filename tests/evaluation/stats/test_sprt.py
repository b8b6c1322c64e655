"""`--quick`'s error rates by simulation, looking after every problem, which is more often than
the program does.
"""

import numpy as np
import pytest

from evaluation.stats.sprt import ALPHA, BETA, ODDS, Decision, decide

_RUNS = 3_000
_LONGEST = 1_500


def decisions(odds: float, seed: int) -> dict[Decision, float]:
    """Shares of decisions over simulated runs in which `odds` problems are fixed for one that
    is broken.
    """
    draws = np.random.default_rng(seed).random((_RUNS, _LONGEST)) < odds / (odds + 1)
    shares: dict[Decision, float] = {"better": 0, "worse": 0, "alike": 0, "undecided": 0}
    for run in draws:
        num_fixed = 0
        decision: Decision = "undecided"
        for looks, is_fixed in enumerate(run, 1):
            if is_fixed:
                num_fixed += 1
            decision = decide(num_fixed, looks - num_fixed)
            if decision != "undecided":
                break
        shares[decision] += 1 / _RUNS
    return shares


def test_a_difference_where_there_is_none_is_claimed_at_most_as_often_as_stated() -> None:
    shares = decisions(1.0, 1)
    assert shares["better"] + shares["worse"] <= ALPHA + 0.01
    assert shares["alike"] >= 0.9


@pytest.mark.parametrize("odds", [ODDS, 3.0])
def test_a_gain_that_must_not_be_missed_is_missed_at_most_as_often_as_stated(odds: float) -> None:
    shares = decisions(odds, 2)
    assert shares["alike"] + shares["worse"] <= BETA + 0.015
    assert shares["better"] >= 0.88


def test_better_and_worse_mirror_each_other() -> None:
    assert decide(40, 5) == "better"
    assert decide(5, 40) == "worse"
    assert decide(150, 150) == "alike"
    assert decide(3, 1) == "undecided"
