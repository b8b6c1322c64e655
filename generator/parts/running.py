"""`run` in parts: one of them, or all of them somewhere."""

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from generator.config import GeneratorConfig
from generator.keys import secrets
from generator.parts.all_parts import AllParts, PartExecutor
from generator.parts.command_line import configuration
from generator.parts.launchers import Local, Ray, Slurm, TaskRunner, parse_launcher
from generator.parts.limits import Share, has_daily_limits, is_shared, most_at_once
from generator.parts.local import LocalWorkers
from generator.parts.local_parts import LocalParts
from generator.parts.part import Part, check_count, is_done, task_digest
from generator.parts.processes import PartCommand, command_line
from generator.parts.ray_cluster import RayTasks
from generator.parts.screening import screen_in_parts
from generator.parts.slurm import job_script
from generator.pipeline import generate
from generator.problems import local_path
from generator.recorded_config import write_config
from shared.config import PREFIX
from shared.errors import InputError
from shared.folder_lock import FolderLock, holder
from shared.parts import record_parts

WAIT_SECONDS = 60.0  # beyond `daemon.drain_seconds`, for a process that still drains
LOOK_SECONDS = 0.5


def run_in_parts(args: argparse.Namespace, retry: frozenset[str]) -> int:
    """`run --part K/N`, or `run --parts N --on WHERE`; the exit code. Errors: as `generate`, or
    `PartsFailed`.
    """
    if args.part and args.parts:
        raise InputError("--part is one of the parts, --parts all of them: take one of the two out")
    if args.part:
        _run_part(args, Part.parse(args.part), retry)
        return 0
    parts = check_count(args.parts)
    config = configuration(args)
    if config.daemon.follow:
        raise InputError("daemon.follow: parts end when they are done: set it to false")
    launcher = parse_launcher(args.on)
    if isinstance(launcher, Slurm):
        at_once = _at_once(config, parts, launcher.at_once or parts, to=sys.stderr)
        print(job_script("run", args, config, Slurm(at_once)), end="")
        return 0
    _run_all(args, config, parts, launcher, retry)
    return 0


def _run_part(args: argparse.Namespace, part: Part, retry: frozenset[str]) -> None:
    at_once = args.at_once or part.parts

    def own_configuration() -> GeneratorConfig:
        config = Share(part, at_once).of(configuration(args))
        # one page shows all parts; each by itself has none
        daemon = config.daemon.model_copy(update={"port": 0})
        folder = str(part.folder(Path(config.corpus)))
        return config.model_copy(update={"corpus": folder, "daemon": daemon})

    config = own_configuration()
    folder = Path(config.corpus)
    record_parts(folder.parent, part.parts)
    if not retry and is_done(folder, task_digest(config)):
        print(f"{part}: done before, nothing is left to ask")
        return
    _wait_for_others(folder, config.daemon.drain_seconds + WAIT_SECONDS)
    generate(config, retry, own_configuration, part)


def _wait_for_others(folder: Path, seconds: float) -> None:
    """A process that was cut off from whoever started it may still drain. After that time the
    corpus' own refusal says who holds it.
    """
    deadline = time.monotonic() + seconds
    while folder.is_dir() and holder(folder) is not None and time.monotonic() < deadline:
        time.sleep(LOOK_SECONDS)


def _run_all(
    args: argparse.Namespace,
    config: GeneratorConfig,
    parts: int,
    launcher: Local | Ray,
    retry: frozenset[str],
) -> None:
    secrets(config)  # a key that is missing is told before anything is made
    if isinstance(launcher, Ray):
        with RayTasks(launcher.address) as cluster:
            at_once = _at_once(config, parts, args.at_once or cluster.workers, to=sys.stdout)
            command = _command(args, config, parts, at_once)
            with _held(config, parts):
                _screen(config, parts, cluster)
                _run_parts(config, parts, at_once, cluster.parts(command, at_once), retry)
        return
    at_once = _at_once(config, parts, args.at_once or launcher.workers, to=sys.stdout)
    command = _command(args, config, parts, at_once)
    with _held(config, parts):
        with LocalWorkers(launcher.workers) as workers:
            _screen(config, parts, workers)
        _run_parts(config, parts, at_once, LocalParts(command, at_once), retry)


@contextmanager
def _held(config: GeneratorConfig, parts: int) -> Iterator[None]:
    """The corpus, divided into so many parts, is this process' until the end."""
    corpus = Path(config.corpus)
    record_parts(corpus, parts)
    with FolderLock(corpus, key="corpus"):
        write_config(corpus, config)
        yield


def _screen(config: GeneratorConfig, parts: int, runner: TaskRunner) -> None:
    if local_path(config.problems.source) is not None:
        screen_in_parts(config, parts, runner)


def _run_parts(
    config: GeneratorConfig,
    parts: int,
    at_once: int,
    executor: PartExecutor,
    retry: frozenset[str],
) -> None:
    digest = None if retry else task_digest(config)
    all_parts = AllParts(config, parts, digest, executor)
    done_parts = parts - all_parts.waiting
    print(
        f"{config.corpus}: {parts:,} parts, {at_once:,} at once, {done_parts:,} done before",
        flush=True,
    )
    asyncio.run(all_parts.until_done(at_once))


def _command(
    args: argparse.Namespace, config: GeneratorConfig, parts: int, at_once: int
) -> PartCommand:
    words = [str(args.config.resolve())] if args.config else []
    for item in args.set:
        words += ["--set", item]
    if args.retry:
        words += ["--retry", args.retry]
    return PartCommand(
        corpus=str(Path(config.corpus).resolve()),
        words=command_line(Part(0, parts), at_once, words),
        parts=parts,
        folder=str(Path.cwd()),
        environment=_overrides(),
    )


def _at_once(config: GeneratorConfig, parts: int, workers: int, to: TextIO) -> int:
    """How many parts run at once: no more than the lanes' limits can be divided among. Says what
    the parts get of the limits. Errors: `InputError` for limits that cannot be divided.
    """
    at_once = min(parts, workers, most_at_once(config) or parts)
    if at_once < min(parts, workers):
        print(f"{at_once:,} parts at once: a lane's limits allow no more", file=to, flush=True)
    Share(Part(parts - 1, parts), at_once).of(config)
    if has_daily_limits(config) and not is_shared(config) and parts > 1:
        print(
            f"each part has 1/{parts} of what is allowed a day; with [budget] shared they take it"
            " as they need it",
            file=to,
            flush=True,
        )
    return at_once


def _overrides() -> dict[str, str]:
    """The variables that override keys of the configuration: other hosts do not have them. No
    secret is among them: those have names of their own.
    """
    return {
        name: value
        for name, value in os.environ.items()
        if name.startswith(PREFIX) and "__" in name
    }
