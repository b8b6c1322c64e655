"""Sockets that are left alone for a while, so that the kernel gathers what comes."""

import asyncio

# Sockets are woken together, every so often: a timer for each block of each stream would cost as
# much as reading it. Much longer, and so many would wake at once that the event loop is late.
_SLOT_SECONDS = 0.005


class Pauses:
    """The sockets of one event loop that are not read for now."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        # Kept: in Python 3.11 to ask for the running loop is a system call (getpid).
        self._loop = loop
        self._slots: dict[int, list[asyncio.Transport]] = {}  # by the slot that ends the pause

    def leave_alone(self, transport: asyncio.Transport, seconds: float) -> None:
        """Do not read this socket for so long, or up to a slot longer. The task that waits for its
        next block sleeps through: it is not woken for the end of the pause.
        """
        if seconds <= 0:
            return
        transport.pause_reading()
        slot = int((self._loop.time() + seconds) / _SLOT_SECONDS) + 1
        transports = self._slots.get(slot)
        if transports is None:
            self._slots[slot] = [transport]
            self._loop.call_at(slot * _SLOT_SECONDS, self._end, slot)
        else:
            transports.append(transport)

    def _end(self, slot: int) -> None:
        for transport in self._slots.pop(slot):
            transport.resume_reading()  # of a closed one: nothing
