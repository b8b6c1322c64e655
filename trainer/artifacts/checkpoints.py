"""Checkpoints that are whole or nothing: a mark written last says which files belong, with their
sizes.

A process can die at any byte of a checkpoint. What has no mark, or does not match it, is torn: it
is passed over with a message and the run goes on from the one before.
"""

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.file_writing import write_atomically

MARK = "whole.json"
PREFIX = "checkpoint-"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A whole checkpoint after `step` optimiser steps, with what our own part of the state was."""

    path: Path
    step: int
    state: dict[str, Any]

    @property
    def best_step(self) -> int | None:
        """The step of the run's best checkpoint when this one was written, None before any."""
        step = self.state.get("best", {}).get("step")
        return None if step is None else int(step)


def mark_whole(path: Path, state: dict[str, Any]) -> Checkpoint:
    """Declare the checkpoint at `path` whole, after its files are safely on the disk."""
    sizes = {}
    for member in sorted(path.rglob("*")):
        if not member.is_file() or member.name == MARK:
            continue
        with member.open("rb") as file:
            os.fsync(file.fileno())
        sizes[str(member.relative_to(path))] = member.stat().st_size
    write_atomically(path / MARK, json.dumps({"files": sizes, "state": state}, indent=1).encode())
    return Checkpoint(path, _step(path), state)


def whole_checkpoints(folder: Path) -> tuple[list[Checkpoint], list[str]]:
    """The whole checkpoints in order of step, and a line for each torn one."""
    whole = []
    torn = []
    for path in _folders(folder):
        try:
            whole.append(_read(path))
        except _Torn as fault:
            torn.append(f"{path.name} is torn ({fault}) and is passed over")
    return whole, torn


def drop_old(folder: Path, keep: int, best: int | None) -> None:
    """Delete the oldest checkpoints beyond `keep`, never the one after step `best`, and every
    torn one.
    """
    whole, _ = whole_checkpoints(folder)
    whole_paths = {checkpoint.path for checkpoint in whole}
    for path in _folders(folder):
        if path not in whole_paths:
            shutil.rmtree(path)
    candidates = [checkpoint for checkpoint in whole if checkpoint.step != best]
    num_best = len(whole) - len(candidates)
    num_kept = max(1, keep - num_best)
    num_dropped = max(0, len(candidates) - num_kept)
    for checkpoint in candidates[:num_dropped]:
        # First, so that a kill leaves a torn checkpoint and not a half one.
        (checkpoint.path / MARK).unlink()
        shutil.rmtree(checkpoint.path)


class _Torn(Exception):
    """Why a checkpoint is not whole."""


def _folders(folder: Path) -> list[Path]:
    """The checkpoints in order of step. What only begins like one (a copy that somebody made) is
    not ours to read or delete.
    """
    paths = folder.glob(f"{PREFIX}*")
    return sorted((path for path in paths if _is_ours(path)), key=_step)


def _is_ours(path: Path) -> bool:
    digits = path.name.removeprefix(PREFIX)
    return digits.isascii() and digits.isdigit() and path.is_dir()


def _read(path: Path) -> Checkpoint:
    """Errors: `_Torn`."""
    try:
        mark = json.loads((path / MARK).read_bytes())
        files: dict[str, int] = dict(mark["files"])
        state: dict[str, Any] = dict(mark["state"])
    except FileNotFoundError:
        raise _Torn(f"no {MARK}") from None
    except (OSError, ValueError, KeyError, TypeError):
        raise _Torn(f"{MARK} cannot be read") from None
    for name, size in files.items():
        file = path / name
        if not file.is_file():
            raise _Torn(f"{name} is missing")
        if file.stat().st_size != size:
            raise _Torn(f"{name} has {file.stat().st_size} of {size} bytes")
    return Checkpoint(path, _step(path), state)


def _step(path: Path) -> int:
    return int(path.name.removeprefix(PREFIX))
