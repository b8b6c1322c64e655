"""A training that is killed or stopped: in steps, checkpoints, probes, the merge and the report."""

import os

from tests.chaos.kinds import kind
from tests.chaos.processes import Process
from tests.chaos.story import SIGNALS, Story
from tests.chaos.training import BUG, DONE, Training

HOW = ("before", "after", "torn")
SIGKILL = 9


def begun(story: Story, variant: str = "") -> Training:
    training = Training(story, variant)
    training.configure()
    return training


@kind("trainer", share=4)
def trainer_kills(story: Story) -> None:
    """Two to five kill -9 at random moments of a training, then to the end."""
    training = begun(story)
    for _ in range(story.rng.randint(2, 5)):
        process = training.run()
        training.moment(process)
        if not training.kill_and_look(process):
            break
    training.finish()


@kind("trainer", share=1)
def trainer_kills_at_start(story: Story) -> None:
    """Three to six kills in a row within the first second of a start."""
    training = begun(story)
    for _ in range(story.rng.randint(3, 6)):
        process = training.run()
        process.wait(story.rng.uniform(0, 0.8))
        training.kill_and_look(process)
    training.finish()


def killed_inside(training: Training, name: str, last: int, times: int = 2) -> None:
    """Kills at operations on paths with `name` in them, up to the `last`; then to the end."""
    story = training.story
    for _ in range(times):
        machine = {
            "DIR": training.run_folder,
            "KILL_AT": story.rng.randint(1, last),
            "KILL_HOW": story.rng.choice(HOW),
            "KILL_NAME": name,
        }
        killed_or_ended(training, training.run(machine=machine))
    training.finish()


def killed_or_ended(training: Training, process: Process) -> None:
    """Under the machine's kill: the run itself dies, or its merge does and the run says so."""
    story = training.story
    code = process.wait(240)
    if code == -SIGKILL:
        story.kills += 1
        story.no_traceback(process)
    elif "SIGKILL" in process.text():
        story.kills += 1
        story.end(process, {BUG}, "run whose merge was killed")
    else:
        story.end(process, {DONE}, "run under a kill that did not come")
    training.look()


@kind("trainer", machine=True, share=4)
def kills_at_a_file_operation(story: Story) -> None:
    """Killed at the Nth operation on the run's files: before, after, or half way through it."""
    killed_inside(begun(story), "", story.rng.choice((40, 150, 500)), story.rng.randint(2, 3))


@kind("trainer", machine=True, share=3)
def kills_in_a_checkpoint(story: Story) -> None:
    """Killed while a checkpoint is written, or an old one removed."""
    killed_inside(begun(story), "checkpoint-", story.rng.choice((40, 150, 300)), 3)


@kind("trainer", machine=True, share=2)
def kills_in_the_merge(story: Story) -> None:
    """Killed while the weights are merged, proved and put in place."""
    killed_inside(begun(story, story.rng.choice(("lora", "often"))), "merged", 24)


@kind("trainer", machine=True, share=1)
def kills_in_a_probe(story: Story) -> None:
    """Killed while answers to the probe's problems are written down."""
    killed_inside(begun(story), "probe.jsonl", 12)


@kind("trainer", machine=True, share=2)
def kills_in_the_report(story: Story) -> None:
    """Killed while the manifest, the model card or the report is written."""
    name = story.rng.choice(("report.html", "manifest.json", "README.md", "adapter"))
    killed_inside(begun(story), name, 14)


@kind("trainer", share=1)
def killed_merge_process(story: Story) -> None:
    """The merge's own process is killed, as a system short of memory does: it is told, exit 1."""
    training = begun(story, "lora")
    process = training.run()
    story.until(lambda: (training.run_folder / "adapter").exists(), process, 60)
    story.until(lambda: merge_process(story) != 0, process)
    process.wait(story.rng.uniform(0, 0.3))
    merge = merge_process(story)
    story.kills += merge != 0 and process.alive and kill_pid(merge)
    story.end(process, {BUG, DONE}, "run whose merge was killed")
    training.finish()


@kind("trainer", share=2)
def orphaned_merge(story: Story) -> None:
    """The training is killed while its merge works, and given again at once: the orphan spoils
    nothing.
    """
    training = begun(story, story.rng.choice(("lora", "often")))
    for _ in range(story.rng.randint(1, 3)):
        process = training.run()
        merges = len(merge_processes(story))
        story.until(lambda before=merges: len(merge_processes(story)) > before, process, 60)
        process.wait(story.rng.uniform(0, 0.35))
        if not story.kill(process):
            break
        story.no_traceback(process)
    training.finish()


def merge_process(story: Story) -> int:
    """The last process that merges; 0 for none."""
    return (merge_processes(story) or [0])[-1]


def merge_processes(story: Story) -> list[int]:
    """What this story's processes have started themselves."""
    file = story.folder / "pids"
    pids = file.read_text().split() if file.exists() else []
    own = {str(process.pid) for process in story.processes}
    return [int(pid) for pid in pids if pid not in own]


def kill_pid(pid: int) -> bool:
    try:
        os.kill(pid, SIGKILL)
    except ProcessLookupError:
        return False
    return True


@kind("trainer", share=2)
def trainer_drains(story: Story) -> None:
    """SIGTERM or SIGINT at random moments: exit 0, and the same command goes on."""
    training = begun(story)
    for _ in range(story.rng.randint(1, 3)):
        process = training.run()
        training.moment(process)
        story.stopped(process, story.rng.choice(SIGNALS), "training that was asked to stop")
        training.look()
    training.finish()


@kind("trainer", share=1)
def trainer_two_signals(story: Story) -> None:
    """A second signal kills, with its own code; the same command goes on."""
    training = begun(story)
    process = training.run()
    training.moment(process)
    process.send(story.rng.choice(SIGNALS))
    process.wait(story.rng.uniform(0, 0.4))
    process.send(story.rng.choice(SIGNALS))
    codes = {DONE} | {code for number in SIGNALS for code in (-number, 128 + number)}
    story.end(process, codes, "training with two signals")
    training.look()
    training.finish()
