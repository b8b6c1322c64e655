"""What a comparison can come to."""

from dataclasses import dataclass

from shared.records import CheckedBy


class NeedsWorker(Exception):
    """Not decided by the fast path: a worker process has to go on."""


class Undecidable(Exception):
    """Nothing here can tell whether the two are equal. The message says why."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """`how` says in a few words how it was found."""

    equal: bool
    how: str
    checked_by: CheckedBy
