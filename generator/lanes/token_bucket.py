"""Tokens a minute. Pure: the time is a parameter."""

from math import inf


class TokenBucket:
    """Tokens are reserved from an estimate when a call starts, put right when it ends. A
    `per_minute` of 0 is no limit.
    """

    def __init__(self, per_minute: int = 0) -> None:
        self.per_minute = per_minute
        self._level = float(per_minute)
        self._filled_at = -inf

    def ready_at(self, now: float, tokens: int) -> float:
        """When a call of about `tokens` may start (in the past: now). More than a full bucket
        waits for a full one.
        """
        if not self.per_minute:
            return -inf
        self._fill(now)
        lacking = min(tokens, self.per_minute) - self._level
        return now + lacking * 60 / self.per_minute if lacking > 0 else -inf

    def take(self, now: float, tokens: int) -> None:
        """A call of about `tokens` starts; the level may fall below zero."""
        self._fill(now)
        self._level -= tokens

    def correct(self, now: float, reserved: int, used: int) -> None:
        """A call ended."""
        self._fill(now)
        self._level = min(self._level + reserved - used, float(self.per_minute))

    def _fill(self, now: float) -> None:
        full = float(self.per_minute)
        if self._filled_at == -inf:
            self._level = full
        elif now > self._filled_at:
            gain = (now - self._filled_at) * self.per_minute / 60
            self._level = min(self._level + gain, full)
        self._filled_at = now
