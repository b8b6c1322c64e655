"""One run, from the first problem to sealed shards: start, work, stop.

Workers pull one iterator and take a sample through its whole life; what happens to a sample is
data. A run ends early for a signal (what is in flight has `drain_seconds`), for a budget or a lane
that is gone (what is in flight is finished), or for a disk that takes no more (what is in flight is
given up). Every orderly end seals the shards.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path

import orjson
import uvloop

from generator.config import REHEARSAL_URL, GeneratorConfig, LaneConfig
from generator.corpus import Corpus, Ledger, open_corpus
from generator.grading.pool import Graders
from generator.intake import Intake
from generator.lanes import Lanes
from generator.monitor import console
from generator.monitor.server import Access, dashboard_server
from generator.record import utc_now, with_flags
from generator.run import Run
from generator.sample_policy import Rule
from generator.startup import (
    EarlySignals,
    key_of,
    rehearsal_teacher,
    resolved,
    secrets,
    within_open_files,
)
from generator.work_queue import Feed, Place
from shared.chat_api import Clocks, Teacher
from shared.errors import typed
from shared.records import Problem
from shared.shards import write_atomically

SCREENING_SECONDS = 10.0
LATEST_TRACES = 20  # shown on the dashboard


def generate(
    config: GeneratorConfig,
    retry: frozenset[str] = frozenset(),
    read_again: Callable[[], GeneratorConfig] | None = None,
) -> None:
    """Run until the work is done or a signal has drained it. Errors: `Stopped` says why it ended
    before.

    `retry`: samples with these verdicts are asked again. `read_again`: the configuration as it is
    now, for a reload.
    """
    early = EarlySignals()
    hidden = secrets(config)
    config = within_open_files(config)
    accounts = {lane.name: lane.account or lane.name for lane in config.lane}
    shards = config.shards
    corpus = open_corpus(
        Path(config.corpus),
        shards.rows,
        shards.megabytes,
        hidden,
        lambda lane: accounts.get(lane, lane),
        with_flags,
    )
    again = read_again or (lambda: config)
    uvloop.run(_start_work_stop(config, corpus, retry, lambda: within_open_files(again()), early))


async def _start_work_stop(
    config: GeneratorConfig,
    corpus: Corpus,
    retry: frozenset[str],
    read_again: Callable[[], GeneratorConfig],
    early: EarlySignals,
) -> None:
    orderly = False
    try:
        # Start: whatever the user got wrong shows here, before a call is spent.
        intake = Intake(
            config.problems,
            config.screening,
            corpus.path,
            _say_now_and_then(),
            not config.sampling.keep_unverifiable,
        )
        feed = _feed(config, retry, corpus, intake)
        write_atomically(
            corpus.path / "config.json", orjson.dumps(resolved(config), option=orjson.OPT_INDENT_2)
        )
        async with AsyncExitStack() as parts:
            parts.callback(feed.close)
            if any(lane.base_url == REHEARSAL_URL for lane in config.lane):
                config = await parts.enter_async_context(rehearsal_teacher(config))
            processes = config.grading.workers or min(4, os.cpu_count() or 1)
            graders = await parts.enter_async_context(
                Graders(processes, config.grading.timeout_seconds)
            )
            await graders.check()
            lanes = await parts.enter_async_context(_lanes(config, corpus))
            run = Run(config, corpus, feed, lanes, graders, read_again)
            if config.daemon.port:
                print(
                    f"dashboard: {await parts.enter_async_context(_server(config, corpus, run))}",
                    flush=True,
                )

            # Work.
            if early.hangup:
                run.hang_up()
            await run.until_done()
            orderly = True

            # Stop: in reverse order, each part by its own end.
            for line in intake.tally.in_words():
                print(f"problems: {line}", flush=True)
            print(
                console.summary(
                    run.status(), f"{typed('generator')} export {config.corpus} traces.jsonl"
                ),
                flush=True,
            )
            if run.ended_by:
                raise run.ended_by
    finally:
        await corpus.close(seal=orderly)


def _feed(config: GeneratorConfig, retry: frozenset[str], corpus: Corpus, intake: Intake) -> Feed:
    """The problems that pass the screening, opened once here so that a source that cannot be
    read ends the run.
    """
    order = f"{intake.order} {config.sampling.samples}"
    place = orjson.loads(corpus.ledger.noted("place") or "{}")
    known = place.get("order") == order and intake.order and not retry
    opened = [intake.open(place["read"], place["taken"]) if known else intake.open()]
    if intake.tally.files:
        print(f"problems: {intake.tally.files}", flush=True)
    for bad in opened[0].tally.bad:
        print(f"skipped: {bad}", flush=True)
    sampling = config.sampling
    longer = sampling.longer_max_tokens > sampling.max_tokens
    rule = Rule(
        sampling.samples,
        sampling.until_correct,
        sampling.max_samples,
        retry,
        utc_now(),
        sampling.hopeless,
        longer,
    )

    def open_stream() -> Iterator[Problem]:
        return opened.pop() if opened else intake.open()

    def in_thread() -> Ledger:
        return Ledger(corpus.path / "ledger.sqlite", read_only=True)

    def note_place(place: Place) -> None:
        if intake.order:
            text = orjson.dumps({"order": order, "read": place.read, "taken": place.taken}).decode()
            corpus.ledger.note("place", text)

    return Feed(open_stream, corpus.ledger, in_thread, rule, config.daemon.follow, note_place)


def _say_now_and_then() -> Callable[[int], None]:
    """Tells of a long first screening: a line every ten seconds."""
    said_at = time.monotonic()

    def say(rows: int) -> None:
        nonlocal said_at
        if time.monotonic() - said_at >= SCREENING_SECONDS:
            said_at = time.monotonic()
            print(f"screening the problems, once for this data: {rows:,} so far", flush=True)

    return say


def _lanes(config: GeneratorConfig, corpus: Corpus) -> Lanes:
    clocks = Clocks(**config.timeouts.model_dump())

    def teacher_for(lane: LaneConfig) -> Teacher:
        return Teacher(lane.base_url, key_of(lane), clocks)

    return Lanes(config, teacher_for, corpus.ledger, corpus.high_water)


def _server(config: GeneratorConfig, corpus: Corpus, run: Run) -> AbstractAsyncContextManager[str]:
    daemon = config.daemon
    access = Access(daemon.host, os.environ.get(daemon.token_env, ""), daemon.token_env)
    return dashboard_server(
        daemon.host,
        daemon.port,
        access,
        run.status,
        lambda: corpus.latest_traces(LATEST_TRACES),
        run,
    )
