"""Files of problems as users have them, and what the generator makes of them."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from generator.config import ProblemsConfig
from generator.problems import ProblemStream, open_problems

ROWS = [
    {"problem": f"What is {n} + {n}?", "solution": f"It is \\boxed{{{2 * n}}}."} for n in range(200)
]


def opened(source: Path | str, **keys: Any) -> ProblemStream:
    return open_problems(ProblemsConfig(source=str(source), **keys))


def write_lines(path: Path, rows: list[Any]) -> Path:
    path.write_text(
        "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8"
    )
    return path


def write_parquet(path: Path, rows: list[dict[str, Any]], group: int = 50) -> Path:
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=group)
    return path


def opened_with_golds(source: Path | str, **keys: Any) -> ProblemStream:
    return open_problems(ProblemsConfig(source=str(source), **keys), needs_gold=True)
