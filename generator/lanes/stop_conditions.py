"""Whether waiting can help when no lane may take a call now, and how the run ends when it
cannot. Pure.
"""

from collections.abc import Sequence
from math import inf

from generator.lanes.gate import Gate
from generator.lanes.waits import Wait
from shared.errors import Stopped

# With `daemon.wait = false`, of lanes that do not work:
PROBES = 2  # so many failed in a row are enough
OUT_SECONDS = 30.0  # and so long without one
BUSY_SECONDS = 75.0  # a lane that has answered and says 429 since: its minute has turned by then
HOPELESS = ("stopped", "balance gone", "used up", "closed window")
BUSY = ("cooling", "pacing", "full")


class Drained(Exception):
    """The run drains: this sample has no call in flight and is left for the next run."""


class HandedOn(Exception):
    """No lane can take this sample, and a batch lane may."""


class OutOfBudget(Stopped):
    """A budget or a window ended, and `daemon.wait` is false."""

    exit_code = 3


class NoLane(Stopped):
    """No lane can be used."""

    exit_code = 4


def stop_reason(
    gates: Sequence[Gate], now: float, wait: bool, give_up_seconds: float
) -> Stopped | None:
    """How the run ends, given the lanes, of which none takes a call; None while waiting may help.

    `wait`: `daemon.wait`. `give_up_seconds`: as the circuits have it.
    """
    waits = [gate.wait(now) for gate in gates]
    states = {each.state for each in waits if each is not None}
    reasons = "; ".join(each.reason for each in waits if each is not None)
    if states == {"stopped"}:
        return NoLane(f"no lane can be used: {reasons}")
    if now >= _given_up_at(gates):
        return NoLane(f"no lane has worked for {give_up_seconds / 60:g} minutes: {reasons}")
    if wait or now < _hopeless_at(gates, waits, now):
        return None
    if states & {"used up", "closed window"}:
        return OutOfBudget(f"{reasons} (daemon.wait = false)")
    return NoLane(f"no lane can be used: {reasons} (daemon.wait = false)")


def look_again_at(gates: Sequence[Gate], now: float, wait: bool) -> float:
    """When `stop_reason` may become another one by time alone; inf: not."""
    waits = [gate.wait(now) for gate in gates]
    hopeless_at = inf if wait else _hopeless_at(gates, waits, now)
    return min(_given_up_at(gates), hopeless_at)


def _given_up_at(gates: Sequence[Gate]) -> float:
    """When all of these lanes will have been out for too long; inf while one of them may work."""
    return max((gate.circuit.given_up_at for gate in gates), default=inf)


def _hopeless_at(gates: Sequence[Gate], waits: Sequence[Wait | None], now: float) -> float:
    """From when on waiting is no use to a run that does not want to wait."""
    moments = [_out_at(gate, wait, now) for gate, wait in zip(gates, waits, strict=True)]
    return max(moments, default=inf)


def _out_at(gate: Gate, wait: Wait | None, now: float) -> float:
    """From when on one lane is no hope; -inf: it is not now."""
    if wait is None:
        return inf
    if wait.state in HOPELESS:
        return -inf
    circuit = gate.circuit
    if wait.state == "circuit open" and circuit.opened_at is not None:
        return -inf if circuit.failed_probes >= PROBES else circuit.opened_at + OUT_SECONDS
    if wait.state == "budget away":
        return (gate.allowance.away_since or now) + OUT_SECONDS
    if wait.state in BUSY and gate.busy_since is not None:
        is_long = wait.until is not None and wait.until - now > BUSY_SECONDS
        if wait.state == "cooling" and is_long:
            return -inf
        return gate.busy_since + (BUSY_SECONDS if gate.trial.proven else OUT_SECONDS)
    return inf
