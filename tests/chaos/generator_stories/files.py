"""What happens to a corpus' files between two runs, or under one: damaged, removed, restored,
shared.
"""

import json
import shutil
import signal
import sqlite3
from collections.abc import Callable
from pathlib import Path

from tests.chaos.corpus_reader import read
from tests.chaos.generation import (
    BUDGET,
    CANNOT_WRITE,
    DONE,
    INPUT,
    SIGHUP,
    SIGKILL,
    Generation,
    always,
)
from tests.chaos.kinds import kind
from tests.chaos.story import Story


def finish_with_remedy(
    generation: Generation, codes: tuple[int, ...] = (DONE,), limit: int = 0
) -> None:
    """Run; where it says `reindex`, do so and run again."""
    story = generation.story
    process = generation.run()
    code = story.end(process, {*codes, INPUT}, "run on a damaged corpus")
    if code == INPUT:
        if "reindex" not in process.text():
            story.violation(f"exit 2 that does not name `reindex`: {process.text()[-300:]!r}")
        story.end(generation.command("reindex", generation.corpus), {DONE}, "reindex")
        code = story.end(generation.run(), codes, "run after reindex")
    if limit:
        generation.within(limit)
    generation.complete(whole=code == DONE)
    generation.nothing_asked_again()


def damaged(story: Story, data: bytes, how: str) -> bytes:
    """Bytes with a damage of a kind."""
    rng = story.rng
    if how == "cut":
        return data[: rng.randrange(len(data))]
    if how == "zeros":
        place = rng.randrange(len(data))
        return data[:place] + bytes(min(4096, len(data) - place)) + data[place + 4096 :]
    if how == "text":
        return b"this is no database\n" * 300
    if how == "bits":
        changed = bytearray(data)
        for _ in range(rng.choice((1, 3, 50, 1000))):
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
        return bytes(changed)
    return b""


@kind("generator")
def torn_tails(story: Story) -> None:
    """After a kill the open shards end in part of a line, or in bytes that are none."""
    generation = Generation(story)
    generation.prepare(20, shards__rows=2000)
    for _ in range(story.rng.randint(1, 3)):
        generation.partly(4, "kill")
        for path in generation.corpus.glob("*/*.open"):
            data = path.read_bytes()
            tails = (b'{"schema": 1, "id": "x', data[-200:-90], b"\0" * 700, b"\xff\xfe{")
            path.write_bytes(data + story.rng.choice(tails).replace(b"\n", b" "))
    generation.finish()


@kind("generator")
def damaged_ledger(story: Story) -> None:
    """The ledger is removed, cut, flipped, zeroed, emptied, replaced, with its WAL or without."""
    generation = Generation(story)
    generation.prepare(20)
    generation.partly()
    path = generation.corpus / "ledger.sqlite"
    how = story.rng.choice(("remove", "cut", "bits", "bits", "zeros", "empty", "text", "folder"))
    story.note(how)
    data = path.read_bytes()
    if how in ("remove", "folder") or story.rng.random() < 0.5:
        generation.remove_ledger()
    if how == "folder":
        path.mkdir()
        story.end(generation.run(), {INPUT, CANNOT_WRITE}, "run with a folder for a ledger")
        path.rmdir()
    elif how != "remove":
        path.write_bytes(damaged(story, data, how))
    finish_with_remedy(generation)


@kind("generator")
def damaged_wal(story: Story) -> None:
    """After a kill the write-ahead log is lost or damaged; a daily limit holds all the same."""
    limit = story.rng.choice((0, 14))
    limits = {"daemon__wait": False, "lane__calls_per_day": limit} if limit else {}
    generation = Generation(story)
    generation.prepare(20, **limits)
    generation.partly(6, "kill")
    path = generation.corpus / f"ledger.sqlite{story.rng.choice(('-wal', '-wal', '-shm'))}"
    how = story.rng.choice(("remove", "cut", "bits", "zeros", "empty"))
    story.note(f"{path.suffix} {how}")
    if path.exists() and path.stat().st_size:
        if how == "remove":
            path.unlink()
        else:
            path.write_bytes(damaged(story, path.read_bytes(), how))
    finish_with_remedy(generation, (DONE, BUDGET) if limit else (DONE,), limit)


@kind("generator")
def restored_ledger(story: Story) -> None:
    """An older copy of the ledger comes back; a daily limit holds all the same."""
    limit = story.rng.choice((0, 16))
    limits = {"daemon__wait": False, "lane__calls_per_day": limit} if limit else {}
    generation = Generation(story)
    generation.prepare(24, always("slow"), **limits)
    generation.partly(4, "drain")
    backup = (generation.corpus / "ledger.sqlite").read_bytes()
    generation.partly(story.rng.randint(3, 6))
    generation.remove_ledger()
    (generation.corpus / "ledger.sqlite").write_bytes(backup)
    finish_with_remedy(generation, (DONE, BUDGET) if limit else (DONE,), limit)


@kind("generator")
def removed_ledger(story: Story) -> None:
    """The ledger is removed after a drain: calls of the day are known from the rows."""
    limit = 16
    generation = Generation(story)
    limits = {"daemon__wait": False, "lane__calls_per_day": limit}
    generation.prepare(24, always("slow"), **limits)
    generation.partly(story.rng.randint(3, 12), "drain")
    generation.remove_ledger()
    finish_with_remedy(generation, (DONE, BUDGET), limit)


@kind("generator")
def restored_corpus(story: Story) -> None:
    """A whole older corpus comes back, or some older files beside newer shards."""
    generation = Generation(story)
    generation.prepare(24)
    generation.partly(5)
    backup = generation.copy_corpus("backup")
    generation.partly(6)
    if story.rng.random() < 0.5:
        shutil.rmtree(generation.corpus)
        shutil.copytree(backup, generation.corpus)
        generation.forget()
        story.end(generation.run(), {DONE})
        generation.complete()
        return
    for name in story.rng.sample(["manifest.json", "config.json", "ledger.sqlite"], 2):
        if name == "ledger.sqlite":
            generation.remove_ledger()
        for path in backup.glob(f"{name}*"):
            shutil.copy(path, generation.corpus)
    finish_with_remedy(generation)


@kind("generator")
def locked_ledger(story: Story) -> None:
    """Another program holds the ledger's write lock for a while."""
    generation = Generation(story)
    pace = story.rng.choice((0, 900))
    generation.prepare(24, gap=0.01, lane__requests_per_minute=pace)
    process = generation.run()
    generation.answered(process, 3)
    database = sqlite3.connect(
        generation.corpus / "ledger.sqlite", isolation_level=None, timeout=10
    )
    database.execute("BEGIN IMMEDIATE")
    process.wait(story.rng.choice((0.5, 2, 14)))
    database.close()
    story.end(process, {DONE, INPUT, CANNOT_WRITE}, "run whose ledger another program held")
    generation.look()
    generation.finish()


def _damage_shard(story: Story, data: bytes, how: str) -> bytes:
    lines = data.splitlines(keepends=True)
    tail = data[: -story.rng.randint(1, min(60, len(data)))]
    return {
        "short": tail,
        "cut": damaged(story, data, "cut"),
        "bits": damaged(story, data, "bits"),
        "doubled": data + story.rng.choice(lines),
        "empty": b"",
        "edited": data.replace(b'":', b'": ', 3),
        "torn": data + b'{"schema":1,"id":"x',
        "zeros": data + bytes(4096),
    }[how]


@kind("generator")
def damaged_shard(story: Story) -> None:
    """A sealed shard is cut, edited, doubled or removed: it is told, and never spreads."""
    generation = Generation(story)
    generation.prepare(20, shards__rows=4)
    generation.partly(12)
    shards = sorted(generation.corpus.glob("*/shard-*.jsonl"))
    if not shards:
        generation.finish()
        return
    path = story.rng.choice(shards)
    hows = ("short", "cut", "bits", "doubled", "empty", "edited", "torn", "zeros", "removed")
    how = story.rng.choice(hows)
    story.note(how)
    generation.forget()
    others = {
        name: digest
        for name, digest in read(generation.corpus).sealed.items()
        if name != f"{path.parent.name}/{path.name}"
    }
    if how == "removed":
        path.unlink()
    else:
        path.write_bytes(_damage_shard(story, path.read_bytes(), how))
    generation.check({1})
    story.end(generation.run(), {DONE, INPUT}, f"run after a sealed shard was {how}")
    sealed = read(generation.corpus).sealed
    changed = [name for name, digest in others.items() if sealed.get(name) != digest]
    if changed:
        story.violation(f"{how} of one shard changed others: {changed}")


@kind("generator")
def damaged_manifest(story: Story) -> None:
    """The manifest or config.json is lost, cut, emptied, or says too little."""
    generation = Generation(story)
    generation.prepare(20, shards__rows=4)
    generation.partly(12)
    path = generation.corpus / "manifest.json"
    contents = {
        "garbage": b'{"shards": [',
        "empty": b"",
        "list": b"[1, 2]",
        "bytes": b"\xff\xfe\0",
    }
    how = story.rng.choice(("removed", "shorter", "config", *contents))
    story.note(how)
    if how == "config":
        (generation.corpus / "config.json").write_text("{")
    elif how in contents:
        path.write_bytes(contents[how])
    elif how == "shorter" and path.exists():
        manifest = json.loads(path.read_text())
        path.write_text(json.dumps(manifest | {"shards": manifest["shards"][:-1]}))
    else:
        path.unlink(missing_ok=True)
    process = generation.run()
    code = story.end(process, {DONE, INPUT}, f"run after the manifest: {how}")
    if code == INPUT:
        if "delete it" not in process.text():
            story.violation(f"exit 2 without a remedy: {process.text()[-300:]!r}")
        path.unlink()
        story.end(generation.run(), {DONE}, "run without a manifest")
    generation.complete()
    generation.nothing_asked_again()


def _copy_of_a_shard(folder: Path, path: Path) -> None:
    shutil.copy(path, folder / (path.name + "~"))
    shutil.copy(path, folder / f".{path.name}.swp")


STRANGERS: dict[str, Callable[[Path, Path], object]] = {
    "backups": _copy_of_a_shard,
    "hidden": lambda folder, path: (folder / ".nfs0001").write_bytes(b"x"),
    "folder": lambda folder, path: (folder / "shard-000099.jsonl").mkdir(),
    "odd_number": lambda folder, path: (folder / "shard-abcdef.jsonl").write_bytes(b""),
    "no_number": lambda folder, path: (folder / "shard-.jsonl").write_bytes(b""),
    "link": lambda folder, path: (folder / "shard-000050.jsonl").symlink_to("/etc/hostname"),
    "long_number": lambda folder, path: (folder / f"shard-{'9' * 40}.jsonl").write_bytes(b""),
}


@kind("generator")
def foreign_files(story: Story) -> None:
    """Files in the corpus that are none of its own: backups, folders, links, odd names."""
    generation = Generation(story)
    generation.prepare(18, shards__rows=4)
    generation.partly(10)
    folder = generation.corpus / "traces"
    how = story.rng.choice(list(STRANGERS))
    story.note(how)
    generation.forget()
    STRANGERS[how](folder, sorted(generation.corpus.glob("*/shard-*"))[0])
    code = story.end(generation.run(), {DONE, INPUT}, f"run beside {how}")
    story.no_traceback(generation.command("status", generation.corpus))
    generation.check()
    if how in ("backups", "hidden"):
        if code != DONE:
            story.violation(f"{how} in traces/ stop the run")
        generation.complete()


@kind("generator")
def two_runs(story: Story) -> None:
    """Three runs on one corpus: one works, the others say who holds it; `reindex` as well."""
    generation = Generation(story)
    generation.prepare(24)
    processes = [generation.run() for _ in range(3)]
    if story.rng.random() < 0.6:
        generation.moment(processes[0])
        story.kill(story.rng.choice(processes))
    for process in processes:
        code = story.end(process, {DONE, INPUT, -SIGKILL}, "one of three runs")
        if code == INPUT and "held by process" not in process.text():
            story.violation(f"exit 2 that does not say who: {process.text()[-200:]!r}")
    generation.look()
    run = generation.run()
    reindex = generation.command("reindex", generation.corpus)
    story.end(run, {DONE, INPUT}, "run beside reindex")
    story.end(reindex, {DONE, INPUT}, "reindex beside a run")
    generation.finish()


@kind("generator")
def removed_lock(story: Story) -> None:
    """`.lock` is deleted under a run; a second run is refused all the same."""
    generation = Generation(story)
    generation.prepare(30, always("slow"), gap=0.01)
    process = generation.run()
    generation.answered(process, 3)
    (generation.corpus / ".lock").unlink()
    second = generation.run()
    code = story.end(second, {INPUT, DONE}, "second run")
    if code == DONE and "nothing" not in second.text() and process.alive:
        story.violation("a second run was let in after .lock was deleted")
    story.end(process, {DONE}, "first run")
    generation.complete()


@kind("generator", machine=True)
def no_locks(story: Story) -> None:
    """A file system that cannot lock: one clear line that names no other process."""
    generation = Generation(story)
    generation.prepare(10)
    process = generation.run(machine={"DIR": generation.corpus, "LOCKS": "refused"})
    story.end(process, {INPUT, CANNOT_WRITE}, "run on a file system without locks")
    if "held by" in process.text():
        story.violation(f"told as another process: {process.text()[-200:]!r}")
    generation.finish()


READERS = ("status", "report", "export", "check", "suspects", "plan")


@kind("generator", share=3)
def readers(story: Story) -> None:
    """status, check, report, export, suspects and plan while a run works, is reloaded, killed."""
    generation = Generation(story)
    generation.prepare(24, shards__rows=4)
    process = generation.run()
    plan = generation.command("plan", generation.config)  # beside its start
    generation.answered(process, 3)
    story.end(plan, {DONE}, "plan beside a start")
    for number in range(story.rng.randint(2, 4)):
        name = story.rng.choice(READERS)
        words = [name, generation.config if name == "plan" else generation.corpus]
        if name == "export":
            words.append(story.folder / f"export-{number}.jsonl")
        reader = generation.command(*words)
        if story.rng.random() < 0.3:
            process.send(SIGHUP)
        if story.rng.random() < 0.3:
            reader.wait(story.rng.uniform(0, 0.3))
            story.kill(reader)
            continue
        codes = {DONE, INPUT} if name in ("export", "suspects") else {DONE}
        story.end(reader, codes, f"{name} beside a run")
    if story.rng.random() < 0.6:
        generation.kill_and_look(process)
    else:
        process.send(signal.SIGTERM)
        story.end(process, {DONE}, "drained run")
    generation.finish()


@kind("generator")
def export_over_a_shard(story: Story) -> None:
    """`export` into a corpus is refused; what is sealed stays."""
    generation = Generation(story)
    generation.prepare(8, always("plain"))
    story.end(generation.run(), {DONE})
    generation.look()
    shard = sorted(generation.corpus.glob("traces/*.jsonl"))[0]
    names = [shard, generation.corpus / "new.jsonl", generation.corpus / "traces" / "x.parquet"]
    target = story.rng.choice(names)
    story.end(generation.command("export", generation.corpus, target), {INPUT}, "export")
    generation.complete()
