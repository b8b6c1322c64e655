"""The last half hour of a run, sampled from its status: what the dashboard's chart shows."""

from collections import deque
from typing import Any

from generator.monitor.status import RunStatus

SAMPLE_SECONDS = 2.0
KEPT_SAMPLES = 900


class History:
    """A ring of samples: when, tokens/s, calls in flight, concurrency limit and done samples,
    summed over the lanes.
    """

    def __init__(self) -> None:
        self._samples: deque[tuple[float, float, int, int, int]] = deque(maxlen=KEPT_SAMPLES)

    def add(self, now: float, status: RunStatus) -> None:
        """Remember the status at `now`, seconds since the epoch."""
        limit = sum(lane.limit for lane in status.lanes)
        self._samples.append(
            (round(now, 1), status.tokens_per_second, status.in_flight, limit, status.done)
        )

    def since(self, moment: float) -> list[Any]:
        """Samples after `moment`, oldest first."""
        return [sample for sample in self._samples if sample[0] > moment]
