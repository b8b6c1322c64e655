"""The lines of metrics.jsonl and probe.jsonl as they are read back."""

import json
from pathlib import Path
from typing import Any

Line = dict[str, Any]


def read_lines(path: Path) -> list[Line]:
    """The whole lines of a file, each a JSON object with its step; none where there is no file.

    A run may be writing the last one; a full disk or a power cut may have torn one. What is torn
    tells nothing.
    """
    if not path.exists():
        return []
    records = map(_record, path.read_bytes().splitlines(keepends=True))
    return [record for record in records if record is not None]


def _record(line: bytes) -> Line | None:
    """None where the line is torn."""
    if not line.endswith(b"\n"):
        return None
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) and "step" in record else None
