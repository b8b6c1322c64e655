"""Problems from a blocking stream, read in a thread, a few at a time: memory does not grow and the
event loop does not wait. What earlier runs finished is skipped.
"""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

from generator.corpus.ledger import Ledger
from generator.errors import HalfWritten
from generator.sample_policy import Rule, next_samples
from shared.records import Problem

BATCH = 64  # problems looked up at once


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a stream of problems: rows read and problems taken before it, and of those the
    ones that are this run's own.
    """

    read: int
    taken: int
    own: int


START = Place(0, 0, 0)


@dataclass(frozen=True, slots=True)
class Pull:
    """What one look at the stream brought: problems with something to ask, each with a place
    before it; whether the stream is at its end; the place reached.
    """

    problems: list[tuple[Problem, Place]]
    is_end: bool
    place: Place


class ProblemReader:
    """Owns the thread, the stream and the ledger that the thread may use."""

    def __init__(
        self,
        open_stream: Callable[[], Iterator[Problem]],
        open_ledger: Callable[[], Ledger],
        rule: Rule,
        follow: bool,
    ) -> None:
        """`follow`: a line that is only half written is no fault."""
        self._open_stream = open_stream
        self._open_ledger = open_ledger
        self._rule = rule
        self._follow = follow
        self._thread = ThreadPoolExecutor(1, "problems")
        self._stream: Iterator[Problem] | None = None
        self._ledger: Ledger | None = None
        self._place = START
        self._stopped = False
        self.problems = 0  # seen in this pass

    async def read(self) -> Pull:
        """Read on until some problem has something to ask, or to the end; after that from the
        beginning. Errors: whatever the stream raises.
        """
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._pull)

    def stop(self) -> None:
        """Read nothing more."""
        self._stopped = True

    def close(self) -> None:
        """Let go of the source. A thread that is still reading is left to itself."""
        self._thread.submit(self._close_ledger)
        self._thread.shutdown(wait=False)

    def _close_ledger(self) -> None:
        if self._ledger is not None:
            self._ledger.close()

    def _pull(self) -> Pull:
        """In the thread."""
        if self._stream is None:
            try:
                self._stream = self._open_stream()
            except HalfWritten:
                if not self._follow:
                    raise
                # Its writer is at it: the next look finds the line whole.
                return Pull([], True, self._place)
            self.problems = _place_of(self._stream).own
            self._ledger = self._ledger or self._open_ledger()
        assert self._ledger is not None
        problems: list[tuple[Problem, Place]] = []
        place = _place_of(self._stream)
        is_end = False
        while not problems and not is_end and not self._stopped:
            place_before = place
            batch = list(islice(self._stream, BATCH))
            place = _place_of(self._stream)
            is_end = len(batch) < BATCH
            self.problems += len(batch)
            finished_samples = self._ledger.finished([problem.id for problem in batch])
            problems = [
                (problem, place_before)
                for problem in batch
                if next_samples(self._rule, finished_samples.get(problem.id, ()))
            ]
        if is_end:
            self._stream = None
        self._place = place
        return Pull(problems, is_end, place)


def _place_of(stream: Iterator[Problem]) -> Place:
    tally = getattr(stream, "tally", None)  # what only iterates has no places
    if tally is None:
        return START
    return Place(tally.read, tally.taken, getattr(stream, "own", tally.taken))
