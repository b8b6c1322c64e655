"""Limits of calls, tokens and dollars, under kills, reloads and clocks that jump."""

import os
import time
from pathlib import Path

from tests.chaos.generation import BUDGET, DONE, SIGHUP, Generation, always
from tests.chaos.kinds import kind
from tests.chaos.processes import Process
from tests.chaos.story import Story

TOKENS_A_CALL = 1050
USD_A_CALL = 0.01  # 1,000 completion tokens at 10 dollars a million
IN_FLIGHT = 8
DAY = 86_400
LATE_SECONDS = 3  # from where a call is let in to where the teacher counts it, at most


def killed_a_few_times(generation: Generation, most: int) -> None:
    for _ in range(generation.story.rng.randint(0, most)):
        process = generation.run()
        generation.moment(process)
        if not generation.kill_and_look(process):
            break


@kind("generator", share=4)
def calls_a_day(story: Story) -> None:
    """calls_per_day under kills: the server never counts more, and a used-up day asks nothing."""
    limit = story.rng.randint(5, 26)
    key = story.rng.choice(("lane__calls_per_day", "budget__calls_per_day"))
    generation = Generation(story)
    generation.prepare(50, daemon__wait=False, **{key: limit})
    killed_a_few_times(generation, 5)
    story.end(generation.run(), {BUDGET}, "last run")
    generation.complete(whole=False)
    generation.within(limit, key)
    count = len(generation.teacher.calls)
    story.end(generation.run(), {BUDGET}, "run on a used-up day")
    if len(generation.teacher.calls) != count:
        story.violation("a used-up day was called again")


@kind("generator")
def dollars(story: Story) -> None:
    """usd limits under kills: no more is billed than the limit and what is in flight."""
    limit = story.rng.choice((0.05, 0.1, 0.2))
    key = story.rng.choice(("lane__usd_total", "lane__usd_per_day", "budget__usd_total"))
    generation = Generation(story)
    prices = {"lane__price_in": 0.0, "lane__price_out": 10.0, key: limit}
    generation.prepare(50, always("slow"), daemon__wait=False, **prices)
    killed_a_few_times(generation, 3)
    story.end(generation.run(), {BUDGET}, "last run")
    generation.complete(whole=False)
    spent = generation.teacher.billed * USD_A_CALL
    if spent > limit + IN_FLIGHT * USD_A_CALL + 1e-9:
        story.violation(f"budget: ${spent:.2f} billed, {key} = {limit}, 8 calls in flight")


@kind("generator")
def tokens_a_day(story: Story) -> None:
    """tokens_per_day under kills."""
    limit = 12_000
    generation = Generation(story)
    generation.prepare(50, always("slow"), daemon__wait=False, lane__tokens_per_day=limit)
    killed_a_few_times(generation, 3)
    story.end(generation.run(), {BUDGET}, "last run")
    generation.complete(whole=False)
    billed = generation.teacher.billed * TOKENS_A_CALL
    if billed > limit + IN_FLIGHT * TOKENS_A_CALL:
        story.violation(f"budget: {billed} tokens billed, tokens_per_day = {limit}")


@kind("generator")
def one_account_two_lanes(story: Story) -> None:
    """Two lanes of one account under kills: its calls are counted together."""
    limit = story.rng.randint(8, 22)
    whole_run = story.rng.choice((0, limit - 3))
    generation = Generation(story)
    generation.prepare(
        50,
        daemon__wait=False,
        lane__calls_per_day=limit,
        lane__account="shared",
        budget__calls_per_day=whole_run,
    )
    text = generation.config.read_text()
    lane = text[text.index("[[lane]]") :].replace('"only"', '"other"')
    generation.config.write_text(
        text + lane.replace(f"calls_per_day = {limit}", f"calls_per_day = {limit + 9}")
    )
    killed_a_few_times(generation, 3)
    story.end(generation.run(), {BUDGET}, "last run")
    generation.complete(whole=False)
    generation.within(whole_run or limit, "of the account")


@kind("generator")
def limits_reloaded(story: Story) -> None:
    """calls_per_day is lowered and raised by SIGHUP under load."""
    generation = Generation(story)
    generation.prepare(50, gap=0.008, daemon__wait=False, lane__calls_per_day=20)
    process = generation.run()
    story.until(lambda: len(generation.teacher.calls) >= 5, process)
    generation.edit("calls_per_day = 20", "calls_per_day = 12")
    process.send(SIGHUP)
    story.end(process, {BUDGET}, "run with a lowered limit")
    generation.complete(whole=False)
    generation.within(20)
    generation.edit("calls_per_day = 12", "calls_per_day = 25")
    process = generation.run()
    process.wait(story.rng.uniform(0.1, 0.6))
    process.send(SIGHUP)
    story.end(process, {BUDGET}, "run with a raised limit")
    generation.complete(whole=False)
    generation.within(25)


class Clock:
    """The wall clock that a process sees, off by so many seconds."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "clock"
        self.path.write_bytes(bytes(8))
        self.machine = {"DIR": folder / "corpus", "CLOCK": self.path}

    def set(self, seconds: int) -> None:
        descriptor = os.open(self.path, os.O_WRONLY)
        os.pwrite(descriptor, seconds.to_bytes(8, "little", signed=True), 0)
        os.close(descriptor)


OFFSETS = (0, -3600, 3600, -DAY, DAY, 400 * DAY, -3000 * DAY, 5, -5)


@kind("generator", machine=True)
def jumping_clock(story: Story) -> None:
    """The clock jumps by seconds, hours, days and years during a run; kills between."""
    generation = Generation(story)
    generation.prepare(18, gap=0.01)
    clock = Clock(story.folder)
    for _ in range(story.rng.randint(1, 2)):
        clock.set(story.rng.choice(OFFSETS))
        process = generation.run(machine=clock.machine)
        story.until(lambda: len(generation.teacher.calls) > 2, process)
        for _ in range(story.rng.randint(1, 4)):
            process.wait(story.rng.uniform(0.02, 0.3))
            clock.set(story.rng.choice(OFFSETS))
        if story.rng.random() < 0.6:
            generation.kill_and_look(process)
        else:
            story.end(process, {DONE}, "run with a jumping clock")
            generation.look()
    generation.finish()


@kind("generator", machine=True)
def clock_set_back(story: Story) -> None:
    """The clock goes back an hour or days, in a run and between two: a used-up day stays used up."""
    limit = 10
    generation = Generation(story)
    generation.prepare(30, gap=0.008, daemon__wait=False, lane__calls_per_day=limit)
    clock = Clock(story.folder)
    process = generation.run(machine=clock.machine)
    story.until(lambda: len(generation.teacher.calls) > 3, process)
    clock.set(story.rng.choice((-3600, -DAY, -10 * DAY, 10)))
    story.end(process, {BUDGET}, "run whose clock goes back")
    clock.set(story.rng.choice((-3600, -DAY, -10 * DAY, 0)))
    story.end(generation.run(machine=clock.machine), {BUDGET}, "run with the clock set back")
    generation.within(limit)
    generation.complete(whole=False)


@kind("generator", machine=True)
def day_turns(story: Story) -> None:
    """Midnight comes during the run: each day has its calls and no more."""
    limit = 8
    generation = Generation(story)
    generation.prepare(30, always("plain"), daemon__wait=True, lane__calls_per_day=limit)
    clock = Clock(story.folder)
    midnight = int(time.time()) + story.rng.randint(4, 7)  # by the clock of the teacher
    clock.set(-midnight % DAY)
    process = generation.run(machine=clock.machine)
    _calls_reach(generation, process, limit)
    _calls_reach(generation, process, limit + 1)
    process.wait(2.0)
    _calls_of_each_day(generation, midnight, limit)
    if len(generation.teacher.calls) <= limit:
        story.note("no call within the seconds after midnight")
    process.send(15)
    story.end(process, {DONE}, "run over midnight")
    generation.complete(whole=False)


def _calls_of_each_day(generation: Generation, midnight: float, limit: int) -> None:
    """A busy machine may begin so late that calls of both days come close together: one that was
    let in before midnight may arrive after it, and none the other way round.
    """
    generation.within(2 * limit, "calls_per_day on two days")
    moments = [call.at for call in generation.teacher.calls]
    days = {
        "the day before": sum(at < midnight for at in moments),
        "the day after": sum(at > midnight + LATE_SECONDS for at in moments),
    }
    for day, count in days.items():
        if count > limit:
            generation.story.violation(f"budget: {count} calls on {day}, calls_per_day = {limit}")


def _calls_reach(generation: Generation, process: Process, count: int) -> None:
    generation.story.until(lambda: len(generation.teacher.calls) >= count, process, 16)
