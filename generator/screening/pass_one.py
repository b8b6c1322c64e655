"""Pass one of a screening, in pieces of the data: what `settle` needs to know of each problem.

    CORPUS/screening/pass-0007-of-0064.npz      of piece 7: fingerprint, records, findings, facts

A piece is done by itself, anywhere and in any order, and again at will; put together in the order
of the data, the pieces are to the byte what one process would have written.
"""

import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from generator.screening.duplicates import Records, records_of
from generator.screening.findings import finding_lines
from shared.contamination import EvaluationIndex
from shared.contamination.text import tokens
from shared.file_writing import write_atomically
from shared.records import Problem

_NAME = re.compile(r"pass-\d{4}-of-\d{4,5}\.npz")
_ABOUT = "about"
_FINDINGS = "findings"


@dataclass(frozen=True, slots=True)
class Measured:
    """What pass one keeps of some problems."""

    records: Records
    findings: bytes


def measure(problems: Sequence[Problem], evaluation: EvaluationIndex, near: float) -> Measured:
    """Pass one of a batch. `near`: see `DuplicateIndex`."""
    batch_tokens = [tokens(problem.text) for problem in problems]
    lines = b""
    if len(evaluation):
        findings = [
            evaluation.find(problem.text, text_tokens)
            for problem, text_tokens in zip(problems, batch_tokens, strict=True)
        ]
        lines = finding_lines(problems, findings)
    return Measured(records_of(problems, batch_tokens, near), lines)


def piece_path(folder: Path, piece: int, pieces: int) -> Path:
    """Where a piece of pass one is, in `CORPUS/screening`."""
    return folder / f"pass-{piece:04d}-of-{pieces:04d}.npz"


def piece_paths(folder: Path) -> list[Path]:
    """Every piece that is there, of whatever division."""
    paths = folder.glob("pass-*.npz")
    return [path for path in paths if _NAME.fullmatch(path.name)]


def write_piece(
    path: Path, fingerprint: str, facts: Mapping[str, Any], batches: Iterable[Measured]
) -> None:
    """Write a piece whole. `facts`: what the reader of the data knows of it. Errors: `CannotWrite`."""
    columns: dict[str, list[bytes]] = {_FINDINGS: []}
    for batch in batches:
        columns[_FINDINGS].append(batch.findings)
        for name, records in batch.records.items():
            columns.setdefault(name, []).append(records)
    about = orjson.dumps({"fingerprint": fingerprint, "facts": facts})
    arrays = {_ABOUT: _bytes(about)}
    for name, blocks in columns.items():
        arrays[name] = _bytes(b"".join(blocks))
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    write_atomically(path, buffer.getvalue())


def piece_facts(path: Path, fingerprint: str) -> Mapping[str, Any] | None:
    """The facts of a piece; None where it is not there, or is of other data or settings."""
    try:
        with np.load(path) as arrays:
            about = orjson.loads(arrays[_ABOUT].tobytes())
    except (OSError, ValueError, KeyError):
        return None
    if about["fingerprint"] != fingerprint:
        return None
    facts: Mapping[str, Any] = about["facts"]
    return facts


def read_piece(path: Path) -> Measured:
    """What a piece holds."""
    with np.load(path) as arrays:
        columns = {name: arrays[name].tobytes() for name in arrays.files}
    columns.pop(_ABOUT)
    findings = columns.pop(_FINDINGS)
    return Measured(columns, findings)


def _bytes(data: bytes) -> NDArray[np.uint8]:
    return np.frombuffer(data, np.uint8)
