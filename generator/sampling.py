"""Which samples of which problem to ask next. Pure: what is finished goes in, what to ask comes out."""

from collections.abc import Sequence
from dataclasses import dataclass
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
    """How many samples a problem gets. Those with a verdict in `retry` from before `retry_before` do not count."""

    samples: int = 1
    until_correct: int = 0
    max_samples: int = 4
    retry: frozenset[str] = frozenset()
    retry_before: str = ""  # UTC, ISO 8601

    @property
    def waits_for_verdicts(self) -> bool:
        """Whether a problem may need another sample once its verdicts are known."""
        return self.until_correct > 0


def next_samples(rule: Rule, finished: Sequence[Finished]) -> list[int]:
    """The sample numbers to ask now of a problem with these finished samples; none: nothing to do for it now.

    A number is never used twice: new ones follow the highest finished.
    """
    counted = [one for one in finished if not (one.verdict in rule.retry and one.finished_at < rule.retry_before)]
    if rule.until_correct:
        correct = sum(one.verdict == "correct" for one in counted)
        missing = min(rule.until_correct - correct, rule.max_samples - len(counted))
    else:
        missing = rule.samples - len(counted)
    first = 1 + max((one.sample for one in finished), default=-1)
    return list(range(first, first + max(0, missing)))
