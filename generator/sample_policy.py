"""Which samples of which problem to ask next. Pure: what is finished goes in, what to ask comes
out.

A problem is hopeless when its samples so far say that `until_correct` will hardly be reached: with
a Beta(1, 1) prior on its pass rate, the number of correct ones among m further samples is
beta-binomial.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, lgamma
from typing import Protocol


class Finished(Protocol):
    """A finished sample, as the ledger knows it."""

    @property
    def sample(self) -> int: ...
    @property
    def verdict(self) -> str: ...
    @property
    def finished_at(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Rule:
    """How many samples a problem gets. Those with a verdict in `retry` from before
    `retry_before` do not count.
    """

    samples: int = 1
    until_correct: int = 0
    max_samples: int = 4
    retry: frozenset[str] = frozenset()
    retry_before: str = ""  # UTC, ISO 8601
    hopeless: float = 0.05  # chance of still reaching until_correct below which a problem is left
    longer: bool = (
        False  # the first truncated sample is asked once more with a larger budget, as a new sample
    )

    @property
    def waits_for_verdicts(self) -> bool:
        """Whether a problem may need another sample once its verdicts are known."""
        return self.until_correct > 0 or self.longer


def next_samples(rule: Rule, finished: Sequence[Finished]) -> list[int]:
    """The sample numbers to ask now of a problem with these finished samples; none: nothing to do
    for it now.

    A number is never used twice: new ones follow the highest finished. Under `until_correct` no
    more are asked at once than are still missing, so none is spent after the last correct one.
    """
    counted = [
        one
        for one in finished
        if not (one.verdict in rule.retry and one.finished_at < rule.retry_before)
    ]
    free = int(
        rule.longer and any(one.verdict == "truncated" for one in counted)
    )  # its second try replaces it
    left = (rule.max_samples if rule.until_correct else rule.samples) - (len(counted) - free)
    if rule.until_correct:
        correct = sum(one.verdict == "correct" for one in counted)
        missing = rule.until_correct - correct
        wrong = len(counted) - free - correct
        known = (
            missing > 0 and counted
        )  # of a problem that was never asked, the prior alone says nothing
        if known and chance_of_reaching(missing, left, correct, wrong) < rule.hopeless:
            return []
        left = min(missing, left)
    first = 1 + max((one.sample for one in finished), default=-1)
    return list(range(first, first + max(0, left)))


def asks_longer(rule: Rule, finished: Sequence[Finished]) -> bool:
    """Whether the next samples of this problem get the larger budget: one of its samples was
    truncated.
    """
    return rule.longer and any(one.verdict == "truncated" for one in finished)


def chance_of_reaching(missing: int, left: int, correct: int, wrong: int) -> float:
    """P(at least `missing` of `left` further samples are correct | `correct` and `wrong` so
    far), prior Beta(1, 1).
    """
    a, b = 1 + correct, 1 + wrong
    return sum(
        exp(_log_choose(left, k) + _log_beta(a + k, b + left - k) - _log_beta(a, b))
        for k in range(missing, left + 1)
    )


def _log_choose(n: int, k: int) -> float:
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)


def _log_beta(a: float, b: float) -> float:
    return lgamma(a) + lgamma(b) - lgamma(a + b)
