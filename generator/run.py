"""One run: its phases, what steers and what ends it."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from math import inf
from typing import Any

import orjson

from generator.batch import BatchLane
from generator.config import GeneratorConfig
from generator.corpus import Corpus
from generator.grading.pool import Graders
from generator.lanes import Lanes, NoLane
from generator.monitor import console
from generator.monitor.event_log import EventLog
from generator.monitor.snapshot import Snapshots
from generator.monitor.status import Phase, RunStatus, SampleCounts
from generator.sampler import Sampler
from generator.signals import RunSignals
from generator.work_queue import Feed
from generator.workers import Workers, raise_the_cause
from shared.errors import InputError, Stopped

NEVER = -inf  # by time.monotonic()
# how often the ledger takes a snapshot of the run for `status`, and the event log one for changes
NOTE_SECONDS = 2.0


class Run:
    """Owns the workers. `ended_by`: why it ended before the work was done; None where it was done,
    or drained.

    What a person may do to it over signals or the server: `pause`, `resume`, `drain`, `reload`.
    """

    def __init__(
        self,
        config: GeneratorConfig,
        corpus: Corpus,
        feed: Feed,
        lanes: Lanes,
        graders: Graders,
        read_again: Callable[[], GeneratorConfig],
        most_problems: int = 0,
    ) -> None:
        """`most_problems`: as far as it is known before the source is read to its end; 0: it is
        not.
        """
        self.ended_by: Stopped | None = None
        self._config = config
        self._corpus = corpus
        self._feed = feed
        self._lanes = lanes
        self._read_again = read_again
        self._most_problems = most_problems
        self._progress = SampleCounts()
        self._sampler = Sampler(config, corpus, lanes, graders, self._progress)
        self._snapshots = Snapshots(config.corpus, self._progress)
        self._event_log = EventLog()
        self._phase: Phase = "running"
        self._note = ""
        self._noted_at = NEVER
        self._draining = asyncio.Event()  # what batch lanes hear of
        self._workers = Workers(feed, lanes, self._sampler, self._progress, self._end)

    # Working

    async def until_done(self) -> None:
        """Work until nothing is left, or until drained. Errors: `CannotWrite`; a bug as it is."""
        _count_settled(self._corpus, self._progress)
        RunSignals(self.drain, self.hang_up, self.pause, self.resume).listen()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._corpus.keep_writing(self._tell))
                dispatching = group.create_task(self._lanes.dispatch())
                showing = group.create_task(console.show(self.status))
                await self._workers.run()
                self._end_if_samples_are_held()
                self._corpus.stop_writing()
                dispatching.cancel()
                showing.cancel()
        except BaseExceptionGroup as errors:
            raise_the_cause(errors)
        for note in await self._lanes.give_back():
            self._event_log.log.warning("not given back", why=note)
        self._phase = "stopped" if self.ended_by or self._phase == "draining" else "done"
        self._tell(every_seconds=0)

    def _end_if_samples_are_held(self) -> None:
        held_samples = self._feed.withheld_samples
        if held_samples and not self.ended_by and self._phase != "draining":
            self._end(
                NoLane(
                    f"{held_samples:,} samples may be in batches that their provider does not list:"
                    " `generator batches` shows, adopts and releases them"
                )
            )

    # Batches

    @property
    def sampler(self) -> Sampler:
        """What grades and stores answers."""
        return self._sampler

    @property
    def draining(self) -> asyncio.Event:
        """Set when nothing new is to be asked."""
        return self._draining

    def tell(self, event: str, **details: Any) -> None:
        """A line of the log."""
        write = self._event_log.log.warning if "why" in details else self._event_log.log.info
        write(event, **details)

    def add_batch_lanes(self, lanes: Sequence[BatchLane]) -> None:
        """Lanes that send files, beside those that stream. Before `until_done`."""
        self._workers.batch_lanes = lanes
        self._lanes.hand_on(lambda: any(lane.is_at_work for lane in lanes))

    # Ending

    def drain(self, why: str) -> None:
        """Start nothing more; end when what is in flight has ended, at the latest after
        `daemon.drain_seconds`.
        """
        if self._phase == "draining":
            return
        seconds = self._config.daemon.drain_seconds
        self._phase = "draining"
        self._note = f"{why}: calls in flight have {seconds:g} s, a second signal kills"
        self._stop_asking()
        asyncio.get_running_loop().call_later(seconds, self._workers.cancel)
        self._event_log.record(self.status())
        # The ledger's snapshot is taken by who writes to it: here an error would be swallowed.
        self._noted_at = NEVER

    def _end(self, stop: Stopped) -> None:
        self.ended_by = self.ended_by or stop
        self._note = str(self.ended_by)
        self._stop_asking()

    def _stop_asking(self) -> None:
        self._draining.set()
        self._feed.stop()
        self._lanes.drain()

    # Steering

    def pause(self, lane: str = "") -> None:
        """No call starts, on one lane or anywhere. Errors: KeyError for an unknown lane."""
        self._lanes.pause(lane)

    def resume(self, lane: str = "") -> None:
        """Undo `pause`, and try a stopped lane again. Errors: as `pause`."""
        self._lanes.resume(lane)

    def reload(self) -> list[str]:
        """Take up budgets, windows and limits from the configuration as it is now; calls in flight
        go on.

        Returns sentences about what needs a restart. Errors: `InputError`, and everything stays as
        it was.
        """
        notes = self._lanes.reload(self._read_again())
        if self._phase == "running":
            self._workers.hire()
        details = {"notes": "; ".join(notes)} if notes else {}
        self._event_log.log.info("configuration read again", **details)
        return notes

    def hang_up(self) -> None:
        """`reload`, as SIGHUP asks for it: what cannot be taken is logged."""
        try:
            self.reload()
        except InputError as error:
            self._event_log.log.warning("configuration not taken", why=str(error))

    # Telling

    def status(self) -> RunStatus:
        """What the run is doing now."""
        self._progress.total = self._samples_wanted()
        is_paused = self._phase == "running" and self._lanes.paused
        phase: Phase = "paused" if is_paused else self._phase
        batches = {lane.name: lane.status() for lane in self._workers.batch_lanes}
        lanes = [replace(lane, batches=batches.get(lane.name, [])) for lane in self._lanes.status()]
        status = self._snapshots.take(phase, self._note, lanes, self._lanes.budgets())
        if is_paused:  # nobody knows for how long
            return replace(status, eta_seconds=None)
        if status.eta_seconds is None:
            return status
        remaining_samples = status.total - status.done
        seconds, by_quota = self._lanes.remaining_seconds(remaining_samples, status.eta_seconds)
        eta_seconds = round(seconds, 1) if seconds < inf else None
        return replace(status, eta_seconds=eta_seconds, eta_by_quota=by_quota)

    def _samples_wanted(self) -> int:
        """Samples of the whole source, as far as it is known: the limit, or what was read by
        the end.
        """
        sampling = self._config.sampling
        problems = self._feed.problems if self._feed.passes else self._most_problems
        return problems * (sampling.until_correct or sampling.samples)

    def _tell(self, every_seconds: float = NOTE_SECONDS) -> None:
        """To the ledger and the log: how it stands."""
        if time.monotonic() - self._noted_at >= every_seconds:
            self._noted_at = time.monotonic()
            status = self.status()
            self._corpus.ledger.note("status", orjson.dumps(status.as_dict()).decode())
            self._event_log.record(status)


def _count_settled(corpus: Corpus, progress: SampleCounts) -> None:
    """The samples that earlier runs finished."""
    for total in corpus.ledger.totals():
        if total.pile == "traces":
            progress.settled_kept += total.samples
        else:
            progress.settled_rejected += total.samples
