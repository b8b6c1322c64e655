"""Whether a lane is worth calling: failures in a row open the circuit, one probe closes it.
Pure.
"""

from dataclasses import dataclass
from math import inf

FAILURES_IN_A_ROW = 5
PAUSE_SECONDS = 2.0  # doubled at each probe that fails
PAUSE_SECONDS_MAX = 60.0
BALANCE_SECONDS = 3600.0  # a lane without balance is probed every hour
KEY_SECONDS = 60.0  # a key that worked before and is refused now is tried again so often


@dataclass(slots=True)
class Circuit:
    """closed: calls flow. open until `retry_at`: none does. then half open: one probe is out,
    the others wait.
    """

    why: str = ""  # one sentence while it is open
    retry_at: float = -inf  # inf: never by itself (key refused)
    # by a refused key, an unknown model, settings that it refuses or a balance that is gone
    stopped: bool = False
    probing: bool = False
    opened_at: float | None = None
    failed_probes: int = 0  # in a row
    give_up_seconds: float = 0.0  # a last probe is made when it has been open for so long; 0: never
    _last_probe_failed_at: float = -inf
    _row: int = 0
    _row_began: float = -inf
    _pause: float = PAUSE_SECONDS

    @property
    def given_up_at(self) -> float:
        """From when on it is no use to wait for this lane; inf: not yet.

        A pause between two probes may be longer than a user's patience. So one is made at its very
        end, and only when that one has failed too is the lane given up.
        """
        if self.opened_at is None or not self.give_up_seconds:
            return inf
        deadline = self.opened_at + self.give_up_seconds
        if self.stopped or self._last_probe_failed_at >= deadline:
            return deadline
        return inf

    def _next_probe_at(self, now: float, pause: float) -> float:
        if not self.give_up_seconds or self.opened_at is None:
            return now + pause
        deadline = self.opened_at + self.give_up_seconds
        return min(now + pause, deadline) if deadline > now else now + pause

    @property
    def closed(self) -> bool:
        """Calls flow."""
        return self.opened_at is None

    def may_probe(self, now: float) -> bool:
        """Whether it is time for the one call that tells whether the lane works again."""
        return not self.closed and not self.probing and now >= self.retry_at

    def answered(self, started_at: float) -> None:
        """A call got its first token or ended well.

        One from before the failures says nothing about them: while a server refuses every new call,
        old streams may end well for a long time.
        """
        if self.closed and started_at >= self._row_began:
            self._row = 0

    def succeed(self) -> None:
        """A probe was answered."""
        self.why = ""
        self.retry_at = -inf
        self.stopped = False
        self.probing = False
        self.opened_at = None
        self.failed_probes = 0
        self._row = 0
        self._pause = PAUSE_SECONDS

    def fail(self, now: float, message: str, probe: bool, jitter: float = 1.0) -> None:
        """A 5xx, a connection that fails, a server that never answers. `jitter` (about 1) keeps
        many lanes apart.
        """
        if self._row == 0:
            self._row_began = now
        self._row += 1
        if probe and not self.closed:
            self.probing = False
            self.stopped = False
            self.failed_probes += 1
            self._last_probe_failed_at = now
            self._pause = min(2 * self._pause, PAUSE_SECONDS_MAX)
            self.why = message
            self.retry_at = self._next_probe_at(now, self._pause * jitter)
        elif self.closed and self._row >= FAILURES_IN_A_ROW:
            self.opened_at = now
            self.why = message
            self.retry_at = self._next_probe_at(now, self._pause * jitter)

    def stop(self, now: float, why: str, pause: float = inf) -> None:
        """Key refused, model unknown (for good) or balance gone (`pause` seconds until a probe)."""
        if self.opened_at is None:
            self.opened_at = now
        self.why = why
        self.retry_at = now + pause
        self.probing = False
        self.stopped = True

    def suspend(self, now: float, why: str, pause: float, probe: bool) -> None:
        """What worked before is refused, perhaps by mistake: open at once, `pause` seconds
        until a probe.
        """
        if self.opened_at is None:
            self.opened_at = now
        if probe:
            self.failed_probes += 1
            self._last_probe_failed_at = now
        self.why = why
        self.retry_at = self._next_probe_at(now, pause)
        self.probing = False
        self.stopped = False

    def give_up_probe(self) -> None:
        """The probe ended without saying anything about the lane (it was cancelled, or refused
        for its own sake).
        """
        self.probing = False
