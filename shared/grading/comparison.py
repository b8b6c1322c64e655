"""One comparison of a gold with an answer: what the readings share."""

from collections.abc import Callable

from shared.grading.normalise import squash, without_text
from shared.grading.outcome import NeedsWorker, Outcome, Undecidable

MAX_DEPTH = 6

# (gold, answer, problem), gold and answer cleaned. Raises `Undecidable` where it cannot tell.
Symbolic = Callable[[str, str, str], Outcome]

# (comparison, gold, answer) -> equal, not equal, or None: not for this reading.
Reading = Callable[["Comparison", str, str], bool | None]


class Comparison:
    """The problem that a gold and an answer belong to, how they are read, and what `symbolic`
    said last.
    """

    def __init__(
        self,
        problem: str,
        symbolic: Symbolic | None,
        readings: tuple[Reading, ...],
    ) -> None:
        self.problem = problem
        self.symbolic = symbolic
        self.readings = readings
        self.opinion: Outcome | None = None
        self._depth = 0  # of readings that compare parts with `equal`, which reads them in turn

    def equal(self, gold: str, answer: str) -> bool:
        """Whether two cleaned texts say the same. Errors: `NeedsWorker`, `Undecidable`."""
        if squash(without_text(gold)) == squash(without_text(answer)):
            return True
        if self._depth > MAX_DEPTH:
            raise Undecidable("nested too deep to compare")
        self._depth += 1
        try:
            for reading in self.readings:
                is_equal = reading(self, gold, answer)
                if is_equal is not None:
                    return is_equal
            return self.ask(gold, answer)
        finally:
            self._depth -= 1

    def ask(self, gold: str, answer: str) -> bool:
        """What `symbolic` says of two expressions. Errors: `NeedsWorker`, `Undecidable`."""
        if self.symbolic is None:
            raise NeedsWorker
        self.opinion = self.symbolic(gold, answer, self.problem)
        return self.opinion.equal
