"""Bad disks, torn files, replaced shards and other processes, under a training or after it."""

import errno
import json
import shutil
from collections.abc import Callable
from pathlib import Path

from tests.chaos.kinds import kind
from tests.chaos.processes import Process
from tests.chaos.story import Story
from tests.chaos.trainer_stories.kills import SIGKILL, begun
from tests.chaos.training import CANNOT_WRITE, DONE, INPUT, Training, digest_of

ERRORS = (errno.ENOSPC, errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EROFS)


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
    line = f"\nstep {story.rng.randint(1, training.steps - 1)}/"
    story.until(lambda: line in process.text(), process, 60)
    if not training.kill_and_look(process):  # a finished run's lines are not written again
        story.note("the run was over before the kill")
        training.complete()
        return
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
        went_on = code == DONE and "going on from" in second.text()
        is_told = how == "sealed" and "sealed after this run began" in second.text()
        if went_on and not is_told and not finished_before(second):
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
    return "\nstep " not in process.text().partition("going on from")[2]


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
