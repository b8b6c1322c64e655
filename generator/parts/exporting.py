"""`export CORPUS DEST --on local:W`: the shards are read by workers, the files are written here, in
order, to the byte as one process writes them.
"""

import argparse
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa

import generator.export
from generator.export import command
from generator.export.card import Facts
from generator.export.selection import ExportChoice, ShardNotes, failures_in, notes_of
from generator.export.shard_work import Block, RowsRequest, block_of
from generator.parts.launchers import TaskRunner, parse_launcher, task_runner
from generator.parts.tasks import Task, Values
from shared.file_writing import writing


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `export`."""
    parser.description = generator.export.__doc__
    command.add_arguments(parser)
    parser.add_argument(
        "--on", default="", metavar="WHERE", help="who reads the shards: local:W or ray:ADDRESS"
    )


def run(args: argparse.Namespace) -> int:
    """Export; the exit code. Errors: `InputError`, `CannotWrite`."""
    if not args.on:
        return command.run(args)
    # what is read here is written here: beside the destination there may be no room for both
    with (
        task_runner(parse_launcher(args.on)) as runner,
        tempfile.TemporaryDirectory(prefix="stillhouse-export-") as folder,
    ):
        return command.run(args, ByWorkers(runner, Path(folder)))


class ByWorkers:
    """A task a shard. `folder`: where blocks wait for their turn."""

    def __init__(self, runner: TaskRunner, folder: Path) -> None:
        self._runner = runner
        self._folder = folder

    def notes(self, files: Sequence[Path], choice: ExportChoice) -> Iterator[ShardNotes]:
        """See `ShardWork`."""
        values = {"choice": _choice_values(choice)}
        for outcome in self._in_order("export notes", [_file(file) | values for file in files]):
            yield ShardNotes(
                [tuple(candidate) for candidate in outcome["candidates"]],
                Counter(outcome["correct"]),
                Counter(outcome["left"]),
            )

    def failures(self, files: Sequence[Path]) -> Iterator["Counter[str]"]:
        """See `ShardWork`."""
        for outcome in self._in_order("export failures", [_file(file) for file in files]):
            yield Counter(outcome)

    def blocks(self, requests: Sequence[RowsRequest]) -> Iterator[tuple[Block, Facts]]:
        """See `ShardWork`."""
        values = [
            _file(request.file)
            | {
                "offsets": list(request.offsets),
                "pass_rates": list(request.pass_rates),
                "kind": request.kind,
                "out": str(self._folder / f"{number:06d}"),
            }
            for number, request in enumerate(requests)
        ]
        outcomes = self._in_order("export rows", values)
        for request, task_values, outcome in zip(requests, values, outcomes, strict=True):
            path = Path(task_values["out"])
            yield _read_block(path, request.kind), Facts.of(outcome)
            path.unlink()

    def _in_order(self, name: str, values: Sequence[Values]) -> Iterator[Values]:
        """The outcomes of tasks, each as soon as those before it are there."""
        tasks = [Task(name, number, each) for number, each in enumerate(values)]
        early: dict[int, Values] = {}
        next_number = 0
        for task, outcome in self._runner.outcomes(tasks):
            early[task.number] = outcome
            while next_number in early:
                yield early.pop(next_number)
                next_number += 1


def perform_notes(values: Values) -> Values:
    """The task of a worker: notes on one kept shard."""
    notes = notes_of(Path(values["file"]), _choice_of(values["choice"]))
    return {
        "candidates": notes.candidates,
        "correct": dict(notes.correct),
        "left": dict(notes.left),
    }


def perform_failures(values: Values) -> Values:
    """The task of a worker: the failures in one rejected shard."""
    return dict(failures_in(Path(values["file"])))


def perform_rows(values: Values) -> Values:
    """The task of a worker: the chosen traces of one shard, as a file; what was counted."""
    request = RowsRequest(
        Path(values["file"]), values["offsets"], values["pass_rates"], values["kind"]
    )
    block, facts = block_of(request)
    _write_block(Path(values["out"]), block)
    return facts.as_dict()


def _file(file: Path) -> dict[str, Any]:
    return {"file": str(file.resolve())}


def _choice_values(choice: ExportChoice) -> dict[str, Any]:
    values = asdict(choice)
    return {
        name: sorted(value) if isinstance(value, frozenset) else value
        for name, value in values.items()
    }


def _choice_of(values: dict[str, Any]) -> ExportChoice:
    sets = {name: frozenset(values[name]) for name in ("sources", "drop_flags")}
    return ExportChoice(**{**values, **sets, "pass_rate": tuple(values["pass_rate"])})


def _write_block(path: Path, block: Block) -> None:
    """It is read once, by the process that waits for it: not forced to the disk."""
    with writing(path):
        if isinstance(block, bytes):
            path.write_bytes(block)
            return
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, block.schema) as writer:
            writer.write_table(block)


def _read_block(path: Path, kind: str) -> Block:
    if kind == "chat":
        return path.read_bytes()
    with pa.memory_map(str(path)) as source:
        return pa.ipc.open_file(source).read_all()
