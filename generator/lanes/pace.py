"""How fast calls may start: requests and tokens a minute, set by the user, announced, or learnt
from 429. Pure.
"""

from collections import deque
from math import inf, sqrt
from typing import Literal

WINDOW_SECONDS = 60.0
LEARNT_SHARE = 0.95  # of the starts that went well in the minute before a 429
TRIAL_SECONDS, TRIAL_SECONDS_MAX = (
    30.0,
    1800.0,
)  # so long calls go well at a learnt pace before a faster one is tried;
TRIAL_GROWTH = 4.0  # so many times longer each time that the trial drew 429
TRIAL_STEP = 1.25  # a trial that drew 429 raises the pace so far at most
TRIAL_FACTOR = (
    8.0  # a trial runs at so many times the pace: soon decided, and a handful is refused at its end
)
# the least where a share taught it: that was a whole minute's work, and is judged by itself
SHARE_TRIAL_SECONDS = 120.0
# so many times what a limit allows in a minute were taken up in one: there is no such limit. A
# fixed
DISPROOF = 2
# window, or a bucket, takes up to twice its limit in 60 seconds, none takes more
PROVED_SECONDS = 600.0  # how long what was taken up in a minute counts as proof
OFTEN, OFTEN_SHARE = (
    10,
    0.03,
)  # so many 429 in a minute and more than this share of its starts mean a limit as well,
CHANCE_FACTOR = 2.0  # and more than so many times the share that a slower pace did not change
IMPROVED_SHARE = 0.5  # a slower pace that leaves more than this of the share of 429 was in vain
CHANCE_SECONDS = 1800.0  # how long such a share is taken for chance
PAUSE_OF_A_LIMIT = 5.0  # a Retry-After of so many seconds means a limit
LEAST_LEARNT = 10  # a minute with fewer starts teaches nothing about a limit a minute
LATE_SECONDS = 3.0  # a busy client that is no later makes up for what it missed
BACK_OFF_SECONDS, BACK_OFF_SECONDS_MAX = (
    0.25,
    60.0,
)  # after a 429 without Retry-After, doubled at each one in a row
TOO_FAST_SECONDS = 1.0  # the same, where the number in flight is not what was refused

PaceSource = Literal["", "configured", "named by the provider", "learnt from 429s"]


class Pace:
    """Spaces the starts of one account evenly, and stops them while the lane cools.

    A limit that nobody named is learnt from 429: as many starts as went well in the minute before
    them. That number is a guess (the minute may be ten seconds old, the 429 chance), so after 20
    seconds the lane runs without it, on trial, until 429 come again or twice the number was taken
    up within a minute, which no such limit allows.
    """

    def __init__(self, requests_per_minute: float = 0) -> None:
        self.configured = requests_per_minute
        self.named = 0.0
        self.learnt = 0.0
        self.on_trial_since: float | None = None  # the learnt pace is not kept
        self.cool_until = -inf
        self.thawing = (
            0  # > 0: calls that may be out, not taken up yet, after a pause; 0: no restriction
        )
        self._next = -inf
        self._begun_at = inf  # the first start
        self._starts: deque[float] = deque()  # of the last minute
        self._refusals: deque[float] = deque()  # 429 of the last minute
        self._breaths = 0  # 429 in a row, those that came together counted once
        self._refused_at = -inf
        self._before_row = 0  # starts that went well in the minute before the first 429 of a row
        self._proved, self._proved_at = 0, -inf  # most starts that went well in a minute, and when
        self._changed_at = -inf
        self._trial_at: float | None = (
            None  # None: when the first call at the learnt pace went well, and so long after
        )
        self._trial_seconds = TRIAL_SECONDS
        self._taught_by_share = (
            0.0  # the share of 429 that taught the pace in force; 0: a row or a long pause did
        )
        self._given_up = 0.0  # the pace before the last step down that a share taught
        self._chance_share, self._chance_until = 0.0, -inf

    @property
    def per_minute(self) -> float:
        """The pace in force; 0: none."""
        return min((rate for rate, _ in self._in_force()), default=0.0)

    @property
    def source(self) -> PaceSource:
        """Where the pace in force comes from."""
        return min(self._in_force(), default=(0.0, ""))[1]

    def _in_force(self) -> list[tuple[float, PaceSource]]:
        learnt = self.learnt if self.on_trial_since is None else TRIAL_FACTOR * self.learnt
        rates: list[tuple[float, PaceSource]] = [
            (self.configured, "configured"),
            (self.named, "named by the provider"),
            (learnt, "learnt from 429s"),
        ]
        return [(rate, source) for rate, source in rates if rate]

    def ready_at(self) -> float:
        """When the next call may start (in the past: now)."""
        return max(self._next, self.cool_until)

    def start(self, now: float) -> None:
        self._begun_at = min(self._begun_at, now)
        self._starts.append(now)
        self._forget(now)
        if rate := self.per_minute:
            due = self.ready_at()
            self._next = (due if now - due <= LATE_SECONDS else now) + WINDOW_SECONDS / rate

    def taken_up(self, now: float, started_at: float) -> None:
        """A call was taken up by the server; where it started after the last 429, the row of
        them is over.
        """
        if started_at < max(self._refused_at, self.cool_until):
            return
        self._breaths = 0
        self.thawing = self.thawing * 2 if self.thawing < UNRESTRICTED else 0
        self._prove(now)
        if self.learnt:
            self._try(now)

    def chance(self, now: float, retry_after: float | None) -> None:
        """A 429 that is not one of a row: it cools the lane only where the server says so."""
        self._note(now)
        self._learn_from_share(now)
        if retry_after is not None:
            self.cool_until = max(self.cool_until, now + retry_after)

    def refused(self, now: float, retry_after: float | None, too_fast: bool) -> None:
        """A 429 that means a limit; `too_fast`: not one of the number in flight. Cools for
        `retry_after` seconds; without it, backs off.
        """
        in_the_same_breath = now < self.cool_until  # it was on its way when an earlier one came
        first = not self._breaths
        if first:
            self._before_row = self._went_well(now) - 1
        self._note(now)
        if not in_the_same_breath:
            self._breaths += 1
            long_pause = first and (retry_after or 0.0) >= PAUSE_OF_A_LIMIT
            if too_fast or long_pause:
                self._learn(now, self._before_row)
            else:
                self._learn_from_share(now)
        self._refused_at = now
        pause = retry_after or 0.0
        if not in_the_same_breath and (
            retry_after is None or self._breaths > 1
        ):  # a pause that was too short is none
            least = TOO_FAST_SECONDS if too_fast else BACK_OFF_SECONDS
            pause = max(pause, min(least * 2 ** min(self._breaths - 1, 10), BACK_OFF_SECONDS_MAX))
        self.cool(now + pause)

    def announce(self, per_minute: int) -> None:
        """The server named its limit a minute."""
        self.named = float(per_minute) * LEARNT_SHARE

    def cool(self, until: float) -> None:
        """No start before `until`, and then one call first."""
        self.cool_until = max(self.cool_until, until)
        self.thawing = 1

    def _note(self, now: float) -> None:
        self._refusals.append(now)
        self._forget(now)

    def _forget(self, now: float) -> None:
        for times in (self._starts, self._refusals):
            while times and times[0] <= now - WINDOW_SECONDS:
                times.popleft()

    def _went_well(self, now: float) -> int:
        """Starts of the last minute that were not refused (so far)."""
        self._forget(now)
        return max(0, len(self._starts) - len(self._refusals))

    def _prove(self, now: float) -> None:
        count = self._went_well(now)
        if count >= self._proved or now >= self._proved_at + PROVED_SECONDS:
            self._proved, self._proved_at = count, now

    def _learn(self, now: float, went_well: int) -> None:
        """There is a limit a minute, at about what went well in the last one."""
        if self.learnt and self.on_trial_since is None:
            if now < self._changed_at + WINDOW_SECONDS:
                return  # what was started before the pace was changed still counts at the server
            self._proved = 0  # a limit that fell
        elif self._proved > DISPROOF * went_well:
            went_well = self._proved // DISPROOF
        if went_well < LEAST_LEARNT:
            return
        pace = LEARNT_SHARE * went_well
        if self.learnt:
            self._trial_over(now, pace)
        else:
            self.learnt = pace
            self._keep(now)

    def _trial_over(self, now: float, pace: float) -> None:
        """A 429 while a pace is known: on trial or, where it is in force, too fast still."""
        if self.on_trial_since is None:
            self.learnt = min(self.learnt, pace)
        else:  # a fixed window may have taken twice its limit in this minute: a step, no more
            self.learnt = max(self.learnt, min(pace, TRIAL_STEP * self.learnt))
            self._trial_seconds = min(TRIAL_GROWTH * self._trial_seconds, TRIAL_SECONDS_MAX)
        self._keep(now)

    def _keep(self, now: float) -> None:
        self.on_trial_since = None
        self._changed_at = now
        self._trial_at = None
        self._next = (
            now + (1 - LEARNT_SHARE) * WINDOW_SECONDS
        )  # the last minute's starts are within the pace by then
        self._taught_by_share = 0.0
        self._refusals_before = len(self._refusals)

    def _try(self, now: float) -> None:
        if self.on_trial_since is None:
            least = SHARE_TRIAL_SECONDS if self._taught_by_share else 0.0
            if self._trial_at is None:
                self._trial_at = now + max(self._trial_seconds, least)
            elif now >= self._trial_at:
                self.on_trial_since = now
                self._next = -inf
        elif self._since_trial() > DISPROOF * self.learnt / LEARNT_SHARE:
            self._unlearn(now)

    def _since_trial(self) -> int:
        since = self.on_trial_since
        return 0 if since is None else sum(start >= since for start in self._starts)

    def _unlearn(self, now: float) -> None:
        self.learnt, self.on_trial_since = 0.0, None
        self._trial_seconds = TRIAL_SECONDS
        self._changed_at = now

    def _learn_from_share(self, now: float) -> None:
        """429 that come one by one: a limit that is only just passed, or chance. A slower pace
        tells which.
        """
        starts, refusals = len(self._starts), len(self._refusals)
        share = refusals / max(1, starts)
        by_chance = starts * (
            OFTEN_SHARE + (CHANCE_FACTOR * self._chance_share if now < self._chance_until else 0.0)
        )
        in_force = bool(self.learnt) and self.on_trial_since is None
        a_minute_old = now >= WINDOW_SECONDS + max(self._begun_at, self._changed_at)
        if self.on_trial_since is None and not a_minute_old:
            return  # what is counted is not a minute at one pace
        if refusals < OFTEN or refusals <= by_chance + 2 * sqrt(by_chance):
            return
        if in_force and self._taught_by_share and share > IMPROVED_SHARE * self._taught_by_share:
            self._chance_share, self._chance_until = share, now + CHANCE_SECONDS
            self._give_back(now)
            return
        before = self.learnt
        self._learn(now, self._went_well(now))
        self._taught_by_share = share
        self._given_up = before if in_force else 0.0

    def _give_back(self, now: float) -> None:
        """The last step down was in vain."""
        self.learnt = self._given_up
        if self.learnt:
            self._keep(now)
        else:
            self._unlearn(now)


UNRESTRICTED = 64  # a lane that took up so many calls at once after a pause is warm again


class TokenBucket:
    """Tokens a minute: reserved from an estimate when a call starts, put right when it ends."""

    def __init__(self, per_minute: int = 0) -> None:
        self.per_minute = per_minute
        self._level = float(per_minute)
        self._at = -inf

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
        self._fill(now)
        self._level -= tokens

    def correct(self, now: float, reserved: int, used: int) -> None:
        self._fill(now)
        self._level = min(self._level + reserved - used, float(self.per_minute))

    def _fill(self, now: float) -> None:
        if self._at == -inf:
            self._level = float(self.per_minute)
        elif now > self._at:
            self._level = min(
                self._level + (now - self._at) * self.per_minute / 60, float(self.per_minute)
            )
        self._at = now
