"""Plans stories, hands them to workers, collects what they saw.

A worker is a process of its own, with fork servers of its own: `--worker` reads "KIND SEED" lines
and answers each with a line of JSON.
"""

import argparse
import contextlib
import itertools
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.chaos import kinds
from tests.chaos.kinds import Kind
from tests.chaos.processes import Programs
from tests.chaos.story import Story

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = ("generator", "trainer", "evaluation")
STORY_SECONDS = 900  # a worker that says nothing for so long is ended
Planned = tuple[str, int]


def main(arguments: argparse.Namespace) -> int:
    """Play what was asked for; the exit code."""
    root = Path(arguments.root or tempfile.mkdtemp(prefix="chaos-"))
    root.mkdir(parents=True, exist_ok=True)
    machine = hostile_machine(arguments.machine, root)
    stories = plan(arguments, machine is not None)
    play = _Play(arguments, root, machine, stories)
    play.run()
    return play.report()


def plan(arguments: argparse.Namespace, has_machine: bool) -> Iterator[Planned]:
    """The stories in order; without an end where neither a count nor rounds are given."""
    all_kinds = kinds.load()
    if arguments.one:
        words = [one.partition(":") for one in arguments.one]
        named = [(name, int(seed)) for name, _, seed in words]
        return iter([story for story in named for _ in range(arguments.plays)])
    chosen = chosen_kinds(arguments.kinds, all_kinds)
    playable = {
        name: count
        for name, count in chosen.items()
        if has_machine or not all_kinds[name].needs_machine
    }
    for name in chosen.keys() - playable.keys():
        print(f"{name} is not planned: it needs the hostile machine (gcc, or --machine)")
    if arguments.kinds and any(playable.values()):
        rounds = max(playable.values())
    else:
        rounds = arguments.rounds
    return itertools.chain.from_iterable(
        _round(number, playable, all_kinds, arguments)
        for number in (range(rounds) if rounds else itertools.count())
    )


def chosen_kinds(text: str, all_kinds: dict[str, Kind]) -> dict[str, int]:
    """{kind: how many seeds}; 0 where no count was given."""
    if not text:
        return dict.fromkeys(all_kinds, 0)
    chosen: dict[str, int] = {}
    for word in text.split(","):
        name, _, count = word.partition("=")
        names = [kind.name for kind in all_kinds.values() if name in (kind.name, kind.program)]
        if not names:
            raise SystemExit(f"error: {name!r} is no kind: see --list")
        chosen.update(dict.fromkeys(names, int(count or 0)))
    return chosen


def _round(
    number: int, playable: dict[str, int], all_kinds: dict[str, Kind], arguments: argparse.Namespace
) -> list[Planned]:
    """One round: each kind as often as its share, or once where a count was given."""
    stories = []
    for name, count in playable.items():
        share = 1 if count else all_kinds[name].share
        for place in range(share):
            seed = number * share + place
            if count == 0 or seed < count:
                stories += [(name, arguments.first + seed)] * arguments.plays
    # In an order of its own, so that a short time sees something of everything.
    random.Random(number).shuffle(stories)
    return stories


def hostile_machine(given: str, root: Path) -> Path | None:
    """The library: as given, or compiled where there is a compiler; else None."""
    if given:
        return Path(given).resolve()
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        return None
    library = root / "hostile_machine.so"
    source = Path(__file__).parent / "hostile_machine.c"
    command = [compiler, "-O1", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"]
    subprocess.run([*command, "-lpthread"], check=True)
    return library


def pythons(given: list[str]) -> dict[str, str]:
    """The interpreter of each program."""
    chosen = {name: str(ROOT / ".venv" / name / "bin" / "python") for name in PROGRAMS}
    for word in given:
        name, separator, path = word.partition("=")
        if separator:
            chosen[name] = path
        else:
            chosen = dict.fromkeys(PROGRAMS, word)
    return chosen


# --- a worker


def work(arguments: argparse.Namespace) -> int:
    """Play the stories that stdin names, until it closes."""
    all_kinds = kinds.load()
    machine = Path(arguments.machine) if arguments.machine else None
    programs = Programs(ROOT, pythons(arguments.python), machine)
    try:
        for line in sys.stdin:
            name, seed = line.split()
            record = tell(all_kinds[name], int(seed), programs, arguments)
            with contextlib.suppress(BrokenPipeError):  # whoever asked is gone
                print(json.dumps(record), flush=True)
    finally:
        programs.close()
    return 0


def tell(
    kind: Kind, seed: int, programs: Programs, arguments: argparse.Namespace
) -> dict[str, Any]:
    """Play one story; its record."""
    began = time.monotonic()
    story = Story(kind.name, seed, programs, Path(arguments.root))
    error = ""
    try:
        kind.play(story)
    except Exception:
        error = traceback.format_exc()[-1500:]
    try:
        story.close(keep=arguments.keep or bool(error))
    except Exception:
        error += traceback.format_exc()[-800:]
    return {
        "program": kind.program,
        "kind": kind.name,
        "seed": seed,
        "violations": story.violations,
        "error": error,
        "kills": story.kills,
        "starts": story.starts,
        "notes": story.notes,
        "seconds": round(time.monotonic() - began, 2),
        "cpu": round(sum(process.cpu for process in story.processes), 2),
        "at": time.strftime("%Y-%m-%dT%H:%M:%S"),
        "folder": str(story.folder) if story.folder.exists() else "",
    }


# --- the others


class _Play:
    """All workers, and what they have said."""

    def __init__(
        self,
        arguments: argparse.Namespace,
        root: Path,
        machine: Path | None,
        stories: Iterator[Planned],
    ) -> None:
        self._arguments = arguments
        self._root = root
        self._machine = machine
        self._stories = stories
        self._lock = threading.Lock()
        self._records: list[dict[str, Any]] = []
        self._deadline = time.monotonic() + (arguments.seconds or 10**9)

    def run(self) -> None:
        threads = [threading.Thread(target=self._serve) for _ in range(self._arguments.jobs)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def report(self) -> int:
        """The last line; 1 where a promise was broken."""
        broken = [record for record in self._records if record["violations"] or record["error"]]
        kills = sum(record["kills"] for record in self._records)
        played = len({record["kind"] for record in self._records})
        print(
            f"{len(self._records)} stories of {played} kinds, {kills} kill -9, {len(broken)} with"
            f" violations, 0 skipped, first seed {self._arguments.first}"
        )
        return 1 if broken else 0

    def _next(self) -> Planned | None:
        with self._lock:
            if time.monotonic() >= self._deadline or (self._root / "STOP").exists():
                return None
            return next(self._stories, None)

    def _serve(self) -> None:
        worker: subprocess.Popen[str] | None = None
        while True:
            story = self._next()
            if story is None:
                break
            if worker is None or worker.poll() is not None:
                worker = self._start_worker()
            self._note(self._ask(worker, story))
        if worker is not None and worker.stdin is not None:
            worker.stdin.close()
            worker.wait()

    def _start_worker(self) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "tests.chaos", "--worker", "--root", str(self._root)]
        for word in self._arguments.python:
            command += ["--python", word]
        if self._machine is not None:
            command += ["--machine", str(self._machine)]
        if self._arguments.keep:
            command.append("--keep")
        return subprocess.Popen(
            command,
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def _ask(self, worker: "subprocess.Popen[str]", story: Planned) -> dict[str, Any]:
        name, seed = story
        assert worker.stdin is not None
        assert worker.stdout is not None
        guard = threading.Timer(STORY_SECONDS, worker.kill)
        guard.start()
        try:
            worker.stdin.write(f"{name} {seed}\n")
            worker.stdin.flush()
            line = worker.stdout.readline()
        except OSError:
            line = ""
        finally:
            guard.cancel()
        if line:
            return dict(json.loads(line))
        worker.kill()
        program = kinds.KINDS[name].program
        return {
            "program": program,
            "kind": name,
            "seed": seed,
            "violations": [],
            "error": "the worker of this story died",
            "kills": 0,
            "starts": 0,
            "notes": [],
            "seconds": 0.0,
            "cpu": 0.0,
            "at": time.strftime("%Y-%m-%dT%H:%M:%S"),
            "folder": "",
        }

    def _note(self, record: dict[str, Any]) -> None:
        with self._lock:
            self._records.append(record)
            if self._arguments.log:
                with open(self._arguments.log, "a", encoding="utf-8") as log:
                    log.write(json.dumps(record) + "\n")
            texts = record["violations"][:4] + [record["error"]] * bool(record["error"])
            if texts:
                place = f"{record['kind']}:{record['seed']} ({record['seconds']} s)"
                print(place, *texts, f"kept: {record['folder']}", sep="\n    ", flush=True)
