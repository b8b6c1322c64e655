"""SIGTERM and SIGINT as a wish that the training loop reads between two steps."""

import os
import signal
import time
from types import FrameType

from shared.errors import die_of_a_second
from trainer.planning.launch import Launch

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopSignal:
    """One SIGTERM or SIGINT requests a stop after the running step; a second one kills as usual."""

    def __init__(self) -> None:
        self.name = ""  # of the signal that came, "" while none has
        self._received_at = 0.0  # seconds, monotonic
        for number in SIGNALS:
            signal.signal(number, self._receive)

    @property
    def requested(self) -> bool:
        """Whether this process has been asked to stop."""
        return bool(self.name)

    def _receive(self, number: int, _: FrameType | None) -> None:
        if self.name:
            die_of_a_second(number, self._received_at)
            return
        self.name = signal.Signals(number).name
        self._received_at = time.monotonic()
        # Said at once, since a generation eval or a step may take a minute; by os.write, since
        # the handler may have interrupted a print of the same stream.
        if Launch.here().first:
            line = f"{self.name}: the run stops after this step and is saved; once more ends it now"
            os.write(2, f"{line}\n".encode())
