"""One run, from the first problem to sealed shards: start, work, stop.

    problem -> Ask -> (lanes) Answer -> (graders) Verdict -> Trace -> (corpus) kept or rejected

Workers pull one iterator and take a sample through its whole life; what happens to a sample is data. A run ends early
for a signal (what is in flight has `drain_seconds`), for a budget or a lane that is gone (what is in flight is
finished), or for a disk that takes no more (what is in flight is given up). Every orderly end seals the shards.
"""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

import orjson
import uvloop

from generator import panel
from generator.config import REHEARSAL_URL, GeneratorConfig, LaneConfig
from generator.corpus import Corpus, Ledger, open_corpus
from generator.feed import Ask, Feed
from generator.grader import Graders
from generator.lanes import Drained, Lanes
from generator.picture import Picture
from generator.problems import open_problems
from generator.record import trace_of, verdict_without_grading
from generator.sampling import Rule
from generator.startup import key_of, rehearsal_teacher, resolved, secrets
from generator.status import Phase, Progress, RunStatus
from generator.teacher import Clocks, Teacher
from shared.exits import CannotWrite, Stopped
from shared.prompts import messages_for
from shared.records import Problem, Trace, trace_id
from shared.shards import write_atomically

NOTE_SECONDS = 2.0  # how often the ledger takes a picture of the run, for `status`


def generate(config: GeneratorConfig, retry: frozenset[str] = frozenset()) -> None:
    """Run until the work is done or a signal has drained it. Errors: `Stopped` says why it ended before."""
    hidden = secrets(config)
    problems = open_problems(config.problems)  # a source that cannot be read ends the run before anything is touched
    accounts = {lane.name: lane.account or lane.name for lane in config.lane}
    corpus = open_corpus(
        Path(config.corpus), config.shards.rows, config.shards.megabytes, hidden, lambda lane: accounts.get(lane, lane)
    )
    uvloop.run(_start_work_stop(config, retry, corpus, problems))


async def _start_work_stop(
    config: GeneratorConfig, retry: frozenset[str], corpus: Corpus, problems: Iterator[Problem]
) -> None:
    orderly = False
    try:
        write_atomically(corpus.path / "config.json", orjson.dumps(resolved(config), option=orjson.OPT_INDENT_2))
        async with AsyncExitStack() as parts:
            if any(lane.base_url == REHEARSAL_URL for lane in config.lane):
                config = await parts.enter_async_context(rehearsal_teacher(config))
            workers = config.grading.workers or min(4, os.cpu_count() or 1)
            graders = await parts.enter_async_context(Graders(workers, config.grading.timeout_seconds))
            lanes = await parts.enter_async_context(_lanes(config, corpus.ledger))
            feed = _feed(config, retry, corpus, problems)
            parts.callback(feed.close)
            run = Run(config, corpus, feed, lanes, graders)
            await run.until_done()
            orderly = True
            print(panel.summary(run.status(), f"python -m generator export {config.corpus} traces.jsonl"), flush=True)
            if run.ended_by:
                raise run.ended_by
    finally:
        await corpus.close(seal=orderly)


def _lanes(config: GeneratorConfig, ledger: Ledger) -> Lanes:
    clocks = Clocks(**config.timeouts.model_dump())

    def teacher_for(lane: LaneConfig) -> Teacher:
        return Teacher(lane.base_url, key_of(lane), clocks, lambda news: lanes.news(lane.name, news))

    lanes = Lanes(config, teacher_for, ledger)
    return lanes


def _feed(config: GeneratorConfig, retry: frozenset[str], corpus: Corpus, problems: Iterator[Problem]) -> Feed:
    sampling = config.sampling
    rule = Rule(sampling.samples, sampling.until_correct, sampling.max_samples, retry, utc_now())
    opened = [problems]

    def open_stream() -> Iterator[Problem]:
        return opened.pop() if opened else open_problems(config.problems)

    def in_thread() -> Ledger:
        return Ledger(corpus.path / "ledger.sqlite", read_only=True)

    return Feed(open_stream, corpus.ledger, in_thread, rule, config.daemon.follow)


class Run:
    """The main loop and what it counts. `ended_by`: why it ended before the work was done, None where it was."""

    def __init__(self, config: GeneratorConfig, corpus: Corpus, feed: Feed, lanes: Lanes, graders: Graders) -> None:
        self._config, self._corpus, self._feed, self._lanes, self._graders = config, corpus, feed, lanes, graders
        self.ended_by: Stopped | None = None
        self._progress = Progress()
        self._picture = Picture(config.corpus, self._progress)
        self._phase: Phase = "running"
        self._note = ""
        self._noted_at = 0.0
        self._workers: list[asyncio.Task[None]] = []
        sampling = config.sampling
        self._params = {
            "temperature": sampling.temperature, "top_p": sampling.top_p, "max_tokens": sampling.max_tokens
        }  # fmt: skip

    # The main loop

    async def until_done(self) -> None:
        """Work until nothing is left, or until drained. Errors: `CannotWrite`; a bug as it is."""
        self._count_what_is_there()
        try:
            async with asyncio.TaskGroup() as group:
                self._listen_to_signals()
                group.create_task(self._corpus.keep_writing(self._note_status))
                showing = group.create_task(panel.show(self.status))
                await self._work_until_done()
                self._corpus.stop_writing()
                showing.cancel()
        except BaseExceptionGroup as group_error:
            _raise_the_cause(group_error)
        self._phase = "stopped" if self.ended_by or self._phase == "draining" else "done"
        self._note_status(every_seconds=0)

    async def _work_until_done(self) -> None:
        async with asyncio.TaskGroup() as group:
            self._workers = [group.create_task(self._work()) for _ in range(self._lanes.most_in_flight)]

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
        except Stopped as stop:  # a budget, a lane, a source that fails: what others have in flight is finished
            self._end(stop)

    async def _life_of(self, ask: Ask) -> None:
        """One sample from the question to the shard."""
        problem, sampling = ask.problem, self._config.sampling
        messages = messages_for(problem.text, sampling.system_prompt, sampling.prompt)
        started_at = utc_now()
        answer = await self._lanes.ask(trace_id(problem.id, ask.sample), messages, self._params)
        verdict = verdict_without_grading(answer.completion)
        if verdict is None:
            self._progress.grading += 1
            try:
                verdict = await self._graders.grade(answer.completion.response, problem.gold, problem.text)
            finally:
                self._progress.grading -= 1
        trace = trace_of(problem, ask.sample, messages, self._params, answer, verdict, started_at, utc_now())
        kept = trace.kept or (trace.verdict == "unverifiable" and sampling.keep_unverifiable)
        await self._corpus.add(trace, kept)
        self._count(trace, kept)

    # Ending

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal, number)

    def _on_signal(self, number: signal.Signals) -> None:
        """The first signal drains, the second kills."""
        if self._phase == "draining":
            asyncio.get_running_loop().remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        seconds = self._config.daemon.drain_seconds
        self.drain(f"{number.name}: calls in flight have {seconds:g} s, a second signal kills")

    def drain(self, why: str) -> None:
        """Start nothing more; end when what is in flight has ended, at the latest after `daemon.drain_seconds`."""
        self._phase, self._note = "draining", why
        print(f"draining: {why}", file=sys.stderr, flush=True)
        self._stop_asking()
        asyncio.get_running_loop().call_later(self._config.daemon.drain_seconds, self._give_up)

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

    # Counting

    def status(self) -> RunStatus:
        """What the run is doing now."""
        self._progress.total = self._samples_wanted()
        return self._picture.take(self._phase, self._note, self._lanes.status())

    def _count_what_is_there(self) -> None:
        for total in self._corpus.ledger.totals():
            if total.pile == "traces":
                self._progress.settled_kept += total.samples
            else:
                self._progress.settled_rejected += total.samples

    def _samples_wanted(self) -> int:
        """Samples of the whole source, as far as it is known: the limit, or what was read by the end."""
        sampling = self._config.sampling
        problems = self._feed.problems if self._feed.passes else self._config.problems.limit
        return problems * (sampling.until_correct or sampling.samples)

    def _count(self, trace: Trace, kept: bool) -> None:
        self._progress.kept += kept
        self._progress.rejected += not kept
        self._progress.verdicts[trace.verdict] += 1

    def _note_status(self, every_seconds: float = NOTE_SECONDS) -> None:
        if time.monotonic() - self._noted_at >= every_seconds:
            self._noted_at = time.monotonic()
            self._corpus.ledger.note("status", orjson.dumps(self.status().as_dict()).decode())


def utc_now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _raise_the_cause(group: BaseExceptionGroup[BaseException]) -> NoReturn:
    """What ended a task group: the one `Stopped` in it if there is nothing worse, else the group itself."""
    _, bugs = group.split(Stopped)
    if bugs is not None:
        raise group
    cause: BaseException = group
    while isinstance(cause, BaseExceptionGroup):
        cause = cause.exceptions[0]
    raise cause from None
