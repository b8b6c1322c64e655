"""The commands `regrade` and `flags`: CORPUS DEST [--on local:W]."""

import argparse
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson

from generator.parts.launchers import TaskRunner, parse_launcher, task_runner
from generator.parts.rewriting import make_folders, tasks_for
from generator.parts.rewritten_corpus import Changes, copy_about, finish
from generator.parts.tasks import Task
from generator.recorded_config import FILE as CONFIG
from generator.recorded_config import accounts
from shared.destinations import check_outside_corpora, check_own_folder, is_corpus
from shared.errors import CannotWrite, InputError
from shared.file_writing import make_corpus_folder, write_atomically
from shared.folder_lock import FolderLock
from shared.parts import part_folder, part_folders, record_parts, recorded_parts
from shared.shards import PILES, open_files, sealed_files

STATE = "rewrite.json"  # in the destination: what it is made from, and whether it is whole
PROGRESS_SECONDS = 10.0


def add_rewrite_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of both."""
    parser.add_argument("corpus", type=Path, metavar="CORPUS", help="is only read")
    parser.add_argument("dest", type=Path, metavar="DEST", help="a new corpus")
    parser.add_argument(
        "--on", default="local", metavar="WHERE", help="local:W (default: each core) or ray:ADDRESS"
    )


def rewrite(args: argparse.Namespace, kind: str) -> int:
    """Rewrite and say what changed; the exit code. Errors: `InputError`, `CannotWrite`."""
    source: Path = args.corpus
    destination: Path = args.dest
    _check(source, destination)
    keep_unverifiable = _keeps_unverifiable(source)
    try:
        make_corpus_folder(destination)
    except OSError as error:
        raise CannotWrite(f"{destination}: {error.strerror}: correct the path") from None
    with (
        FolderLock(destination, key="DEST"),
        task_runner(parse_launcher(args.on)) as runner,
    ):
        state = _begin(source, destination, kind, keep_unverifiable)
        changes = Changes()
        folders = _folders(source, destination)
        tasks = [_tasks(*pair, kind, keep_unverifiable) for pair in folders]
        _perform(runner, [task for of_folder in tasks for task in of_folder])
        for (source_folder, folder), of_folder in zip(folders, tasks, strict=True):
            account_of = accounts(source_folder)
            finish(source_folder, folder, len(of_folder), account_of, changes)
        copy_about(source, destination)
        write_atomically(destination / STATE, orjson.dumps({**state, "whole": True}))
    waiting = sum(len(open_files(source, pile)) for pile in PILES)
    if waiting:
        print(f"not read: {waiting} open shards (a generator writes them, or was killed)")
    for line in changes.lines():
        print(line)
    print(f"traces: {destination}/{'part-*/' if part_folders(destination) else ''}traces/*.jsonl")
    return 0


def _check(source: Path, destination: Path) -> None:
    if not any(sealed_files(source, pile) for pile in PILES):
        raise InputError(f"{source}: no sealed shard to read: run a generator to its end first")
    check_own_folder(destination)
    state = _state(destination)
    if state is None:
        if is_corpus(destination) or (destination.is_dir() and any(destination.iterdir())):
            check_outside_corpora(destination)
            raise InputError(f"{destination}: is not empty: give the name of a new folder")
        check_outside_corpora(destination)
    elif state["whole"]:
        raise InputError(f"{destination}: made before, and whole: give the name of a new folder")


def _begin(source: Path, destination: Path, kind: str, keep_unverifiable: bool) -> dict[str, Any]:
    """Note what the destination is made from; one that was begun otherwise is refused."""
    shards = {
        str(file.relative_to(source)): file.stat().st_size
        for pile in PILES
        for file in sealed_files(source, pile)
    }
    state = {
        "schema": 1,
        "made by": kind,
        "source": str(source.resolve()),
        "keep_unverifiable": keep_unverifiable,
        "shards": shards,
        "whole": False,
    }
    before = _state(destination)
    if before is not None and before != state:
        raise InputError(
            f"{destination}: begun as {before['made by']} of {before['source']}, or that has"
            " changed since: remove it, or give the name of a new folder"
        )
    write_atomically(destination / STATE, orjson.dumps(state, option=orjson.OPT_INDENT_2))
    return state


def _folders(source: Path, destination: Path) -> list[tuple[Path, Path]]:
    """(source, destination) of every folder of shards: the corpus, or its parts."""
    parts = part_folders(source)
    if not parts:
        return [(source, destination)]
    record_parts(destination, recorded_parts(source) or len(parts))
    pairs = []
    for part in parts:
        if any(sealed_files(part, pile) for pile in PILES):
            folder = part_folder(destination, int(part.name[-4:]))
            make_corpus_folder(folder)
            pairs.append((part, folder))
    return pairs


def _tasks(source: Path, destination: Path, kind: str, keep_unverifiable: bool) -> list[Task]:
    make_folders(destination)
    return list(tasks_for(source, destination, kind, keep_unverifiable))


def _perform(runner: TaskRunner, tasks: Iterable[Task]) -> None:
    tasks = list(tasks)
    told_at = time.monotonic()
    for number, _ in enumerate(runner.outcomes(tasks), 1):
        if time.monotonic() - told_at >= PROGRESS_SECONDS:
            told_at = time.monotonic()
            print(f"{number:,} of {len(tasks):,} shards", flush=True)


def _keeps_unverifiable(source: Path) -> bool:
    """Whether the run was configured to."""
    try:
        config = orjson.loads((source / CONFIG).read_bytes())
        return bool(config["sampling"]["keep_unverifiable"])
    except (OSError, orjson.JSONDecodeError, LookupError, TypeError):
        return False


def _state(destination: Path) -> dict[str, Any] | None:
    try:
        state: dict[str, Any] = orjson.loads((destination / STATE).read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return None
    return state
