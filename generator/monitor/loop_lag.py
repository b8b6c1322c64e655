"""How late the event loop is: what a timer of its own finds, twenty times a second."""

import asyncio
import time
from collections import deque

EVERY_SECONDS = 0.05
KEPT_SAMPLES = 1200  # the last minute of a loop that is on time
QUANTILES = (0.5, 0.99, 1.0)


class LoopLag:
    """Seconds by which the running event loop was late, lately. It costs a timer."""

    def __init__(self) -> None:
        self._samples: deque[float] = deque(maxlen=KEPT_SAMPLES)
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Sample the loop that runs, until `stop`."""
        self._due = time.monotonic() + EVERY_SECONDS
        self._timer = asyncio.get_running_loop().call_later(EVERY_SECONDS, self._take)

    def stop(self) -> None:
        """Sample no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def quantiles(self) -> dict[float, float]:
        """Median, 99th percentile and maximum of the last minute, in seconds, by their shares;
        empty before the first sample.
        """
        samples = sorted(self._samples)
        last = len(samples) - 1
        return {share: samples[round(share * last)] for share in QUANTILES if samples}

    def _take(self) -> None:
        self._samples.append(max(0.0, time.monotonic() - self._due))
        self.start()
