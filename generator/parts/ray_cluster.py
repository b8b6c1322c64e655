"""Parts and tasks on a Ray cluster: Ray places them, watches its hosts, and does a task again whose
worker or host is gone.

Every host sees the same folders under the same names, and has this package. A quota is no actor's
memory: limits are divided, or stand in one shared allowance.
"""

import asyncio
import signal
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from generator.parts.processes import PartCommand, PartEnd, end_of, start
from generator.parts.tasks import Task, Values, outcome_of, reply_to
from shared.child_environment import python_path
from shared.errors import InputError

RETRIES = 5  # of a task whose worker or host is gone
DRAIN_FILE = ".drain"  # in the corpus: parts that see it come to an orderly end
LOOK_SECONDS = 0.5


class RayTasks:
    """A connection to a cluster. Use as a context manager."""

    def __init__(self, address: str) -> None:
        """`address`: as `ray.init` takes it; "": the cluster that Ray finds, or a new one here; "local":
        a new one here.

        Errors: `InputError` where Ray is not installed or the cluster does not answer.
        """
        try:
            import ray
        except ImportError:
            raise InputError(
                "--on ray: Ray is not installed: pip install 'stillhouse[ray]' in this environment"
            ) from None
        self._ray: Any = ray
        self._address = address

    def __enter__(self) -> "RayTasks":
        variables = {"PYTHONPATH": python_path()}
        try:
            self._ray.init(
                address=self._address or None,
                include_dashboard=False,
                log_to_driver=False,
                runtime_env={"env_vars": variables},
            )
        except (ConnectionError, ValueError, RuntimeError) as error:
            why = str(error).splitlines()[0]
            place = f"ray:{self._address}" if self._address else "ray"
            raise InputError(
                f"--on {place}: {why}: correct the address, or take ray:local for a cluster of its"
                " own"
            ) from None
        return self

    def __exit__(self, *_: object) -> None:
        self._ray.shutdown()

    @property
    def workers(self) -> int:
        """Tasks of one processor that the cluster does at once."""
        return max(1, int(self._ray.cluster_resources().get("CPU", 1)))

    def outcomes(self, tasks: Iterable[Task]) -> Iterator[tuple[Task, Values]]:
        """(task, outcome) as they are done. Errors: those of the tasks."""
        remote = self._ray.remote(max_retries=RETRIES, num_cpus=1)(_perform)
        waiting = {
            remote.remote({"name": task.name, "number": task.number, "values": task.values}): task
            for task in tasks
        }
        while waiting:
            (reference,), _ = self._ray.wait(list(waiting), num_returns=1)
            yield waiting.pop(reference), outcome_of(self._ray.get(reference))

    def parts(self, command: PartCommand, at_once: int) -> "RayParts":
        """What does the parts of a run there."""
        return RayParts(self._ray, command, at_once)


class RayParts:
    """A task a part."""

    def __init__(self, ray: Any, command: PartCommand, at_once: int) -> None:
        self._ray = ray
        self._command = command
        self._threads = ThreadPoolExecutor(at_once, "parts")
        self._drain_file = Path(command.corpus) / DRAIN_FILE
        self._drain_file.unlink(missing_ok=True)
        self._remote = ray.remote(max_retries=RETRIES, num_cpus=1)(_run_part)

    async def execute(self, number: int) -> PartEnd:
        """Do a part to its end, on whatever host."""
        reference = self._remote.remote(self._command, number)
        loop = asyncio.get_running_loop()
        try:
            code, last_line = await loop.run_in_executor(self._threads, self._ray.get, reference)
        except self._ray.exceptions.RayTaskError:  # a bug, or a disk that refuses
            raise
        except self._ray.exceptions.RayError:  # its hosts were gone more often than Ray retries
            return PartEnd(-signal.SIGKILL, "")
        return PartEnd(code, last_line)

    def drain(self) -> None:
        """Every part looks for this file."""
        self._drain_file.touch()

    def signal(self, number: int) -> None:
        """Signals do not cross hosts. Errors: `InputError`."""
        raise InputError("parts on Ray can be drained, not paused or reloaded")


def _perform(request: Values) -> Values:
    return reply_to(request)


def _run_part(command: PartCommand, number: int) -> tuple[int, str]:
    """In a worker of Ray: the part's process, which drains if this one is killed."""
    process = start(command, number)
    drain_file = Path(command.corpus) / DRAIN_FILE
    is_draining = False
    while process.poll() is None:
        if drain_file.exists() and not is_draining:
            is_draining = True
            process.terminate()
        time.sleep(LOOK_SECONDS)
    end = end_of(process, command.corpus, number)
    return end.code, end.last_line
