"""Every statistic against scipy, an enumeration or a simulation."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from evaluation.stats.paired import (
    detectable_difference,
    mcnemar_exact,
    paired_bootstrap,
    pass_at_k,
    wilson,
)

counts = st.integers(0, 400)


@given(counts, counts)
def test_mcnemars_exact_p_is_scipys_two_sided_binomial_test(fixed: int, broken: int) -> None:
    reference = stats.binomtest(fixed, fixed + broken, 0.5).pvalue if fixed + broken else 1.0
    assert mcnemar_exact(fixed, broken) == pytest.approx(min(1.0, reference), rel=1e-9)


@pytest.mark.slow
def test_mcnemar_knows_thousands_of_discordant_pairs() -> None:
    assert mcnemar_exact(5_000, 5_200) == pytest.approx(
        stats.binomtest(5_000, 10_200, 0.5).pvalue, rel=1e-9
    )


@given(st.integers(1, 2_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_wilson_interval_is_scipys(case: tuple[int, int]) -> None:
    correct, n = case
    reference = stats.binomtest(correct, n).proportion_ci(0.95, "wilson")
    assert wilson(correct, n) == pytest.approx((reference.low, reference.high), abs=1e-9)


def test_without_problems_nothing_is_known_about_the_share() -> None:
    assert wilson(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize(("fixed", "broken", "same"), [(30, 10, 60), (12, 0, 88), (200, 150, 969)])
def test_the_paired_bootstrap_gives_scipys_percentile_interval(
    fixed: int, broken: int, same: int
) -> None:
    differences = [1.0] * fixed + [-1.0] * broken + [0.0] * same
    scipys = stats.bootstrap(
        (np.array(differences),),
        np.mean,
        n_resamples=10_000,
        method="percentile",
        rng=np.random.default_rng(1),
    ).confidence_interval
    # Means lie on a grid this coarse, and a quantile may fall on the next point of it.
    one_problem = 1 / len(differences)
    assert paired_bootstrap(differences) == pytest.approx(
        (scipys.low, scipys.high), abs=1.01 * one_problem
    )


def test_the_paired_bootstrap_covers_the_true_difference_nineteen_times_in_twenty() -> None:
    draws = np.random.default_rng(2)
    truth = 0.10
    covering_count = 0
    for _ in range(400):
        differences = draws.choice([1.0, -1.0, 0.0], size=200, p=[0.2, 0.1, 0.7])
        low, high = paired_bootstrap(differences.tolist(), resamples=1_000)
        if low <= truth <= high:
            covering_count += 1
    assert 0.91 <= covering_count / 400 <= 0.98


def test_the_interval_is_the_same_at_every_run() -> None:
    differences = [1.0] * 9 + [0.0] * 50 + [-0.5] * 3
    assert paired_bootstrap(differences) == paired_bootstrap(differences)


@pytest.mark.parametrize(("n", "discordant"), [(100, 0.3), (500, 0.2), (1319, 0.25)])
def test_the_detectable_difference_is_found_by_mcnemars_test_four_times_in_five(
    n: int, discordant: float
) -> None:
    d = detectable_difference(n, discordant)
    draws = np.random.default_rng(3)
    shares = [(discordant + d) / 2, (discordant - d) / 2, 1 - discordant]
    significant_count = sum(
        mcnemar_exact(int(f), int(b)) < 0.05 for f, b, _ in draws.multinomial(n, shares, size=1_000)
    )
    # Connor's formula is for the test without its exactness, which costs a little.
    assert 0.72 <= significant_count / 1_000 <= 0.86


def test_where_even_one_sided_flips_would_be_missed_no_difference_is_detectable() -> None:
    assert detectable_difference(20, 0.1) == 1.0
    assert detectable_difference(0, 0.5) == 1.0


@pytest.mark.parametrize("correct", range(6))
@pytest.mark.parametrize("k", range(1, 6))
def test_pass_at_k_is_the_share_of_all_choices_with_a_right_answer_in_it(
    correct: int, k: int
) -> None:
    answers = [True] * correct + [False] * (5 - correct)
    choices = list(itertools.combinations(answers, k))
    assert pass_at_k(5, correct, k) == pytest.approx(sum(map(any, choices)) / len(choices))


def test_the_tutorials_twelve_points_on_a_hundred_are_significant_only_where_few_answers_flip() -> (
    None
):
    assert mcnemar_exact(22, 10) == pytest.approx(0.0501, abs=1e-4)  # 32 flips: the border
    assert mcnemar_exact(21, 9) < 0.05
    assert mcnemar_exact(31, 19) > 0.05
