"""Why no call may start now."""

from dataclasses import dataclass

from generator.monitor.status import LaneState


@dataclass(frozen=True, slots=True)
class Wait:
    """`until` is the moment to look again (by the run's clock); None: when something happens."""

    state: LaneState
    reason: str
    until: float | None = None
    zone: str = ""  # whose clock `until` is best told by
