"""How fast calls may start: requests and tokens a minute, set by the user, announced, or learnt from 429. Pure."""

from collections import deque
from math import inf

WINDOW_SECONDS = 60.0
LEARNT_SHARE = 0.95  # of the starts that went well in the minute before a 429
EASE_AFTER_SECONDS, EASE_AFTER_SECONDS_MAX = 120.0, 1800.0  # a learnt pace is tried a little faster when all went well
# so long; doubled each time that the faster one drew a 429
EASE_SHARE, EASE_SHARE_MAX = 0.05, 0.4  # by how much; doubled each time that it goes well
ROW_OF_A_LIMIT, PAUSE_OF_A_LIMIT = 3, 5.0  # so many 429 in a row, or a Retry-After of so many seconds
OFTEN, OFTEN_SHARE = 10, 0.1  # or so many in a minute and more than this share of the starts
AGAIN = 2  # 429 in a minute at a pace that was learnt: it is not right
IN_VAIN, INNOCENT_SECONDS = 2, 1800.0  # a pace lowered so often without effect is let go for so long
LEAST_LEARNT = 10  # a minute with fewer starts teaches nothing about a limit a minute
BACK_OFF_SECONDS, BACK_OFF_SECONDS_MAX = 0.25, 60.0  # after a 429 without Retry-After, doubled at each one in a row
TOO_FAST_SECONDS = 1.0  # the same, where the number in flight is not what was refused


class Pace:
    """Spaces the starts of one account evenly, and stops them while the lane cools."""

    def __init__(self, requests_per_minute: float = 0) -> None:
        self.configured = requests_per_minute
        self.learnt = 0.0
        self.cool_until = -inf
        self.thawing = 0  # > 0: calls that may be out, not taken up yet, after a pause; 0: no restriction
        self._next = -inf
        self._starts: deque[float] = deque()
        self._before_row = 0  # starts in the minute before the first 429 of a row
        self._recent_refusals: deque[float] = deque()
        self._refusals = 0  # 429 in a row
        self._refused_at = -inf
        self._ease_at = inf
        self._ease_share = EASE_SHARE
        self._ease_after = EASE_AFTER_SECONDS
        self._eased_from = 0.0  # the pace before the last step, 0 where none is on trial
        self._in_vain = 0  # lessons that brought another 429 without any step
        self._innocent_until = -inf
        self._changed_at = -inf

    @property
    def per_minute(self) -> float:
        """The pace in force; 0: none."""
        return min((rate for rate in (self.configured, self.learnt) if rate), default=0.0)

    def ready_at(self) -> float:
        """When the next call may start (in the past: now)."""
        return max(self._next, self.cool_until)

    def start(self, now: float) -> None:
        self._starts.append(now)
        while self._starts[0] <= now - WINDOW_SECONDS:
            self._starts.popleft()
        if rate := self.per_minute:
            self._next = now + 60 / rate

    def taken_up(self, now: float, started_at: float) -> None:
        """A call was taken up by the server; where it started after the last 429, the row of them is over."""
        if started_at < max(self._refused_at, self.cool_until):
            return
        self._refusals = 0
        self.thawing = self.thawing * 2 if self.thawing < UNRESTRICTED else 0
        if self.learnt and now >= self._ease_at:
            self._ease(now)

    def _ease(self, now: float) -> None:
        if self._eased_from:  # the last step went well
            self._ease_after = EASE_AFTER_SECONDS
        self._eased_from, self._in_vain = self.learnt, 0
        self.learnt *= 1 + self._ease_share
        self._ease_share = min(2 * self._ease_share, EASE_SHARE_MAX)
        self._ease_at = now + self._ease_after
        self._changed_at = now - WINDOW_SECONDS  # a step that is too fast shows at once

    def refused(self, now: float, retry_after: float | None, too_fast: bool) -> None:
        """A 429; `too_fast`: not for the number in flight. Cools for `retry_after` seconds; without it, backs off."""
        if self._refusals == 0:
            self._before_row = sum(start > now - WINDOW_SECONDS for start in self._starts) - 1
        in_the_same_breath = now < self.cool_until  # it was on its way when an earlier one came
        if not in_the_same_breath:
            self._refusals += 1
            self._learn(now, too_fast, retry_after or 0.0)
        self._refused_at = now
        if retry_after is not None:
            self._cool(now + retry_after)
        elif not in_the_same_breath:
            first = TOO_FAST_SECONDS if too_fast else BACK_OFF_SECONDS
            self._cool(now + min(first * 2 ** min(self._refusals - 1, 10), BACK_OFF_SECONDS_MAX))

    def announce(self, per_minute: int) -> None:
        """The server named its limit a minute."""
        self.learnt = float(per_minute) * LEARNT_SHARE
        self._ease_at = inf
        self._ease_share = EASE_SHARE
        self._ease_after = EASE_AFTER_SECONDS

    def cool(self, until: float) -> None:
        """The server named the time before which it takes no more."""
        self._cool(until)

    def _cool(self, until: float) -> None:
        self.cool_until = max(self.cool_until, until)
        self.thawing = 1

    def _learn(self, now: float, too_fast: bool, retry_after: float) -> None:
        """What a 429 says about a limit a minute."""
        self._recent_refusals.append(now)
        while self._recent_refusals[0] <= now - WINDOW_SECONDS:
            self._recent_refusals.popleft()
        often = len(self._recent_refusals)
        if not self.learnt:
            in_a_row = too_fast and self._refusals == ROW_OF_A_LIMIT
            long_pause = retry_after >= PAUSE_OF_A_LIMIT and self._refusals == 1
            large_share = often >= OFTEN and often > OFTEN_SHARE * len(self._starts)
            if (in_a_row or long_pause or large_share) and now >= self._innocent_until:
                self._slow_down(now)
        elif often >= AGAIN and now >= self._changed_at + WINDOW_SECONDS:
            self._correct(now)

    def _slow_down(self, now: float) -> None:
        if self._before_row >= LEAST_LEARNT:
            self.learnt = min(self.learnt or inf, LEARNT_SHARE * self._before_row)
            self._change(now)

    def _correct(self, now: float) -> None:
        """The pace in force draws 429: the last step was too fast, or it is not a matter of pace."""
        if self._eased_from:
            self.learnt, self._eased_from = self._eased_from, 0.0
            self._ease_after = min(2 * self._ease_after, EASE_AFTER_SECONDS_MAX)
            self._change(now)
        elif self._in_vain < IN_VAIN:
            self._in_vain += 1
            self._slow_down(now)
        else:
            self.learnt, self._in_vain, self._innocent_until = 0.0, 0, now + INNOCENT_SECONDS

    def _change(self, now: float) -> None:
        self._recent_refusals.clear()
        self._changed_at = now
        self._ease_share = EASE_SHARE
        self._ease_at = now + self._ease_after


UNRESTRICTED = 64  # a lane that took up so many calls at once after a pause is warm again


class TokenBucket:
    """Tokens a minute: reserved from an estimate when a call starts, put right when it ends."""

    def __init__(self, per_minute: int = 0) -> None:
        self.per_minute = per_minute
        self._level = float(per_minute)
        self._at = -inf

    def ready_at(self, now: float, tokens: int) -> float:
        """When a call of about `tokens` may start (in the past: now). More than a full bucket waits for a full one."""
        if not self.per_minute:
            return -inf
        self._fill(now)
        lacking = min(tokens, self.per_minute) - self._level
        return now + lacking * 60 / self.per_minute if lacking > 0 else -inf

    def take(self, now: float, tokens: int) -> None:
        self._fill(now)
        self._level -= tokens

    def correct(self, now: float, reserved: int, used: int) -> None:
        self._fill(now)
        self._level = min(self._level + reserved - used, float(self.per_minute))

    def _fill(self, now: float) -> None:
        if self._at == -inf:
            self._level = float(self.per_minute)
        elif now > self._at:
            self._level = min(self._level + (now - self._at) * self.per_minute / 60, float(self.per_minute))
        self._at = now
