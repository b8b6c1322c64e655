"""The main loop of one run: workers that take samples through their lives, what ends them, what is
counted.

Ask -> (lanes) Answer -> (graders) Verdict -> Trace -> (corpus) kept or rejected
"""

import asyncio
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from math import inf
from typing import NoReturn

import orjson

from generator.config import GeneratorConfig
from generator.corpus import Corpus
from generator.grading.llm_judge import judge
from generator.grading.pool import Graders
from generator.lanes import Drained, Lanes, NoLane, OutOfBudget
from generator.monitor import console
from generator.monitor.event_log import EventLog
from generator.monitor.snapshot import Snapshots
from generator.monitor.status import Phase, Progress, RunStatus
from generator.record import trace_of, utc_now, verdict_without_grading
from generator.work_queue import Ask, Feed
from shared.errors import SAME_SIGNAL_SECONDS, CannotWrite, InputError, Stopped, die_of_a_second
from shared.prompts import messages_for
from shared.records import Completion, Message, Trace, trace_id

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
    ) -> None:
        self._config, self._corpus, self._feed, self._lanes, self._graders = (
            config,
            corpus,
            feed,
            lanes,
            graders,
        )
        self._read_again = read_again
        self.ended_by: Stopped | None = None
        self._progress = Progress()
        self._snapshots = Snapshots(config.corpus, self._progress)
        self._event_log = EventLog()
        self._phase: Phase = "running"
        self._signalled_at: float | None = None  # time.monotonic() of the first signal
        self._note = ""
        self._noted_at = NEVER
        self._workers: set[asyncio.Task[None]] = set()
        self._group: asyncio.TaskGroup | None = None
        sampling = config.sampling
        self._params = {
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "max_tokens": sampling.max_tokens,
        }

    # Working

    async def until_done(self) -> None:
        """Work until nothing is left, or until drained. Errors: `CannotWrite`; a bug as it is."""
        self._count_what_is_there()
        self._listen_to_signals()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._corpus.keep_writing(self._tell))
                dispatching = group.create_task(self._lanes.dispatch())
                showing = group.create_task(console.show(self.status))
                await self._work_until_done()
                self._corpus.stop_writing()
                dispatching.cancel()
                showing.cancel()
        except BaseExceptionGroup as errors:
            _raise_the_cause(errors)
        await self._lanes.give_back()
        self._phase = "stopped" if self.ended_by or self._phase == "draining" else "done"
        self._tell(every_seconds=0)

    async def _work_until_done(self) -> None:
        async with asyncio.TaskGroup() as self._group:
            self._hire()

    def _hire(self) -> None:
        """As many workers as there can be calls in flight."""
        assert self._group is not None
        while len(self._workers) < self._lanes.most_in_flight:
            worker = self._group.create_task(self._work())
            self._workers.add(worker)
            worker.add_done_callback(self._workers.discard)

    async def _work(self) -> None:
        """One worker: take a sample, live its life, take the next."""
        try:
            while (ask := await self._feed.next()) is not None:
                self._progress.asking += 1
                try:
                    await self._life_of(ask)
                except Drained:
                    pass  # not asked any more: the next run will
                finally:
                    self._progress.asking -= 1
                    self._feed.settle(ask.problem)
        except CannotWrite:
            raise
        except (
            Stopped
        ) as stop:  # a budget, a lane, a source that fails: what others have in flight is finished
            self._end(stop)

    async def _life_of(self, ask: Ask) -> None:
        """One sample from the question to the shard."""
        problem, sampling = ask.problem, self._config.sampling
        messages = messages_for(problem.text, sampling.system_prompt, sampling.prompt)
        started_at = utc_now()
        params = self._params | ({"max_tokens": sampling.longer_max_tokens} if ask.longer else {})
        answer = await self._lanes.ask(trace_id(problem.id, ask.sample), messages, params)
        verdict = verdict_without_grading(answer.completion)
        if verdict is None:
            self._progress.grading += 1
            try:
                verdict = await self._graders.grade(
                    answer.completion.response, problem.gold, problem.text
                )
            finally:
                self._progress.grading -= 1
            if self._config.judge.lane:
                verdict = await judge(
                    self._ask_judge,
                    trace_id(problem.id, ask.sample),
                    problem.text,
                    problem.gold,
                    verdict,
                )
        trace = trace_of(
            problem, ask.sample, messages, params, answer, verdict, started_at, utc_now()
        )
        kept = trace.kept or (trace.verdict == "unverifiable" and sampling.keep_unverifiable)
        await self._corpus.add(trace, kept)
        self._count(trace, kept)

    async def _ask_judge(self, sample_id: str, messages: list[Message]) -> Completion | None:
        """One judgement. A judge that is gone or drained leaves the grader's verdict: the
        sample itself is paid for.
        """
        config = self._config.judge
        params = {"temperature": 0.0, "top_p": 1.0, "max_tokens": config.max_tokens}
        try:
            return (await self._lanes.ask(sample_id, messages, params, lane=config.lane)).completion
        except (Drained, NoLane, OutOfBudget):
            return None

    # Ending

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal, number)
        loop.add_signal_handler(signal.SIGHUP, self.hang_up)

    def _on_signal(self, number: signal.Signals) -> None:
        """The first signal drains, the second kills."""
        if self._signalled_at is not None:
            die_of_a_second(number, self._signalled_at)
            return
        self._signalled_at = time.monotonic()
        # what is said then is true: from here on a second signal kills
        asyncio.get_running_loop().call_later(SAME_SIGNAL_SECONDS, self.drain, number.name)

    def drain(self, why: str) -> None:
        """Start nothing more; end when what is in flight has ended, at the latest after
        `daemon.drain_seconds`.
        """
        if self._phase == "draining":
            return
        seconds = self._config.daemon.drain_seconds
        self._phase, self._note = (
            "draining",
            f"{why}: calls in flight have {seconds:g} s, a second signal kills",
        )
        self._stop_asking()
        asyncio.get_running_loop().call_later(seconds, self._give_up)
        self._event_log.record(self.status())
        # the ledger's snapshot is taken by who writes to it: here an error would be swallowed
        self._noted_at = NEVER

    def _give_up(self) -> None:
        for worker in self._workers:
            worker.cancel()

    def _end(self, stop: Stopped) -> None:
        self.ended_by = self.ended_by or stop
        self._note = str(self.ended_by)
        self._stop_asking()

    def _stop_asking(self) -> None:
        self._feed.stop()
        self._lanes.drain()

    # Steering

    def pause(self, lane: str = "") -> None:
        """No call starts, on one lane or anywhere. Errors: KeyError for an unknown lane."""
        self._lanes.pause(lane)

    def resume(self, lane: str = "") -> None:
        self._lanes.resume(lane)

    def reload(self) -> list[str]:
        """Take up budgets, windows and limits from the configuration as it is now; calls in flight
        go on.

        Returns sentences about what needs a restart. Errors: `InputError`, and everything stays as
        it was.
        """
        notes = self._lanes.reload(self._read_again())
        if self._group is not None and self._phase == "running":
            self._hire()
        self._event_log.log.info(
            "configuration read again", **({"notes": "; ".join(notes)} if notes else {})
        )
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
        phase: Phase = "paused" if self._phase == "running" and self._lanes.paused else self._phase
        status = self._snapshots.take(
            phase, self._note, self._lanes.status(), self._lanes.budgets()
        )
        if status.eta_seconds is None:
            return status
        seconds, by_quota = self._lanes.time_left(status.total - status.done, status.eta_seconds)
        return replace(
            status, eta_seconds=round(seconds, 1) if seconds < inf else None, eta_by_quota=by_quota
        )

    def _count_what_is_there(self) -> None:
        for total in self._corpus.ledger.totals():
            if total.pile == "traces":
                self._progress.settled_kept += total.samples
            else:
                self._progress.settled_rejected += total.samples

    def _samples_wanted(self) -> int:
        """Samples of the whole source, as far as it is known: the limit, or what was read by
        the end.
        """
        sampling = self._config.sampling
        problems = self._feed.problems if self._feed.passes else self._config.problems.limit
        return problems * (sampling.until_correct or sampling.samples)

    def _count(self, trace: Trace, kept: bool) -> None:
        self._progress.kept += kept
        self._progress.rejected += not kept
        self._progress.verdicts[trace.verdict] += 1

    def _tell(self, every_seconds: float = NOTE_SECONDS) -> None:
        """To the ledger and the log: how it stands."""
        if time.monotonic() - self._noted_at >= every_seconds:
            self._noted_at = time.monotonic()
            status = self.status()
            self._corpus.ledger.note("status", orjson.dumps(status.as_dict()).decode())
            self._event_log.record(status)


def _raise_the_cause(errors: BaseExceptionGroup[BaseException]) -> NoReturn:
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
