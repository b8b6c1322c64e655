"""One run, from the first problem to sealed shards: start, work, stop.

Workers pull one iterator and take a sample through its whole life; what happens to a sample is
data. A run ends early for a signal (what is in flight has `drain_seconds`), for a budget or a lane
that is gone (what is in flight is finished), or for a disk that takes no more (what is in flight is
given up). Every orderly end seals the shards.
"""

import gc
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson
import uvloop

from generator.batch import BatchLane, Surroundings, refuse_unpriced, take_up
from generator.config import GeneratorConfig, LaneConfig, SamplingConfig
from generator.corpus import Corpus, Ledger, open_corpus
from generator.errors import HalfWritten
from generator.grading.pool import Graders
from generator.intake import Intake
from generator.keys import key_of, secrets
from generator.lanes import Lanes
from generator.monitor import console
from generator.monitor.server import Access, dashboard_server
from generator.monitor.status import Phase
from generator.open_files import within_open_files
from generator.parts.part import Part, PartStream, note_done, task_digest
from generator.problems import ProblemStream
from generator.quota import owner_of, shared_store
from generator.record import utc_now, with_flags
from generator.recorded_config import write_config
from generator.rehearsal.launch import with_rehearsal_teacher
from generator.run import Run
from generator.sample_policy import Rule
from generator.signals import EarlySignals
from generator.spending import SharedStore
from generator.work_queue import Feed
from generator.work_queue.reader import Place
from shared.chat_api import ChatClient, Clocks
from shared.chat_api.batch_client import BatchClient
from shared.errors import typed
from shared.records import Problem
from shared.startup import end_on_a_signal

SCREENING_SECONDS = 10.0  # between two lines about a long first screening
LATEST_TRACES = 20  # shown on the dashboard
GRADING_PROCESSES_MAX = 4
# Objects more than before, collections of the youngest generation, of the middle one. What a call
# makes is freed without them. They are for cycles, such as those of exceptions: 50,000 objects of
# these are some megabytes.
GARBAGE_THRESHOLDS = (50_000, 20, 100)


def generate(
    config: GeneratorConfig,
    retry: frozenset[str] = frozenset(),
    read_again: Callable[[], GeneratorConfig] | None = None,
    part: Part | None = None,
) -> None:
    """Run until the work is done or a signal has drained it. Errors: `Stopped` says why it ended
    before.

    `part`: only its problems are asked; the configuration is the part's own. `retry`: samples with
    these verdicts are asked again. `read_again`: the configuration as it is now, for a reload.
    """
    signals = EarlySignals()
    refuse_unpriced(config.lane)
    hidden_texts = secrets(config)
    config = within_open_files(config)
    accounts = {lane.name: lane.account or lane.name for lane in config.lane}
    corpus = open_corpus(
        Path(config.corpus),
        config.shards.rows,
        config.shards.megabytes,
        hidden_texts,
        lambda lane: accounts.get(lane, lane),
        with_flags,
    )

    def config_as_it_is_now() -> GeneratorConfig:
        return within_open_files(read_again() if read_again else config)

    try:
        phase = uvloop.run(
            _start_work_stop(config, corpus, retry, config_as_it_is_now, signals, part)
        )
    finally:
        end_on_a_signal("after the last call")  # the loop took its handlers with it
    if part is not None and phase == "done":
        note_done(corpus.path, task_digest(config))


def look_for_garbage_seldom() -> None:
    """Let the garbage collector pass over what starting has made, and look less often at the rest.

    A full look walks the objects of every live stream, and none of them is read meanwhile: at 2,500
    streams 0.17 s, several times while they start.
    """
    gc.freeze()
    gc.set_threshold(*GARBAGE_THRESHOLDS)


async def _start_work_stop(
    config: GeneratorConfig,
    corpus: Corpus,
    retry: frozenset[str],
    read_again: Callable[[], GeneratorConfig],
    signals: EarlySignals,
    part: Part | None,
) -> Phase:
    """The phase that it ended in."""
    is_orderly = False
    try:
        # Start: whatever the user got wrong shows here, before a call is spent.
        needs_gold = not config.sampling.keep_unverifiable
        intake = Intake(
            config.problems, config.screening, corpus.path, _screening_lines(), needs_gold, part
        )
        feed = _feed(config, retry, corpus, intake)
        write_config(corpus.path, config)
        async with AsyncExitStack() as parts:
            parts.callback(feed.close)
            # of the whole source, of which a part has some share
            most_problems = config.problems.limit if part is None else 0
            run = await _start(config, corpus, feed, read_again, most_problems, parts)

            # Work.
            look_for_garbage_seldom()
            if signals.hangup:
                run.hang_up()
            await run.until_done()
            is_orderly = True

            # Stop: in reverse order, each part by its own end.
            _print_summary(config, intake, run)
            if run.ended_by:
                raise run.ended_by
            return run.status().phase
    finally:
        await corpus.close(seal=is_orderly)


async def _start(
    config: GeneratorConfig,
    corpus: Corpus,
    feed: Feed,
    read_again: Callable[[], GeneratorConfig],
    most_problems: int,
    parts: AsyncExitStack,
) -> Run:
    """The teacher's process, the graders, the lanes and the server, each ended by `parts`."""
    store = shared_store(config.budget)
    config = await parts.enter_async_context(with_rehearsal_teacher(config))
    processes = config.grading.workers or min(GRADING_PROCESSES_MAX, os.cpu_count() or 1)
    graders = await parts.enter_async_context(Graders(processes, config.grading.timeout_seconds))
    await graders.check()
    lanes = await parts.enter_async_context(_lanes(config, corpus, store))
    run = Run(config, corpus, feed, lanes, graders, read_again, most_problems)
    _add_batch_lanes(config, corpus, feed, lanes, run)
    if config.daemon.port:
        address = await parts.enter_async_context(_server(config, corpus, run))
        print(f"dashboard: {address}", flush=True)
    return run


def _print_summary(config: GeneratorConfig, intake: Intake, run: Run) -> None:
    for line in intake.tally.in_words():
        print(f"problems: {line}", flush=True)
    export = f"{typed('generator')} export {config.corpus} traces.jsonl"
    print(console.summary(run.status(), export), flush=True)


def _feed(config: GeneratorConfig, retry: frozenset[str], corpus: Corpus, intake: Intake) -> Feed:
    """The problems that pass the screening, opened once here so that a source that cannot be
    read ends the run.
    """
    order = f"{intake.order} {config.sampling.samples}"
    place = orjson.loads(corpus.ledger.noted("place") or "{}")
    is_known_place = place.get("order") == order and intake.order and not retry
    streams: list[Iterator[Problem]] = []
    try:
        first_stream = _open_at(intake, place) if is_known_place else intake.open()
    except HalfWritten as error:
        if not config.daemon.follow:
            raise
        print(f"problems: {error}; looked at again as a followed source is", flush=True)
    else:
        streams.append(first_stream)
        _print_opened(intake, first_stream.tally.bad)

    def open_stream() -> Iterator[Problem]:
        return streams.pop() if streams else intake.open()

    def open_ledger() -> Ledger:
        return Ledger(corpus.path / "ledger.sqlite", read_only=True)

    def note_place(place: Place) -> None:
        if intake.order:
            text = orjson.dumps({"order": order, **asdict(place)}).decode()
            corpus.ledger.note("place", text)

    rule = _rule(config.sampling, retry)
    first_place = Place(0, 0, 0)
    if is_known_place:
        own = place.get("own", place["taken"])
        first_place = Place(place["read"], place["taken"], own)
    return Feed(
        open_stream,
        corpus.ledger,
        open_ledger,
        rule,
        config.daemon.follow,
        note_place,
        first_place,
    )


def _print_opened(intake: Intake, bad_lines: Iterable[str]) -> None:
    """What a user wants to know of a source that was opened."""
    for line in (intake.tally.columns, intake.tally.files):
        if line:
            print(f"problems: {line}", flush=True)
    for bad_line in bad_lines:
        print(f"skipped: {bad_line}", flush=True)


def _open_at(intake: Intake, place: dict[str, Any]) -> ProblemStream | PartStream:
    return intake.open(place["read"], place["taken"], place.get("own", place["taken"]))


def _rule(sampling: SamplingConfig, retry: frozenset[str]) -> Rule:
    return Rule(
        samples=sampling.samples,
        until_correct=sampling.until_correct,
        max_samples=sampling.max_samples,
        retry=retry,
        retry_before=utc_now(),
        hopeless=sampling.hopeless,
        longer=sampling.longer_max_tokens > sampling.max_tokens,
    )


def _screening_lines() -> Callable[[int], None]:
    """Tells of a long first screening: a line every ten seconds."""
    said_at = time.monotonic()

    def say(rows: int) -> None:
        nonlocal said_at
        if time.monotonic() - said_at >= SCREENING_SECONDS:
            said_at = time.monotonic()
            print(f"screening the problems, once for this data: {rows:,} so far", flush=True)

    return say


def _lanes(config: GeneratorConfig, corpus: Corpus, store: SharedStore | None) -> Lanes:
    clocks = Clocks(**config.timeouts.model_dump())

    def teacher_for(lane: LaneConfig) -> ChatClient:
        return ChatClient(lane.base_url, key_of(lane), clocks)

    owner = owner_of(corpus.path, corpus.ledger) if store else ""
    return Lanes(config, teacher_for, corpus.ledger, corpus.high_water, store=store, owner=owner)


def _add_batch_lanes(
    config: GeneratorConfig, corpus: Corpus, feed: Feed, lanes: Lanes, run: Run
) -> None:
    """Lanes that send files, with the batches that earlier runs have sent."""
    around = Surroundings(
        folder=corpus.path / "batches",
        ledger=corpus.ledger,
        samples=feed,
        question=run.sampler.question,
        finish=run.sampler.finish,
        sync=corpus.sync,
        tell=run.tell,
        attempts=config.retry.attempts,
        waits=config.daemon.wait,
        draining=run.draining,
    )
    batch_lanes = {}
    for lines in lanes.line_budgets():
        lane = lines.config
        client = BatchClient(lane.base_url, key_of(lane), lane.batch.purpose)
        batch_lanes[lane.name] = BatchLane(lines, client, around)
    take_up(batch_lanes, around, feed.hold)
    run.add_batch_lanes(list(batch_lanes.values()))


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
