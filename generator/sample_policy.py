"""Which samples of which problem to ask next. Pure: what is finished goes in, what to ask comes
out.

A problem is hopeless when its samples so far say that `until_correct` will hardly be reached: with
a Beta(1, 1) prior on its pass rate, the number of correct ones among m further samples is
beta-binomial.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, lgamma

from shared.records import Problem


@dataclass(frozen=True, slots=True)
class Finished:
    """One finished sample of a problem, as the ledger knows it."""

    sample: int
    verdict: str
    finished_at: str  # UTC, ISO 8601


@dataclass(frozen=True, slots=True)
class Ask:
    """One sample to ask."""

    problem: Problem
    sample: int
    longer: bool = False  # with the larger budget: an earlier sample was cut by its own
    # what lines of batches have taken already that brought no whole answer
    attempts: int = 0
    cost_usd: float = 0.0


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
    # the first truncated sample is asked once more with a larger budget, as a new sample
    longer: bool = False

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
    counted_samples = [
        sample
        for sample in finished
        if sample.verdict not in rule.retry or sample.finished_at >= rule.retry_before
    ]
    # Asked once more with a larger budget, a truncated sample takes no other one's place.
    replacements = 1 if asks_longer(rule, counted_samples) else 0
    used_count = len(counted_samples) - replacements
    if rule.until_correct:
        count = _until_correct(rule, counted_samples, used_count)
    else:
        count = rule.samples - used_count
    first_number = 1 + max((sample.sample for sample in finished), default=-1)
    return list(range(first_number, first_number + max(0, count)))


def _until_correct(rule: Rule, counted_samples: Sequence[Finished], used_count: int) -> int:
    """How many more to ask now; none where the problem is hopeless."""
    most_samples = rule.max_samples - used_count
    correct = sum(1 for sample in counted_samples if sample.verdict == "correct")
    missing = rule.until_correct - correct
    wrong = used_count - correct
    # Of a problem that was never asked, the prior alone says nothing.
    if missing > 0 and counted_samples:
        chance = chance_of_reaching(missing, most_samples, correct, wrong)
        if chance < rule.hopeless:
            return 0
    return min(missing, most_samples)


def asks_longer(rule: Rule, finished: Sequence[Finished]) -> bool:
    """Whether the next samples of this problem get the larger budget: one of its samples was
    truncated.
    """
    return rule.longer and any(sample.verdict == "truncated" for sample in finished)


def chance_of_reaching(missing: int, samples: int, correct: int, wrong: int) -> float:
    """P(at least `missing` of `samples` further samples are correct | `correct` and `wrong` so
    far), prior Beta(1, 1).
    """
    a = 1 + correct
    b = 1 + wrong
    return sum(
        exp(_log_choose(samples, k) + _log_beta(a + k, b + samples - k) - _log_beta(a, b))
        for k in range(missing, samples + 1)
    )


def _log_choose(n: int, k: int) -> float:
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)


def _log_beta(a: float, b: float) -> float:
    return lgamma(a) + lgamma(b) - lgamma(a + b)
