"""The feed: every problem once, in order, finished ones skipped, memory and the event loop left
alone.
"""

import asyncio
import queue
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import generator.work_queue
from generator.config import ProblemsConfig
from generator.corpus.ledger import Ledger
from generator.problems import ProblemTally, open_problems
from generator.sample_policy import Ask, Rule
from generator.work_queue import Feed
from shared.errors import InputError
from shared.records import Problem
from shared.shards import Position
from tests.generator.traces import trace

AT = Position("traces/shard-000000.jsonl", 0, 1)


def problems(count: int) -> Iterator[Problem]:
    return (Problem.of(f"problem {n}", "1", "test") for n in range(count))


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    new_ledger = Ledger(tmp_path / "ledger.sqlite")
    yield new_ledger
    new_ledger.close()


def feed_of(tmp_path: Path, ledger: Ledger, count: int, rule: Rule) -> Feed:
    def in_thread() -> Ledger:
        return Ledger(tmp_path / "ledger.sqlite", read_only=True)

    return Feed(lambda: problems(count), ledger, in_thread, rule, follow=False)


async def drain(feed: Feed) -> list[Ask]:
    asks = []
    while (ask := await feed.next()) is not None:
        asks.append(ask)
    feed.close()
    return asks


async def test_every_sample_of_every_problem_comes_once_in_order(
    tmp_path: Path, ledger: Ledger
) -> None:
    asks = await drain(feed_of(tmp_path, ledger, 200, Rule(samples=2)))
    assert [(ask.problem.text, ask.sample) for ask in asks] == [
        (f"problem {n}", s) for n in range(200) for s in (0, 1)
    ]


async def test_what_is_finished_is_skipped_committed_or_not(tmp_path: Path, ledger: Ledger) -> None:
    for number in range(150):
        ledger.add_sample(trace(f"problem {number}"), AT)
    ledger.commit()
    ledger.add_sample(trace("problem 155"), AT)
    asks = await drain(feed_of(tmp_path, ledger, 160, Rule()))
    assert [ask.problem.text for ask in asks] == [
        f"problem {n}" for n in range(150, 160) if n != 155
    ]


async def test_many_workers_share_the_feed_without_taking_anything_twice(
    tmp_path: Path, ledger: Ledger
) -> None:
    feed = feed_of(tmp_path, ledger, 500, Rule())
    asks: list[str] = []

    async def work() -> None:
        while (ask := await feed.next()) is not None:
            asks.append(ask.problem.id)
            await asyncio.sleep(0)
            ledger.add_sample(trace(ask.problem.text), AT)
            feed.settle(ask.problem)

    async with asyncio.TaskGroup() as group:
        for _ in range(50):
            group.create_task(work())
    feed.close()
    assert len(asks) == len(set(asks)) == 500


async def test_a_stopped_feed_offers_nothing_more(tmp_path: Path, ledger: Ledger) -> None:
    feed = feed_of(tmp_path, ledger, 10, Rule())
    assert await feed.next() is not None
    feed.stop()
    assert await feed.next() is None
    feed.close()


@pytest.mark.timing
async def test_a_slow_source_does_not_hold_up_the_event_loop(
    tmp_path: Path, ledger: Ledger
) -> None:
    def slow() -> Iterator[Problem]:
        for problem in problems(3):
            time.sleep(0.2)
            yield problem

    feed = Feed(slow, ledger, lambda: Ledger(tmp_path / "ledger.sqlite", read_only=True), Rule())
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.01)
            ticks += 1

    ticking = asyncio.create_task(tick())
    assert len(await drain(feed)) == 3
    ticking.cancel()
    assert ticks > 10


async def test_what_the_source_raises_reaches_the_worker(tmp_path: Path, ledger: Ledger) -> None:
    def broken() -> Iterator[Problem]:
        yield from problems(1)
        raise InputError("the hub is gone")

    feed = Feed(broken, ledger, lambda: Ledger(tmp_path / "ledger.sqlite", read_only=True), Rule())
    with pytest.raises(InputError, match="hub is gone"):
        await drain(feed)
    feed.close()


async def test_a_failed_sample_is_asked_again_once_where_that_is_asked_for(
    tmp_path: Path, ledger: Ledger
) -> None:
    ledger.add_sample(trace("problem 0", verdict="failed"), AT)
    ledger.add_sample(trace("problem 1"), AT)
    ledger.commit()
    rule = Rule(retry=frozenset({"failed"}), retry_before="2027-01-01")
    asks = await drain(feed_of(tmp_path, ledger, 2, rule))
    assert [(ask.problem.text, ask.sample) for ask in asks] == [("problem 0", 1)]


async def test_a_followed_file_whose_last_line_is_still_being_written_is_looked_at_again(
    tmp_path: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generator.work_queue, "FOLLOW_SECONDS", 0.05)
    path = tmp_path / "problems.jsonl"
    torn_looks = queue.Queue[bool]()
    path.write_text('{"problem": "one", "answer": "1"}\n')

    def opened() -> Iterator[Problem]:
        if not path.read_bytes().endswith(b"\n"):
            torn_looks.put(True)
        return open_problems(ProblemsConfig(source=str(path)))

    def in_thread() -> Ledger:
        return Ledger(tmp_path / "ledger.sqlite", read_only=True)

    feed = Feed(opened, ledger, in_thread, Rule(), follow=True)
    first_ask = await feed.next()
    with path.open("a") as file:
        file.write('{"problem": "two", "ans')
        file.flush()
        second_ask = asyncio.create_task(feed.next())
        for _ in range(2):
            await asyncio.to_thread(torn_looks.get, timeout=60)
        file.write('wer": "2"}\n')
    late_ask = await second_ask
    assert [ask and ask.problem.text for ask in (first_ask, late_ask)] == ["one", "two"]
    path.write_text('{"problem": "two", "ans')
    with pytest.raises(InputError, match=r"problems\.jsonl:1: not JSON"):
        await Feed(opened, ledger, in_thread, Rule()).next()
    feed.close()


class Numbered(Iterator[Problem]):
    """Problems with a tally, as the real streams have one; `read` says where to begin."""

    def __init__(self, count: int, read: int = 0) -> None:
        self.tally = ProblemTally(read=read, taken=read)
        self._count = count

    def __next__(self) -> Problem:
        if self.tally.read == self._count:
            raise StopIteration
        self.tally.read += 1
        self.tally.taken += 1
        return Problem.of(f"problem {self.tally.read - 1}", "1", "test")


async def test_the_next_run_may_start_where_all_before_is_finished_and_never_behind(
    tmp_path: Path, ledger: Ledger
) -> None:
    places: list[int] = []

    def in_thread() -> Ledger:
        return Ledger(tmp_path / "ledger.sqlite", read_only=True)

    feed = Feed(
        lambda: Numbered(300),
        ledger,
        in_thread,
        Rule(),
        on_place=lambda place: places.append(place.read),
    )
    asks = [await feed.next() for _ in range(200)]
    for ask in reversed(asks[1:]):
        ledger.add_sample(trace(ask.problem.text), AT)
        feed.settle(ask.problem)
    assert max(places) == 0  # the first problem is still in flight
    ledger.add_sample(trace(asks[0].problem.text), AT)
    feed.settle(asks[0].problem)
    assert max(places) == 192  # the batch of 64 that has problems in flight begins there
    given_up = await feed.next()
    assert given_up is not None
    feed.settle(given_up.problem)
    remaining_asks = await drain(feed)
    for ask in remaining_asks:
        ledger.add_sample(trace(ask.problem.text), AT)
        feed.settle(ask.problem)
    assert max(places) == 192


async def test_a_run_that_starts_at_a_place_reads_only_what_comes_after(
    tmp_path: Path, ledger: Ledger
) -> None:
    places: list[int] = []

    def in_thread() -> Ledger:
        return Ledger(tmp_path / "ledger.sqlite", read_only=True)

    feed = Feed(
        lambda: Numbered(300, 250),
        ledger,
        in_thread,
        Rule(),
        on_place=lambda place: places.append(place.read),
    )
    asks = await drain(feed)
    assert [ask.problem.text for ask in asks] == [f"problem {n}" for n in range(250, 300)]
    assert feed.problems == 300
