"""Signals: before the first call, and while a run works."""

import asyncio
import os
import signal
import time
from collections.abc import Callable
from typing import Any

from shared.errors import SAME_SIGNAL_SECONDS, die_of_a_second
from shared.startup import hung_up, remember_hangups


class EarlySignals:
    """SIGTERM and SIGINT end the process: nothing is in flight. A SIGHUP is remembered.

    Opening a large problem set takes minutes. Without these handlers Ctrl-C would wait for it, a
    reload would kill, and a container's process 1 would hear nothing. `RunSignals` takes
    their place.
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


class RunSignals:
    """The first SIGTERM or SIGINT drains, the second kills; SIGHUP reads the configuration again."""

    def __init__(
        self,
        drain: Callable[[str], None],
        hang_up: Callable[[], None],
        pause: Callable[[], None],
        resume: Callable[[], None],
    ) -> None:
        self._drain = drain
        # the last two from whoever runs it as one of several parts
        self._others = {
            signal.SIGHUP: hang_up,
            signal.SIGUSR1: pause,
            signal.SIGUSR2: resume,
        }
        self._signalled_at: float | None = None  # time.monotonic() of the first signal

    def listen(self) -> None:
        """From now on, in the running loop."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal, number)
        for number, action in self._others.items():
            loop.add_signal_handler(number, action)

    def _on_signal(self, number: signal.Signals) -> None:
        if self._signalled_at is not None:
            die_of_a_second(number, self._signalled_at)
            return
        self._signalled_at = time.monotonic()
        # What is said then is true: from here on a second signal kills.
        asyncio.get_running_loop().call_later(SAME_SIGNAL_SECONDS, self._drain, number.name)
