"""The pace a minute that is kept between two trials, and what calls met at it. Pure: the time
is a parameter.
"""

from math import inf

LEARNT_SHARE = 0.95  # of the starts that went well in the minute before a 429


class KeptPace:
    """`per_minute`: starts; 0: no limit is known.

    `calls`, `refusals`: taken up, and refused by 429, since the pace was changed or a trial of it
    began.
    """

    def __init__(self) -> None:
        self.per_minute = 0.0
        self.changed_at = -inf
        self.in_effect_since = -inf  # after the pause that a change begins with
        self.calls = 0
        self.refusals = 0

    def change(self, now: float, per_minute: float) -> None:
        """From now on this pace is kept."""
        self.per_minute = per_minute
        self.changed_at = now
        self.count_anew()

    def count_anew(self) -> None:
        """What calls met so far says nothing about what follows."""
        self.calls = 0
        self.refusals = 0
