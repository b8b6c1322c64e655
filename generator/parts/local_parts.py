"""Parts of a run as processes on this machine."""

import asyncio
import subprocess
from concurrent.futures import ThreadPoolExecutor

from generator.parts.processes import PartCommand, PartEnd, end_of, start


class LocalParts:
    """Starts a process a part. `at_once`: how many are waited for at the same time."""

    def __init__(self, command: PartCommand, at_once: int) -> None:
        self._command = command
        self._threads = ThreadPoolExecutor(at_once, "parts")
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    async def execute(self, number: int) -> PartEnd:
        """Do a part to its end. Errors: `OSError` where no process can be started."""
        # In this thread: the child is to end with the thread that started it.
        process = start(self._command, number)
        self._processes[number] = process
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(
                self._threads, end_of, process, self._command.corpus, number
            )
        finally:
            del self._processes[number]

    def drain(self) -> None:
        """SIGTERM to each."""
        for process in self._processes.values():
            process.terminate()

    def signal(self, number: int) -> None:
        """A signal to each."""
        for process in self._processes.values():
            process.send_signal(number)
