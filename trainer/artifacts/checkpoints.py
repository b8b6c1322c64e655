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
    for path in sorted(folder.glob(f"{PREFIX}*"), key=_step):
        fault = _fault(path)
        if fault:
            torn.append(f"{path.name} is torn ({fault}) and is passed over")
        else:
            state = json.loads((path / MARK).read_bytes())["state"]
            whole.append(Checkpoint(path, _step(path), state))
    return whole, torn


def drop_old(folder: Path, keep: int, best: int | None) -> None:
    """Delete the oldest checkpoints beyond `keep`, never the one after step `best`, and every
    torn one.
    """
    whole, _ = whole_checkpoints(folder)
    whole_paths = {checkpoint.path for checkpoint in whole}
    for path in folder.glob(f"{PREFIX}*"):
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


def _fault(path: Path) -> str:
    try:
        files = json.loads((path / MARK).read_bytes())["files"]
    except FileNotFoundError:
        return f"no {MARK}"
    except (ValueError, KeyError, TypeError):
        return f"{MARK} cannot be read"
    for name, size in files.items():
        file = path / name
        if not file.is_file():
            return f"{name} is missing"
        if file.stat().st_size != size:
            return f"{name} has {file.stat().st_size} of {size} bytes"
    return ""


def _step(path: Path) -> int:
    digits = path.name.removeprefix(PREFIX)
    return int(digits) if digits.isdigit() else -1
