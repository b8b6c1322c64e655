"""The one iterator that all workers pull: problems from a blocking stream, minus what is finished,
as samples to ask.

What is finished is looked up in the ledger by problem id, twice: in the reading thread
(`reader`) to skip quickly over what earlier runs did, and on the event loop, which sees the
newest rows as well.
Nothing is kept of a problem once its samples are finished.
"""

import asyncio
import contextlib
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence

from generator.corpus.ledger import Ledger
from generator.sample_policy import Ask, Finished, Rule, asks_longer, next_samples
from generator.work_queue.reader import START, Place, ProblemReader
from shared.records import Problem

MOST_AGAIN = 10_000  # problems kept for another sample; beyond it the source is read once more
FOLLOW_SECONDS = 10.0  # how often a followed source is looked at


class Feed:
    """Samples to ask, one by one. `settle` tells it when one is finished (or given up).

    `open_stream` opens the problems from the beginning, the first time perhaps from a place before
    which all is finished; `in_thread` is a ledger that the reading thread may use. `on_place` hears
    of each new such place: the next run may start to read there. Nothing is told any more once a
    sample was given up.
    """

    def __init__(
        self,
        open_stream: Callable[[], Iterator[Problem]],
        ledger: Ledger,
        in_thread: Callable[[], Ledger],
        rule: Rule,
        follow: bool = False,
        on_place: Callable[[Place], None] = lambda place: None,
        first_place: Place = START,
    ) -> None:
        self._reader = ProblemReader(open_stream, in_thread, rule, follow)
        self._ledger = ledger
        self._rule = rule
        self._follow = follow
        self._on_place = on_place
        self._first_place = first_place  # where the first stream begins
        self._ready: deque[Ask] = deque()
        # samples in flight by problem id, in the order of the stream
        self._held: dict[str, int] = {}
        self._places: dict[str, Place] = {}  # for each of them a place in the stream before it
        self._place = START  # before what is read next
        self._noted_place: Place | None = None
        self._notes_places = not rule.waits_for_verdicts and not rule.retry
        self._again: deque[Problem] = deque()
        # problems of which a batch has samples: what becomes of them may be asked again
        self._lent: Counter[str] = Counter()
        self._withheld: Counter[str] = Counter()  # samples that nobody is to ask in this run
        self._was_lent: set[str] = set()  # problems that were not offered while they were
        self._one_at_a_time = asyncio.Lock()
        self._changed = asyncio.Event()
        self._ended = False
        self.stopped = False  # nothing more is offered
        self._read_once_more = False
        self.passes = 0  # times that the source was read to its end

    @property
    def problems(self) -> int:
        """Seen in this pass."""
        return self._reader.problems

    async def next(self, to_lend: bool = False) -> Ask | None:
        """The next sample to ask; None when there is none left, or after `stop`. Errors:
        whatever the stream raises. `to_lend`: for a batch, as which it counts at once.
        """
        async with self._one_at_a_time:
            while not self._ready and not self.stopped:
                if not self._ended:
                    await self._read()
                elif self._again:
                    self._offer(self._again.popleft(), self._place)
                elif self._may_ask_again():
                    self._changed.clear()
                    await self._changed.wait()
                elif self._read_once_more or self._follow:
                    await self._start_over()
                else:
                    return None
            if self.stopped:
                return None
            ask = self._ready.popleft()
            if to_lend:
                self._lent[ask.problem.id] += 1
            return ask

    def _may_ask_again(self) -> bool:
        """Whether what is in flight may bring another sample to ask."""
        if self._lent:
            return True
        return self._rule.waits_for_verdicts and len(self._held) > len(self._withheld)

    # What batches hold

    def hold(self, problem: Problem) -> None:
        """A batch of an earlier run has a sample of this problem: it is not offered until that
        is settled. Before the first `next`.
        """
        self._held[problem.id] = self._held.get(problem.id, 0) + 1
        self._places.setdefault(problem.id, self._first_place)
        self._was_lent.add(problem.id)
        self._lent[problem.id] += 1

    def take_back(self, ask: Ask) -> None:
        """A batch brought no answer to a sample: it is offered again."""
        self._end_loan(ask.problem.id)
        self._ready.append(ask)
        self._changed.set()

    def offer_again(self, ask: Ask) -> None:
        """A sample that was taken and not asked is offered again."""
        self._ready.append(ask)
        self._changed.set()

    def settle_lent(self, problem: Problem) -> None:
        """A sample that a batch had is in the ledger."""
        self._end_loan(problem.id)
        self.settle(problem)

    def withhold(self, problem: Problem) -> None:
        """A sample that a batch may have: nobody asks it in this run."""
        self._end_loan(problem.id)
        self._withheld[problem.id] += 1
        self._changed.set()

    def _end_loan(self, problem_id: str) -> None:
        self._lent[problem_id] -= 1
        if self._lent[problem_id] <= 0:
            del self._lent[problem_id]

    @property
    def withheld_samples(self) -> int:
        """Samples that may be in a batch that cannot be found."""
        return self._withheld.total()

    def settle(self, problem: Problem) -> None:
        """One sample of this problem is in the ledger, or was given up."""
        self._held[problem.id] -= 1
        if not self._held[problem.id]:
            del self._held[problem.id]
            del self._places[problem.id]
            self._leave(problem)
        self._changed.set()

    def _leave(self, problem: Problem) -> None:
        """None of its samples is in flight any more: it is finished, or waits for another one."""
        is_finished = not next_samples(self._rule, self._finished(problem))
        was_lent = problem.id in self._was_lent
        self._was_lent.discard(problem.id)
        if not is_finished and was_lent and not self.stopped:
            self._again.append(problem)
            return
        if not is_finished:
            self._notes_places = False  # what was given up is asked again by the next run
        self._note_place()
        if is_finished or not self._rule.waits_for_verdicts:
            return
        if len(self._again) < MOST_AGAIN:
            self._again.append(problem)
        else:
            self._read_once_more = True

    def stop(self) -> None:
        """Offer nothing more."""
        self.stopped = True
        self._reader.stop()
        self._changed.set()

    def close(self) -> None:
        """Let go of the source. A thread that is still reading is left to itself."""
        self.stop()
        self._reader.close()

    async def _read(self) -> None:
        pull = await self._reader.read()
        self._ended = pull.is_end
        if pull.is_end:
            self.passes += 1
        for problem, place_before in pull.problems:
            self._offer(problem, place_before)
        self._place = pull.place
        self._note_place()

    def _note_place(self) -> None:
        place = next(iter(self._places.values()), self._place)
        if self._notes_places and place != self._noted_place:
            self._noted_place = place
            self._on_place(place)

    def _offer(self, problem: Problem, place: Place) -> None:
        if problem.id in self._held:
            return  # the same text twice in the source, or still in flight from the last pass
        finished_samples = self._finished(problem)
        numbers = next_samples(self._rule, finished_samples)
        if numbers:
            self._held[problem.id] = len(numbers)
            self._places[problem.id] = place
            longer = asks_longer(self._rule, finished_samples)
            self._ready.extend(Ask(problem, number, longer) for number in numbers)

    def _finished(self, problem: Problem) -> Sequence[Finished]:
        return self._ledger.finished([problem.id]).get(problem.id, ())

    async def _start_over(self) -> None:
        if not self._read_once_more:
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), FOLLOW_SECONDS)
        self._ended = False
        self._read_once_more = False
        self._notes_places = False  # of the first pass only
