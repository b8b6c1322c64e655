"""The files of an export: chat JSON lines, Parquet, held-out problems, a card. Each appears whole
or not at all.

They are made to be given away, with the usual rights; a file in the corpus itself has the corpus'.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from shared.destinations import is_corpus, note_ours
from shared.errors import CannotWrite
from shared.file_writing import open_within
from shared.prompts import training_messages
from shared.records import Message, Trace

ROW_GROUP = 1_000
SCHEMA = pa.schema(
    [
        ("messages", pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))),
        ("id", pa.string()),
        ("problem_id", pa.string()),
        ("source", pa.string()),
        ("problem", pa.string()),
        ("gold", pa.string()),
        ("reasoning", pa.string()),
        ("response", pa.string()),
        ("final_answer", pa.string()),
        ("verdict", pa.string()),
        ("checked_by", pa.string()),
        ("model", pa.string()),
        ("completion_tokens", pa.int64()),
        ("pass_rate", pa.float64()),
        ("flags", pa.list_(pa.string())),
        ("repaired", pa.bool_()),
    ]
)


def chat(trace: Trace) -> list[Message]:
    """The training view of a trace: the user's turn as it was sent, then thinking and response."""
    user_turns = [message["content"] for message in trace.messages if message["role"] == "user"]
    turn = user_turns[-1] if user_turns else trace.problem
    return training_messages(turn, trace.reasoning, trace.response)


def chat_lines(traces: Iterable[Trace]) -> bytes:
    """`{"messages": […]}` a line."""
    lines = [
        orjson.dumps({"messages": chat(trace)}, option=orjson.OPT_APPEND_NEWLINE)
        for trace in traces
    ]
    return b"".join(lines)


def table_of(
    traces: Iterable[Trace], pass_rates: Iterable[float | None], are_repaired: bool = False
) -> pa.Table:
    """One row a trace, `SCHEMA`. `pass_rates`: of their problems, in parallel."""
    rows = [
        _row(trace, pass_rate, are_repaired)
        for trace, pass_rate in zip(traces, pass_rates, strict=True)
    ]
    return pa.Table.from_pylist(rows, SCHEMA)


def write_chat(path: Path, blocks: Iterable[bytes]) -> None:
    """Blocks of `chat_lines`, in order. Errors: `CannotWrite`."""
    with _whole(path) as temporary, temporary.open("wb") as file:
        for block in blocks:
            file.write(block)


def write_parquet(path: Path, tables: Iterable[pa.Table]) -> None:
    """Tables of `SCHEMA`, in order, in row groups of equal size. Errors: `CannotWrite`."""
    with (
        _whole(path) as temporary,
        pq.ParquetWriter(temporary, SCHEMA, compression="zstd") as writer,
    ):
        for group in _row_groups(tables):
            writer.write_table(group)


def _row_groups(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The rows of all tables, `ROW_GROUP` at a time, however many each has."""
    waiting: list[pa.Table] = []
    rows = 0
    for table in tables:
        while rows + table.num_rows >= ROW_GROUP:
            missing_rows = ROW_GROUP - rows
            yield pa.concat_tables([*waiting, table.slice(0, missing_rows)]).combine_chunks()
            table = table.slice(missing_rows)
            waiting = []
            rows = 0
        if table.num_rows:
            waiting.append(table)
            rows += table.num_rows
    if rows:
        yield pa.concat_tables(waiting).combine_chunks()


def write_held_out(path: Path, traces: Iterable[Trace], problem_ids: Iterable[str]) -> int:
    """`{"problem", "answer", "source"}` a line for each of the problems once: what
    `evaluation` reads as JSONL.
    """
    missing_ids = set(problem_ids)
    rows = 0
    with _whole(path) as temporary, temporary.open("wb") as file:
        for trace in traces:
            if trace.problem_id in missing_ids and trace.gold is not None:
                missing_ids.discard(trace.problem_id)
                row = {"problem": trace.problem, "answer": trace.gold, "source": trace.source}
                file.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))
                rows += 1
    return rows


def write_text(path: Path, text: str) -> None:
    """A text file, UTF-8. Errors: `CannotWrite`."""
    with _whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _row(trace: Trace, pass_rate: float | None, is_repaired: bool) -> dict[str, Any]:
    row = {
        name: getattr(trace, name)
        for name in SCHEMA.names
        if hasattr(trace, name) and name != "messages"
    }
    return {
        **row,
        "messages": chat(trace),
        "completion_tokens": trace.usage.completion_tokens,
        "pass_rate": pass_rate,
        "repaired": is_repaired,
    }


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place at the end, and is gone if the
    writing failed.
    """
    path = path.resolve()  # where a link points, not the link itself
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if is_corpus(path.parent):
            os.close(open_within(str(temporary), os.O_WRONLY | os.O_CREAT))
        yield temporary
        os.replace(temporary, path)
        note_ours(path)
    except OSError as error:
        raise CannotWrite(
            f"{path}: {error.strerror or error}: free some space or correct the path, then export"
            " again"
        ) from None
    finally:
        temporary.unlink(missing_ok=True)
