"""Tasks on this machine: so many worker processes, a thread waiting for each.

A worker that ends under its task is named and the task is done again by a new one; a task under
which several end is to blame for it.
"""

import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice

from generator.parts.tasks import Task, Values, outcome_of
from shared.errors import Stopped
from shared.json_child import ChildDied, JsonChild

MOST_DEATHS = 3  # of workers under one task
# Tasks for each worker that are begun or wait for it: what they write for an asker that is slower
# than they are is read while it is still in memory.
AHEAD = 3
TASK_SECONDS = 7 * 86_400.0  # of processor time: none is ever ended for taking long


class WorkerLost(Stopped):
    """One task ended several workers."""

    exit_code = 1


class LocalWorkers:
    """`workers` processes at once. Use as a context manager: at its end they are gone, whatever they do."""

    def __init__(self, workers: int, say: Callable[[str], None] | None = None) -> None:
        """`say`: told of a worker that ended; standard error without it."""
        self.workers = workers
        self._threads = ThreadPoolExecutor(workers, "parts")
        self._local = threading.local()
        self._children: list[JsonChild] = []
        self._say = say or _to_standard_error
        self._busy_pids: set[int | None] = set()
        self._is_over = False

    def __enter__(self) -> "LocalWorkers":
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over = True
        for child in list(self._children):
            child.kill()
        self._threads.shutdown(cancel_futures=True)

    @property
    def pids(self) -> list[int]:
        """The worker processes that run."""
        return [child.pid for child in list(self._children) if child.pid is not None]

    def busy(self, pid: int) -> bool:
        """Whether a worker has a task."""
        return pid in self._busy_pids

    def outcomes(self, tasks: Iterable[Task]) -> Iterator[tuple[Task, Values]]:
        """(task, outcome) as they are done. Tasks are taken as workers get to them: where nobody asks
        for outcomes, none is begun. Errors: what a task raised (of several the first task's);
        `WorkerLost`.
        """
        coming = iter(tasks)
        waiting: dict[Future[Values], Task] = {}
        while True:
            for task in islice(coming, self.workers * AHEAD - len(waiting)):
                waiting[self._threads.submit(self._perform, task)] = task
            if not waiting:
                return
            ended_tasks, _ = wait(waiting, return_when=FIRST_COMPLETED)
            for future in sorted(ended_tasks, key=lambda each: waiting[each].number):
                yield waiting.pop(future), future.result()

    def _perform(self, task: Task) -> Values:
        request = {"name": task.name, "number": task.number, "values": task.values}
        for attempt in range(1, MOST_DEATHS + 1):
            child = self._child()
            child.start()
            pid = child.pid
            self._busy_pids.add(pid)
            try:
                return outcome_of(child.ask(request, TASK_SECONDS))
            except ChildDied as death:
                if self._is_over:
                    raise
                again = "done again" if attempt < MOST_DEATHS else "given up"
                self._say(
                    f"part {task.number}: its worker (process {pid}) ended by {death.ending}: the"
                    f" part is {again}"
                )
            finally:
                self._busy_pids.discard(pid)
        raise WorkerLost(
            f"part {task.number}: {MOST_DEATHS} workers ended over it: look at what they read"
        )

    def _child(self) -> JsonChild:
        """This thread's own."""
        child: JsonChild | None = getattr(self._local, "child", None)
        if child is None:
            command = [sys.executable, "-m", "generator.parts.worker"]
            child = JsonChild(command, "worker", most_deaths=1)
            self._local.child = child
            self._children.append(child)
        return child


def _to_standard_error(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
