"""`--quick`: stop asking when the answer is clear.

The error rates hold although one looks again and again.

Only discordant pairs count: a problem that the tuned model fixed, or one that it broke. Two
sequential probability ratio tests (Wald, 1945) run side by side, "fixed is twice as frequent as
broken" and the reverse, each against "equally frequent". By Ville's inequality a likelihood ratio
that starts at 1 ever reaches 1/ε with probability at most ε, whenever one looks:

    a difference is claimed where there is none        with probability at most ALPHA
    "alike" is said where the ratio is ODDS or more    with probability at most BETA
"""

import math
from typing import Literal

ALPHA = 0.05  # both directions together
BETA = 0.10
ODDS = 2.0  # the gain that must not be missed: so many fixed for one broken

Decision = Literal["better", "worse", "alike", "undecided"]

_P = ODDS / (ODDS + 1)
# What one discordant pair adds to the log likelihood ratio of a hypothesis, for or against it.
_FOR = math.log(_P / 0.5)
_AGAINST = math.log((1 - _P) / 0.5)
# The bounds of that ratio: twice 1/ALPHA, since two hypotheses are tested side by side.
_CLAIM = math.log(2 / ALPHA)
_REFUSE = math.log(BETA)


def decide(fixed: int, broken: int) -> Decision:
    """What so many fixed and broken problems say, at any look."""
    better = fixed * _FOR + broken * _AGAINST  # log likelihood ratios
    worse = broken * _FOR + fixed * _AGAINST
    if better >= _CLAIM:
        return "better"
    if worse >= _CLAIM:
        return "worse"
    return "alike" if max(better, worse) <= _REFUSE else "undecided"
