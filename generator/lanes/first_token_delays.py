"""The time to the first token: what it is lately against what it is without a queue. Pure: the time
is a parameter.
"""

from collections import deque
from statistics import median

LATEST = 15  # calls over which a median is taken
LEAST = 5  # calls that say something
BASE_SECONDS = 1800.0  # how far back the undisturbed time to the first token is looked for
# first tokens later than 3 x usual + 5 s mean a queue
QUEUE_FACTOR = 3.0
QUEUE_SECONDS = 5.0


class FirstTokenDelays:
    """Medians over the latest calls, and the least of them."""

    def __init__(self) -> None:
        self.recent = 0.0  # seconds, median of the latest calls
        self._latest: deque[float] = deque(maxlen=LATEST)
        # (when, median), rising: the first is the minimum of a sliding window
        self._lows: deque[tuple[float, float]] = deque()

    def add(self, now: float, seconds: float) -> None:
        """A first token came after so many seconds."""
        self._latest.append(seconds)
        if len(self._latest) < LEAST:
            return
        self.recent = median(self._latest)
        while self._lows and self._lows[-1][1] >= self.recent:
            self._lows.pop()
        self._lows.append((now, self.recent))
        while self._lows[0][0] < now - BASE_SECONDS:
            self._lows.popleft()

    def forget_recent(self) -> None:
        """What was measured in a queue says nothing about the time after it."""
        self._latest.clear()
        self.recent = 0.0

    @property
    def known(self) -> bool:
        """Whether enough calls were answered to tell what is usual."""
        return bool(self._lows)

    @property
    def patience(self) -> float:
        """Seconds after which a first token is late."""
        return QUEUE_FACTOR * self._lows[0][1] + QUEUE_SECONDS
