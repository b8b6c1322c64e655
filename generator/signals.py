"""Signals before the first call; from then on `Run` has handlers of its own."""

import os
import signal
from typing import Any

from shared.startup import hung_up, remember_hangups


class EarlySignals:
    """SIGTERM and SIGINT end the process: nothing is in flight. A SIGHUP is remembered.

    Opening a large problem set takes minutes. Without these handlers Ctrl-C would wait for it, a
    reload would kill, and a container's process 1 would hear nothing. `Run` puts its own in their
    place.
    """

    def __init__(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._leave)
        remember_hangups()

    def _leave(self, number: int, _: Any) -> None:
        name = signal.Signals(number).name
        text = f"stopped: {name} before the first call; the same command goes on from here\n"
        os.write(2, text.encode())
        # Not by an exception: a library that opens data would take it for one of its own.
        os._exit(0)

    @property
    def hangup(self) -> bool:
        """Whether a SIGHUP came so far, while the libraries were loaded too."""
        return hung_up()
