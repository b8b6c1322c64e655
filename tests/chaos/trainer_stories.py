"""The stories of the trainer: killed in steps, checkpoints, probes, the merge and the report, on
bad disks, beside other processes; the same command again ends with the undisturbed run's losses.
"""

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from tests.chaos.kinds import kind
from tests.chaos.processes import Process
from tests.chaos.story import SIGNALS, Story
from tests.chaos.training import BUG, CANNOT_WRITE, DONE, INPUT, Training, digest_of

HOW = ("before", "after", "torn")
ERRORS = (errno.ENOSPC, errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EROFS)
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
        story.until(lambda merges=merges: len(merge_processes(story)) > merges, process, 60)  # type: ignore[misc]
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
        process.send(story.rng.choice(SIGNALS))
        story.end(process, {DONE}, "training that was asked to stop")
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


def _cut(path: Path, story: Story) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: story.rng.randrange(len(data))] if data else b"")


CHECKPOINT_DAMAGES: dict[str, Callable[[Path, Story], None]] = {
    "cut": _cut,
    "removed": lambda path, story: path.unlink(),
    "empty": lambda path, story: path.write_bytes(b""),
    "longer": lambda path, story: path.write_bytes(path.read_bytes() + b"\0" * 100),
}


@kind("trainer", share=3)
def torn_checkpoints(story: Story) -> None:
    """Files of the newest checkpoint are cut, removed or lengthened: it goes on from the one
    before.
    """
    training = begun(story)
    process = training.run()
    story.until(lambda: len(training.checkpoints()) >= 2, process, 40)
    training.kill_and_look(process)
    newest = training.checkpoints()[-1:]
    for folder in newest:
        names = sorted(path.name for path in folder.iterdir() if path.is_file())
        name = story.rng.choice(names)
        how = story.rng.choice(list(CHECKPOINT_DAMAGES))
        story.note(f"{folder.name}/{name} {how}")
        CHECKPOINT_DAMAGES[how](folder / name, story)
    process = training.run()
    story.end(process, {DONE}, "run after a torn checkpoint")
    training.complete()


@kind("trainer", share=1)
def all_checkpoints_torn(story: Story) -> None:
    """No checkpoint is whole: it begins again, and says so."""
    training = begun(story)
    process = training.run()
    story.until(lambda: bool(training.checkpoints()), process, 40)
    training.kill_and_look(process)
    for mark in training.run_folder.glob("checkpoints/*/whole.json"):
        if story.rng.random() < 0.5:
            mark.unlink()
        else:
            mark.write_bytes(b'{"files": {')
    training.finish()


@kind("trainer", share=2)
def torn_metrics(story: Story) -> None:
    """The last line of metrics.jsonl or probe.jsonl is torn, as a full disk leaves it."""
    training = begun(story)
    process = training.run()
    training.moment(process)
    training.kill_and_look(process)
    for name in ("metrics.jsonl", "probe.jsonl"):
        path = training.run_folder / name
        if not path.exists() or story.rng.random() < 0.3:
            continue
        data = path.read_bytes()
        tails = (data[:-7], data + b'{"step": 3, "lo', data + b"\0" * 50, data + b"\xff\xfe")
        path.write_bytes(story.rng.choice(tails))
    training.finish()


@kind("trainer", machine=True, share=2)
def trainer_full_disk(story: Story) -> None:
    """A disk that fills up: exit 5, one line; with more room it goes on."""
    training = begun(story)
    kibibytes = story.rng.randint(60, 1500)
    disk = story.small_disk(kibibytes)
    machine: dict[str, object] = {}
    if disk:
        training.run_folder = disk / "run"
        training.configure()
    else:
        machine = {"DIR": training.run_folder, "QUOTA": kibibytes * 1024}
    story.end(training.run(machine=machine), {DONE, CANNOT_WRITE}, "training on a full disk")
    training.look()
    if disk:
        story.remount(disk, "size=64m")
    training.finish()


@kind("trainer", machine=True, share=3)
def trainer_failing_operations(story: Story) -> None:
    """The Nth operation on the run's files fails, once or for a while: exit 5 or done."""
    training = begun(story)
    machine = {
        "DIR": training.run_folder,
        "FAIL_AT": story.rng.randint(1, story.rng.choice((30, 120, 400))),
        "FAIL_FOR": story.rng.choice((1, 2, 5, 100_000)),
        "FAIL_ERRNO": story.rng.choice(ERRORS),
        "FAIL_NAME": story.rng.choice(
            ("", "checkpoint-", "merged", "jsonl", "manifest", "adapter")
        ),
    }
    codes = {DONE, CANNOT_WRITE}
    story.end(training.run(machine=machine), codes, f"training where operations fail: {machine}")
    training.look()
    training.finish()


@kind("trainer", machine=True, share=1)
def trainer_read_only(story: Story) -> None:
    """The disk is read-only from the start or becomes so: exit 5 or 2; writable again it goes on."""
    training = begun(story)
    first = 1 if story.rng.random() < 0.5 else story.rng.randint(2, 200)
    machine = {
        "DIR": training.run_folder,
        "FAIL_AT": first,
        "FAIL_FOR": 10**6,
        "FAIL_ERRNO": errno.EROFS,
    }
    codes = {DONE, INPUT, CANNOT_WRITE}
    story.end(training.run(machine=machine), codes, "training on a read-only disk")
    training.look()
    training.finish()


@kind("trainer", share=2)
def replaced_shard(story: Story) -> None:
    """A shard is replaced, removed or added under a training: it is not trained on unnoticed."""
    training = Training(story)
    corpus = story.folder / "corpus"
    shutil.copytree(training.corpus, corpus)
    original = training.corpus
    training.corpus = corpus
    training.configure()
    process = training.run()
    training.moment(process)
    shard = sorted(corpus.glob("traces/*.jsonl"))[-1]
    how = story.rng.choice(("replaced", "removed", "sealed"))
    story.note(how)
    if how == "replaced":
        lines = shard.read_bytes().splitlines(keepends=True)
        replace_file(shard, b"".join(lines[:-3]))
    elif how == "removed":
        shard.unlink()
    else:
        lines = shard.read_bytes().replace(b"week ", b"month ").splitlines(keepends=True)
        replace_file(shard.with_name("shard-000077.jsonl"), b"".join(lines[:3]))
    if story.rng.random() < 0.7:
        training.kill_and_look(process)
    else:
        story.end(process, {DONE, INPUT}, f"training whose shard was {how}")
    had_begun = bool(training.checkpoints())
    code = None
    if had_begun:
        second = training.run()
        code = story.end(second, {INPUT, DONE}, f"the same command after a shard was {how}")
        if code == DONE and "going on from" in second.text() and not finished_before(second):
            story.violation(f"it went on with other data: a shard was {how}")
    shutil.rmtree(corpus)
    shutil.copytree(original, corpus)
    if not had_begun or code == DONE:
        shutil.rmtree(training.run_folder, ignore_errors=True)
    training.finish()


def replace_file(path: Path, data: bytes) -> None:
    fresh = path.with_name("fresh")
    fresh.write_bytes(data)
    fresh.rename(path)


def finished_before(process: Process) -> bool:
    return "step " not in process.text().partition("going on from")[2].partition("\n")[2]


@kind("trainer", share=1)
def two_trainings(story: Story) -> None:
    """Two processes on one run: one trains, the other says who does."""
    training = begun(story)
    processes = [training.run(), training.run()]
    if story.rng.random() < 0.5:
        training.moment(processes[0])
        story.kill(story.rng.choice(processes))
    for process in processes:
        code = story.end(process, {DONE, INPUT, -SIGKILL}, "one of two trainings")
        if code == INPUT and "held by process" not in process.text():
            story.violation(f"exit 2 that does not say who: {process.text()[-200:]!r}")
    training.look()
    training.finish()


@kind("trainer", share=2)
def damaged_run(story: Story) -> None:
    """Parts of a finished run are lost or torn: the same command makes them again."""
    training = begun(story)
    story.end(training.run(), {DONE})
    training.complete()
    names = ["report.html", "merged", "manifest.json", "config.json"]
    if training.variant != "full":
        names.append("adapter")
    name = story.rng.choice(names)
    path = training.run_folder / name
    torn = story.rng.random() < 0.4 and path.is_file() and name != "report.html"
    story.note(f"{name} {'torn' if torn else 'removed'}")
    if torn:
        path.write_bytes(path.read_bytes()[:-9])
        process = training.run()
        code = story.end(process, {DONE, INPUT}, f"run after {name} was torn")
        if code == INPUT:
            if "remove it" not in process.text():
                story.violation(f"exit 2 without a remedy: {process.text()[-200:]!r}")
            path.unlink()
    elif path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    training.finish()


@kind("trainer", share=2)
def killed_commands(story: Story) -> None:
    """`merge`, `report` and `export` on a finished run, killed and given again; it stays whole."""
    training = begun(story, story.rng.choice(("lora", "often")))
    story.end(training.run(), {DONE})
    for _ in range(story.rng.randint(2, 4)):
        name = story.rng.choice(("merge", "report", "merge"))
        process = training.command(name, training.run_folder)
        process.wait(story.rng.uniform(0, 0.5))
        story.kill(process)
        story.no_traceback(process)
        training.look()
    story.end(training.command("merge", training.run_folder), {DONE}, "merge")
    story.end(training.command("report", training.run_folder), {DONE}, "report")
    training.complete()
    manifest = json.loads((training.run_folder / "manifest.json").read_bytes())
    if digest_of(training.run_folder / "merged/model.safetensors") != training.expected.weights:
        story.violation(f"merged/ changed by `merge`: {manifest.get('merge')}")
