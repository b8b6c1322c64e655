"""The first moments of a program, before its libraries are there: a signal ends it in one line.

Called by each `__main__` before it imports anything else. Nothing is imported here that Python has
not loaded by itself: not even `signal`, which brings `enum`, nor `typing`.
"""

import _signal as signal  # type: ignore[import-not-found]  # no stub: C, and built in
import os
import sys

_NAMES = {int(signal.SIGINT): "SIGINT", int(signal.SIGTERM): "SIGTERM"}
_hangups: list[int] = []


def is_run() -> bool:
    """Whether this process is a `run`: the command that can be stopped and goes on."""
    return sys.argv[1:2] == ["run"]


def end_on_a_signal(when: str) -> None:
    """From now on SIGTERM and SIGINT end a `run` at once with exit code 0, as every orderly stop:
    nothing is in flight. It holds until the run has handlers of its own.

    Of the other commands SIGINT alone is told, with its usual 130: what they were asked for is not
    done. Not by an exception: a library that is being imported takes it for an error of its own, or
    panics. `when`: "before the first call".
    """

    def leave(number: int, _: object) -> None:
        name = _NAMES[number]
        if not is_run():
            os.write(2, f"stopped: {name}\n".encode())
            os._exit(128 + number)
        os.write(2, f"stopped: {name} {when}; the same command goes on from here\n".encode())
        os._exit(0)

    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:  # as in a shell's background
        signal.signal(signal.SIGINT, leave)
    if is_run():
        signal.signal(signal.SIGTERM, leave)


def hear_no_signal() -> None:
    """From now on a run is over, with its exit code: Python's own end would give the signals back
    to the system, which kills.
    """
    for number in _NAMES:
        signal.signal(number, signal.SIG_IGN)


def remember_hangups() -> None:
    """From now on a SIGHUP, which asks for a reload, does not kill: `hung_up` tells of it."""
    signal.signal(signal.SIGHUP, lambda number, _: _hangups.append(number))


def hung_up() -> bool:
    """Whether a SIGHUP came since `remember_hangups`."""
    return bool(_hangups)
