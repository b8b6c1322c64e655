"""The statistics of a paired comparison. Pure functions of counts and numbers, each with its
source.

Paired, because both models answer the same problems: only the problems where they differ carry
information.
"""

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

CONFIDENCE = 0.95  # of every interval
ALPHA = 0.05
POWER = 0.8

_NORMAL = NormalDist()


def wilson(correct: float, n: int) -> tuple[float, float]:
    """Interval for a share `correct / n` (Wilson, 1927).

    Sound near 0 and 1 and for small n, where p ± z·se is not.
    """
    if n == 0:
        return 0.0, 1.0
    z = _NORMAL.inv_cdf(0.5 + CONFIDENCE / 2)
    p = correct / n
    centre = p + z * z / (2 * n)
    spread = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    # Rounding must not leave a bound just inside the share that it holds for certain.
    low = 0.0 if correct == 0 else max(0.0, (centre - spread) / scale)
    high = 1.0 if correct == n else min(1.0, (centre + spread) / scale)
    return low, high


def mcnemar_exact(fixed: int, broken: int) -> float:
    """Two-sided p that fixed and broken differ so much by chance (McNemar, 1947; exact).

    By chance each discordant pair is a fair coin.
    """
    n = fixed + broken
    fewer = min(fixed, broken)
    tail = sum(math.comb(n, k) for k in range(fewer + 1))
    return min(1.0, 2 * tail / (1 << n))


def paired_bootstrap(differences: Sequence[float], resamples: int = 10_000) -> tuple[float, float]:
    """Percentile interval for the mean of per-problem differences (Efron, 1979).

    Problems are resampled with replacement. Resampling n problems and counting how often each value
    occurs is one multinomial draw: the same cost for any n.
    """
    if not differences:
        return 0.0, 0.0
    values, counts = np.unique(np.asarray(differences, dtype=float), return_counts=True)
    n = len(differences)
    draws = np.random.default_rng(0).multinomial(n, counts / n, size=resamples)
    means = draws @ values / n
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def detectable_difference(n: int, discordant_share: float) -> float:
    """The smallest true difference in accuracy that n pairs show at `ALPHA` with `POWER`.

    `discordant_share` of the pairs is expected to differ.

    Solves Connor (1987), n·d² = (z_{1-α/2}·√ψ + z_{power}·√(ψ - d²))², for d; ψ is the share of
    discordant pairs. At ψ itself every discordant pair points one way: where even that would be
    missed, the answer is above ψ, and 1 is given.
    """
    if n == 0 or discordant_share <= 0:
        return 1.0
    z_alpha = _NORMAL.inv_cdf(1 - ALPHA / 2)
    z_power = _NORMAL.inv_cdf(POWER)

    def required_pairs(d: float) -> float:
        deviation_by_chance = math.sqrt(discordant_share)
        deviation_at_d = math.sqrt(max(0.0, discordant_share - d * d))
        return ((z_alpha * deviation_by_chance + z_power * deviation_at_d) / d) ** 2

    low = 1e-9
    high = discordant_share
    if required_pairs(high) > n:
        return 1.0
    for _ in range(100):  # bisection: fewer pairs are required the larger d is
        middle = (low + high) / 2
        if required_pairs(middle) <= n:
            high = middle
        else:
            low = middle
    return high


def pass_at_k(n: int, correct: int, k: int) -> float:
    """Chance that at least one of k answers drawn from n is right (Chen et al., 2021).

    `correct` of the n are right. Errors: `ValueError` for k outside 1 to n.
    """
    if not 1 <= k <= n:
        raise ValueError(f"pass@{k} of {n} samples")
    return 1.0 if n - correct < k else 1.0 - math.comb(n - correct, k) / math.comb(n, k)
