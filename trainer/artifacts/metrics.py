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
    return [
        line
        for line in map(_parsed, path.read_bytes().splitlines(keepends=True))
        if line is not None
    ]


def _parsed(line: bytes) -> Line | None:
    try:
        parsed = json.loads(line) if line.endswith(b"\n") else None
    except ValueError:
        return None
    return parsed if isinstance(parsed, dict) and "step" in parsed else None
