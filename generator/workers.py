"""The workers of a run: each takes a sample, lives its life, takes the next."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import NoReturn

from generator.batch import BatchLane
from generator.lanes import Drained, HandedOn, Lanes
from generator.monitor.status import SampleCounts
from generator.sampler import Sampler
from generator.work_queue import Feed
from shared.errors import CannotWrite, Stopped


class Workers:
    """As many as there can be calls in flight, and one for each batch lane. `on_stop` hears why the
    run cannot go on; what others have in flight is finished.
    """

    def __init__(
        self,
        feed: Feed,
        lanes: Lanes,
        sampler: Sampler,
        progress: SampleCounts,
        on_stop: Callable[[Stopped], None],
    ) -> None:
        self._feed = feed
        self._lanes = lanes
        self._sampler = sampler
        self._progress = progress
        self._on_stop = on_stop
        self._tasks: set[asyncio.Task[None]] = set()
        self._live_tasks: list[asyncio.Task[None]] = []  # those that stream, ended ones too
        self._group: asyncio.TaskGroup | None = None
        self.batch_lanes: Sequence[BatchLane] = ()

    async def run(self) -> None:
        """Work until nothing is left. Errors: `CannotWrite`; a bug as it is."""
        async with asyncio.TaskGroup() as self._group:
            self.hire()
            for lane in self.batch_lanes:
                self._start(self._send_batches(lane))

    def hire(self) -> None:
        """As many as there can be calls in flight now; none before `run`."""
        while self._group is not None and len(self._tasks) < self._lanes.most_in_flight:
            self._live_tasks.append(self._start(self._work()))

    def cancel(self) -> None:
        """End them, whatever they have in flight."""
        for task in self._tasks:
            task.cancel()

    def _start(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        assert self._group is not None
        task = self._group.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _work(self) -> None:
        """One worker: take a sample, live its life, take the next."""
        try:
            while True:
                ask = await self._feed.next()
                if ask is None:
                    return
                self._progress.asking += 1
                is_handed_on = False
                try:
                    await self._sampler.sample(ask)
                except Drained:
                    pass  # not asked any more: the next run will
                except HandedOn:
                    is_handed_on = True
                finally:
                    self._progress.asking -= 1
                    if not is_handed_on:
                        self._feed.settle(ask.problem)
                if is_handed_on:
                    self._feed.offer_again(ask)
                    return
        except CannotWrite:
            raise
        except Stopped as stop:
            # A budget, a lane, a source that fails: what others have in flight is finished.
            self._on_stop(stop)

    async def _send_batches(self, lane: BatchLane) -> None:
        """One batch lane's life; where it stops before the work is done and nobody else goes on,
        the run ends.
        """
        try:
            await lane.run()
        except BaseExceptionGroup as errors:
            raise_the_cause(errors)
        except CannotWrite:
            raise
        except Stopped as stop:
            self._on_stop(stop)
            return
        why = lane.stopped or lane.gives_up
        other_lanes = [each for each in self.batch_lanes if each is not lane and each.is_at_work]
        is_anyone_left = other_lanes or any(not task.done() for task in self._live_tasks)
        if not why or is_anyone_left or self._feed.stopped:
            return
        ask = await self._feed.next()
        if ask is not None:
            self._feed.offer_again(ask)
            self._on_stop(lane.stop_reason())


def raise_the_cause(errors: BaseExceptionGroup[BaseException]) -> NoReturn:
    """What ended a task group: the one `Stopped` in it if there is nothing worse, else the
    group itself.
    """
    _, bugs = errors.split(Stopped)
    if bugs is not None:
        raise errors
    cause: BaseException = errors.subgroup(CannotWrite) or errors
    while isinstance(cause, BaseExceptionGroup):
        cause = cause.exceptions[0]
    raise cause from None
