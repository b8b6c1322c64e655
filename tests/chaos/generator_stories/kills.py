"""Processes that end at any moment: killed, drained, stopped, or told to read their
configuration again in a storm.
"""

import signal
import time

from tests.chaos.generation import (
    BUDGET,
    DONE,
    SIGCONT,
    SIGHUP,
    SIGKILL,
    SIGSTOP,
    Generation,
    always,
    some_of,
)
from tests.chaos.kinds import kind
from tests.chaos.processes import Process
from tests.chaos.story import HANG_SECONDS, SIGNALS, Story

HOW = ("before", "after", "torn")


@kind("generator", share=6)
def kills(story: Story) -> None:
    """Two to six kill -9 at random moments of the work, then to the end."""
    generation = Generation(story)
    generation.samples = story.rng.choice((1, 1, 1, 2))
    generation.prepare(sampling__samples=generation.samples)
    for _ in range(story.rng.randint(2, 6)):
        process = generation.run()
        generation.moment(process)
        if not generation.kill_and_look(process):
            break
    generation.finish()


@kind("generator")
def kills_until_correct(story: Story) -> None:
    """Kills where what is asked next depends on the verdicts so far."""
    generation = Generation(story)
    generation.samples = None
    choose = some_of("slow", "wrong", "plain", "truncated")
    generation.prepare(
        14,
        choose,
        sampling__until_correct=1,
        sampling__max_samples=3,
        sampling__hopeless=0,
    )
    for _ in range(story.rng.randint(1, 4)):
        process = generation.run()
        generation.moment(process)
        if not generation.kill_and_look(process):
            break
    generation.finish()


@kind("generator")
def kills_in_retries(story: Story) -> None:
    """Rejected samples are asked again under new numbers; kills in between."""
    generation = Generation(story)
    generation.samples = None
    generation.prepare(16, some_of("slow", "wrong", "truncated", "plain"))
    story.end(generation.run(), {DONE})
    generation.look()
    for _ in range(story.rng.randint(1, 3)):
        process = generation.run("--retry", "incorrect,truncated")
        generation.moment(process)
        generation.kill_and_look(process)
    generation.finish()


@kind("generator", share=6)
def kills_at_start(story: Story) -> None:
    """Four to nine kills in a row while a run starts and compares its ledger with its shards."""
    generation = Generation(story)
    generation.prepare()
    process = generation.run()
    generation.moment(process)
    generation.kill_and_look(process)
    for _ in range(story.rng.randint(4, 9)):
        process = generation.run()
        process.wait(story.rng.uniform(0, 0.35))
        generation.kill_and_look(process)
    generation.finish()


@kind("generator", share=1)
def kills_in_imports(story: Story) -> None:
    """A fresh interpreter, killed or stopped within its imports; what it leaves is a start."""
    generation = Generation(story)
    generation.prepare(8)
    for _ in range(2):
        process = generation.run(fresh=True)
        process.wait(story.rng.uniform(0.05, 0.8))
        if story.rng.random() < 0.5:
            generation.kill_and_look(process)
            continue
        number = story.rng.choice(SIGNALS)
        process.send(number)
        process.wait(HANG_SECONDS)
        if "init_import_site" not in process.text():  # or Python itself was not yet there
            story.end(process, {DONE, 128 + number, -number}, "run stopped within its imports")
        generation.look()
    generation.finish()


@kind("generator", share=3)
def kills_in_drain(story: Story) -> None:
    """A kill -9 inside the drain and the sealing that a signal asked for."""
    generation = Generation(story)
    generation.prepare()
    for _ in range(story.rng.randint(1, 4)):
        process = generation.run()
        generation.moment(process)
        process.send(story.rng.choice(SIGNALS))
        process.wait(story.rng.uniform(0, 0.4))
        generation.kill_and_look(process)
    generation.finish()


def killed_at_operation(
    generation: Generation, process: Process, codes: tuple[int, ...] = (DONE,)
) -> bool:
    """A process under the hostile machine's kill; whether it was killed."""
    story = generation.story
    code = process.wait(90)
    killed = code == -SIGKILL
    story.kills += killed
    if not killed:
        story.end(process, codes, "run under a kill that did not come")
    generation.look()
    return killed


@kind("generator", machine=True, share=6)
def kills_at_an_operation(story: Story) -> None:
    """Killed at the Nth operation on the corpus' files: before, after, or half way through it."""
    generation = Generation(story)
    generation.prepare(story.rng.randint(10, 20))
    for _ in range(story.rng.randint(2, 5)):
        machine = {
            "DIR": generation.corpus,
            "KILL_AT": story.rng.randint(1, story.rng.choice((25, 60, 150, 400))),
            "KILL_HOW": story.rng.choice(HOW),
        }
        killed_at_operation(generation, generation.run(machine=machine))
    generation.finish()


@kind("generator", machine=True)
def kills_in_the_rebuilding(story: Story) -> None:
    """The ledger is gone, and kills fall into its rebuilding."""
    generation = Generation(story)
    generation.prepare(20)
    generation.partly(6, "kill")
    generation.remove_ledger()
    for _ in range(story.rng.randint(2, 4)):
        machine = {
            "DIR": generation.corpus,
            "KILL_AT": story.rng.randint(1, 45),
            "KILL_HOW": story.rng.choice(HOW),
        }
        killed_at_operation(generation, generation.run(machine=machine))
    generation.finish()


@kind("generator", machine=True)
def kills_in_reindex(story: Story) -> None:
    """Kills inside `reindex`, then a run."""
    generation = Generation(story)
    generation.prepare(20)
    generation.partly(5, "kill")
    for _ in range(story.rng.randint(1, 3)):
        machine = {
            "DIR": generation.corpus,
            "KILL_AT": story.rng.randint(1, 30),
            "KILL_HOW": story.rng.choice(HOW),
        }
        process = generation.command("reindex", generation.corpus, machine=machine)
        killed_at_operation(generation, process)
    generation.finish()


@kind("generator", machine=True)
def power_cuts(story: Story) -> None:
    """The power goes at the Nth operation: files keep what was fsynced, and limits hold."""
    limit = story.rng.randint(15, 40)
    generation = Generation(story)
    generation.prepare(20, always("slow"), daemon__wait=False, lane__calls_per_day=limit)
    for _ in range(story.rng.randint(1, 3)):
        machine = {
            "DIR": generation.corpus,
            "KILL_AT": story.rng.randint(20, 250),
            "KILL_HOW": "power",
        }
        killed = killed_at_operation(generation, generation.run(machine=machine), (DONE, BUDGET))
        if not killed:
            break
    code = story.end(generation.run(), {DONE, BUDGET}, "last run")
    generation.complete(whole=code == DONE)
    generation.within(limit)


@kind("generator")
def drains(story: Story) -> None:
    """SIGTERM or SIGINT at random moments: exit 0, sealed, whole."""
    generation = Generation(story)
    generation.prepare()
    for _ in range(story.rng.randint(1, 3)):
        process = generation.run()
        generation.moment(process)
        story.stopped(process, story.rng.choice(SIGNALS), "drained run")
        generation.look()
        if list(generation.corpus.rglob("*.open")):
            story.violation("open shards after a drain")
    generation.finish()


@kind("generator")
def two_signals(story: Story) -> None:
    """A second signal kills, with its own code; the next run goes on."""
    generation = Generation(story)
    generation.prepare(choose=always("slow"), gap=0.02)
    process = generation.run()
    generation.moment(process)
    process.send(story.rng.choice(SIGNALS))
    process.wait(story.rng.uniform(0, 0.6))
    process.send(story.rng.choice(SIGNALS))
    codes = {DONE} | {
        sign * value for number in SIGNALS for sign, value in ((-1, number), (1, 128 + number))
    }
    story.end(process, codes, "run with two signals")
    generation.look()
    generation.finish()


@kind("generator")
def stopped_and_continued(story: Story) -> None:
    """SIGSTOP for a while, again and again: calls time out, nothing else happens."""
    generation = Generation(story)
    generation.prepare()
    process = generation.run()
    for _ in range(story.rng.randint(1, 3)):
        generation.moment(process)
        if not process.send(SIGSTOP):
            break
        time.sleep(story.rng.uniform(0.1, 2.5))
        process.send(SIGCONT)
    story.end(process, {DONE})
    generation.complete()


@kind("generator")
def reloads(story: Story) -> None:
    """A storm of SIGHUP under load while the configuration changes, broken ones too."""
    generation = Generation(story)
    generation.prepare()
    good = generation.config.read_text()
    process = generation.run()
    story.until(lambda: bool(generation.teacher.calls), process)
    for _ in range(story.rng.randint(3, 20)):
        faster = good.replace("concurrency = 8", f"concurrency = {story.rng.randint(1, 30)}")
        elsewhere = good.replace("http://127.0.0.1", "http://127.0.0.2")
        texts = (good, faster, elsewhere, "not = [toml", good + "\nunknown = 1\n", "")
        generation.config.write_text(story.rng.choice(texts))
        process.send(SIGHUP)
        process.wait(story.rng.uniform(0, 0.1))
    generation.config.write_text(good)
    if story.rng.random() < 0.5:
        generation.kill_and_look(process)
        generation.finish()
    else:
        process.send(SIGHUP)
        story.end(process, {DONE})
        generation.complete()


@kind("generator")
def all_signals(story: Story) -> None:
    """Every signal that a machine may send, in any order, then a kill."""
    numbers = (SIGHUP, SIGSTOP, SIGCONT, signal.SIGWINCH, signal.SIGPIPE, signal.SIGTERM)
    generation = Generation(story)
    generation.prepare()
    for _ in range(story.rng.randint(2, 4)):
        process = generation.run()
        for _ in range(story.rng.randint(1, 6)):
            process.wait(story.rng.uniform(0, 0.4))
            number = story.rng.choice(numbers)
            process.send(number)
            if number == SIGSTOP:
                time.sleep(story.rng.uniform(0, 0.4))
                process.send(SIGCONT)
        process.send(SIGCONT)
        generation.kill_and_look(process)
    generation.finish()
