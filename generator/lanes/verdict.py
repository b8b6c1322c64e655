"""Whether waiting can help when no lane may take a call now, and how the run ends when it cannot. Pure."""

from collections.abc import Sequence

from generator.lanes.gate import Wait
from shared.exits import Stopped


class Drained(Exception):
    """The run drains: this sample has no call in flight and is left for the next run."""


class OutOfBudget(Stopped):
    """A budget or a window ended, and `daemon.wait` is false."""

    exit_code = 3


class NoLane(Stopped):
    """No lane can be used."""

    exit_code = 4


def verdict(
    waits: Sequence[Wait], opened: Sequence[float | None], now: float, wait: bool, give_up_seconds: float
) -> Stopped | None:
    """How the run ends, given why each lane takes no call; None while waiting may help.

    `opened`: since when each lane's circuit is open. `wait`: `daemon.wait`. `give_up_seconds`: 0 is never.
    """
    states = {each.state for each in waits}
    reasons = "; ".join(each.reason for each in waits)
    if states == {"stopped"}:
        return NoLane(f"no lane can be used: {reasons}")
    if give_up_seconds and all(since is not None and now - since >= give_up_seconds for since in opened):
        return NoLane(f"no lane has worked for {give_up_seconds / 60:g} minutes: {reasons}")
    if wait or not states <= {"stopped", "balance gone", "used up", "closed window"}:
        return None
    if states & {"used up", "closed window"}:
        return OutOfBudget(f"{reasons} (daemon.wait = false)")
    return NoLane(f"no lane can be used: {reasons} (daemon.wait = false)")
