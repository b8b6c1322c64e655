"""Disks that are full, read-only, slow, or fail now and then."""

import errno
import shutil
import signal

from tests.chaos.generation import CANNOT_WRITE, DONE, INPUT, Generation, always
from tests.chaos.kinds import kind
from tests.chaos.story import Story

ERRORS = (errno.ENOSPC, errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EROFS)


@kind("generator", machine=True)
def full_disk(story: Story) -> None:
    """A disk that fills up: exit 5 or done, nothing torn; with more room it goes on."""
    generation = Generation(story)
    kibibytes = story.rng.choice((64, 96, 128, 160, 200, 260, 340))
    disk = story.small_disk(kibibytes)
    machine: dict[str, object] = {}
    if disk:
        generation.corpus = disk / "corpus"
    else:
        machine = {"DIR": generation.corpus, "QUOTA": kibibytes * 1024}
    generation.prepare(story.rng.randint(36, 64))
    for _ in range(story.rng.randint(1, 3)):
        code = story.end(
            generation.run(machine=machine), {DONE, CANNOT_WRITE}, "run on a full disk"
        )
        generation.look()
        if code == DONE:
            break
    generation.check()
    if disk:
        story.remount(disk, "size=64m")
    generation.finish()


@kind("generator", machine=True)
def disk_fills_and_frees(story: Story) -> None:
    """Another program fills the disk for a while and frees it again."""
    generation = Generation(story)
    disk = story.small_disk(600)
    machine: dict[str, object] = {}
    if disk:
        generation.corpus = disk / "corpus"
    else:
        first = story.rng.randint(60, 200)
        machine = {"DIR": generation.corpus, "FAIL_AT": first, "FAIL_FOR": 20}
    pace = story.rng.choice((0, 1200))
    generation.prepare(40, gap=0.008, lane__requests_per_minute=pace)
    process = generation.run(machine=machine)
    generation.answered(process, story.rng.randint(2, 12))
    for _ in range(story.rng.randint(1, 3) if disk else 0):
        hog = generation.corpus.parent / "hog"
        try:
            with hog.open("wb", buffering=0) as file:
                while file.write(b"x" * 4096):
                    continue
        except OSError:
            process.wait(story.rng.uniform(0.05, 1.2))
        hog.unlink(missing_ok=True)
        process.wait(0.3)
    story.end(process, {DONE, CANNOT_WRITE}, "run on a disk that was full for a while")
    generation.look()
    if disk:
        story.remount(disk, "size=64m")
    generation.finish()


@kind("generator")
def small_files(story: Story) -> None:
    """No file may grow beyond a size (RLIMIT_FSIZE)."""
    generation = Generation(story)
    generation.prepare(36, shards__rows=2000)
    size = story.rng.choice((2000, 8000, 20_000, 40_000, 70_000, 120_000))
    process = generation.run(limits={"FSIZE": size})
    story.end(process, {DONE, CANNOT_WRITE}, f"run with files of at most {size} bytes")
    generation.look(ledger=False)
    generation.finish()


@kind("generator", machine=True, share=4)
def failing_operations(story: Story) -> None:
    """The Nth operation on the corpus fails, once or for a while, on some files or all."""
    generation = Generation(story)
    generation.prepare(20, lane__requests_per_minute=story.rng.choice((0, 0, 1500)))
    machine = {
        "DIR": generation.corpus,
        "FAIL_AT": story.rng.randint(1, 300),
        "FAIL_FOR": story.rng.choice((1, 2, 5, 30, 100_000)),
        "FAIL_ERRNO": story.rng.choice(ERRORS),
        "FAIL_NAME": story.rng.choice(("", "", "ledger", "shard-", "manifest", "-wal")),
    }
    codes = {DONE, CANNOT_WRITE}
    story.end(generation.run(machine=machine), codes, f"run where operations fail: {machine}")
    generation.look(ledger=False)
    generation.finish()


@kind("generator", machine=True)
def failing_ledger_write(story: Story) -> None:
    """One write of the ledger fails while a timer lets calls in: it ends in order or goes on."""
    generation = Generation(story)
    generation.prepare(20, always("plain"), lane__requests_per_minute=900)
    machine = {
        "DIR": generation.corpus,
        "FAIL_AT": story.rng.randint(10, 120),
        "FAIL_ERRNO": story.rng.choice((errno.ENOSPC, errno.EIO)),
        "FAIL_NAME": "-wal",
    }
    codes = {DONE, CANNOT_WRITE}
    story.end(generation.run(machine=machine), codes, "paced run where one ledger write fails")
    generation.look(ledger=False)
    generation.finish()


@kind("generator", machine=True)
def read_only(story: Story) -> None:
    """The disk is read-only from the start, or becomes so during the run."""
    generation = Generation(story)
    disk = story.small_disk(20_000)
    if disk:
        generation.corpus = disk / "corpus"
    generation.prepare(30, gap=0.008)
    from_the_start = story.rng.random() < 0.4
    if disk and from_the_start:
        story.remount(disk, "ro")
        story.end(generation.run(), {CANNOT_WRITE, INPUT}, "run on a read-only disk")
    elif disk:
        process = generation.run()
        generation.moment(process)
        for _ in range(40):  # busy while a file is open for writing
            if story.remount(disk, "ro") or process.wait(0.02) is not None:
                break
        process.wait(1)
        process.send(signal.SIGTERM)
        story.end(process, {DONE, CANNOT_WRITE}, "run whose disk became read-only")
    else:
        first = 1 if from_the_start else story.rng.randint(2, 120)
        machine = {
            "DIR": generation.corpus,
            "FAIL_AT": first,
            "FAIL_FOR": 10**6,
            "FAIL_ERRNO": errno.EROFS,
        }
        codes = {DONE, INPUT, CANNOT_WRITE}
        story.end(generation.run(machine=machine), codes, "run whose disk is read-only")
    if disk:
        story.remount(disk, "rw")
    generation.look(ledger=False)
    generation.finish()


@kind("generator", machine=True)
def slow_disk(story: Story) -> None:
    """Every fsync takes long; then a kill or a drain."""
    generation = Generation(story)
    generation.prepare(20)
    milliseconds = story.rng.choice((50, 200, 500))
    machine = {"DIR": generation.corpus, "SLOW_MS": milliseconds}
    process = generation.run(machine=machine)
    generation.moment(process)
    if story.rng.random() < 0.7:
        generation.kill_and_look(process)
    else:
        story.stopped(process, signal.SIGTERM, "drain on a slow disk")
        generation.look()
    generation.finish()


@kind("generator")
def moved_corpus(story: Story) -> None:
    """The corpus is renamed under the run, and put back."""
    generation = Generation(story)
    generation.prepare(30, gap=0.008, shards__rows=5)
    process = generation.run()
    generation.answered(process, 5)
    elsewhere = story.folder / "elsewhere"
    generation.corpus.rename(elsewhere)
    process.wait(0.7)
    process.send(signal.SIGTERM)
    story.end(process, {DONE, INPUT, CANNOT_WRITE}, "run whose corpus was moved")
    if generation.corpus.exists():
        names = [path.name for path in generation.corpus.rglob("*")]
        story.note(f"a second corpus grew: {names[:5]}")
        shutil.rmtree(generation.corpus)
    elsewhere.rename(generation.corpus)
    generation.finish()
