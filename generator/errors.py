"""Errors that more than one part of the generator speaks of."""

from shared.errors import InputError


class HalfWritten(InputError):
    """A file of problems ends in the middle of its last line. Where it is followed, the rest is
    on its way.
    """


class StoreAway(Exception):
    """The place where generators share an allowance does not answer: waiting may help."""
