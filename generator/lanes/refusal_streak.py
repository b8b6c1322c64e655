"""Whether a lane's refusals are its samples' fault or its own: until it has answered once, nobody
knows. Pure.

A `max_tokens` above the ceiling, a field that the server does not know, a model that the account
may not use: every request gets the same refusal, and no sample is to blame. What is refused before
the first answer therefore waits. An answer settles it: those refusals were the samples' own.
`SAMPLES` of them refused in the same words, with no call left that may still be answered, settle it
the other way: the lane stops. A refusal that names a setting needs no number.
"""

import re

SAMPLES = 6  # fewer may well be bad by themselves
# request ids, counts of tokens, what a refusal quotes
_VARIABLE = re.compile(r"""(["'`]).*?\1|\S*\d\S*""")


class Trial:
    """One lane's, over a run."""

    def __init__(self) -> None:
        self.proven = False  # the lane has answered
        self.lost = False
        self._refused: dict[str, set[str]] = {}  # by words: ids of samples

    @property
    def undecided(self) -> bool:
        """Whether nobody knows yet."""
        return not (self.proven or self.lost)

    @property
    def suspect(self) -> bool:
        """Whether so many samples were refused in the same words that no more are to be tried
        for now.
        """
        return self.undecided and any(len(samples) >= SAMPLES for samples in self._refused.values())

    def answered(self) -> None:
        """The lane gave an answer: its refusals were its samples' fault."""
        self.proven = True
        self.lost = False
        self._refused.clear()

    def refuse(self, message: str, sample_id: str) -> None:
        """A sample was refused in these words."""
        if not self.proven:
            words = _VARIABLE.sub("#", message)
            self._refused.setdefault(words, set()).add(sample_id)

    def lose(self) -> None:
        """The refusals were the lane's own fault."""
        self.lost = True
