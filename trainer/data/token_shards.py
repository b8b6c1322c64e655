"""The tokens of a corpus's shard in one file, made once, mapped into every process that trains.

    RUN/tokens/3f0c…/8a41….tokens       key of tokenizer and template / SHA-256 of the shard
    header, 512 bytes                   {"format": 1, "rows": 500, "texts": 91203, "tokens": 612004, "crc32": …}
    rows                                ROW each: where its tokens and texts stand, lengths, what is wrong with it
    texts                               [id, problem_id, source, problem, gold, turn] as JSON, a trace each
    tokens                              int32, end to end

A file is written beside its place and renamed, so a process that dies leaves none; one that does not
match its header is made again. Traces of any length are in it: `max_length` is asked of it later.
"""

import json
import zlib
from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from shared.file_writing import writing
from shared.records import VERDICTS, Trace
from trainer.data.examples import Tokens, user_turn

FORMAT = 1
HEADER_BYTES = 512
SUFFIX = ".tokens"
OPEN_FILES = 64  # mapped at a time; each keeps a file descriptor
ROW = np.dtype(
    [
        ("words", "<u8", 2),  # of problem and answer: equal for duplicates
        ("problem", "<u8"),  # of the problem's id
        ("digest", "<u8"),  # of the id and the tokens
        ("token_start", "<i8"),
        ("text_start", "<i8"),
        ("cost_usd", "<f8"),  # NaN: not known
        ("text_bytes", "<i4"),
        ("length", "<i4"),  # tokens; 0: not tokenized
        ("prompt_length", "<i4"),
        ("verdict", "u1"),  # of VERDICTS
        ("fault", "u1"),  # of examples.FAULTS; 0: none
        ("has_gold", "?"),
        ("box_added", "?"),
    ]
)
Rows = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, slots=True)
class TokenShard:
    """A file that was found whole. Nothing of it is held: it is mapped when it is asked."""

    path: Path
    num_rows: int
    num_text_bytes: int

    @property
    def rows(self) -> Rows:
        """[num_rows] of ROW."""
        size = self.num_rows * ROW.itemsize
        rows: Rows = _mapped(str(self.path))[HEADER_BYTES : HEADER_BYTES + size].view(ROW)
        return rows

    def texts(self, row: int) -> list[Any]:
        """[id, problem_id, source, problem, gold, turn] of a row."""
        entry = self.rows[row]
        start = self._texts_start + int(entry["text_start"])
        content = _mapped(str(self.path))[start : start + int(entry["text_bytes"])]
        texts: list[Any] = orjson.loads(content.tobytes())
        return texts

    def token_ids(self, row: int) -> "array[int]":
        """int32 token ids of a row, a copy."""
        entry = self.rows[row]
        start = self._texts_start + self.num_text_bytes + 4 * int(entry["token_start"])
        content = _mapped(str(self.path))[start : start + 4 * int(entry["length"])]
        ids = array("i")
        ids.frombytes(content.tobytes())
        return ids

    @property
    def _texts_start(self) -> int:
        return HEADER_BYTES + self.num_rows * ROW.itemsize


@lru_cache(maxsize=OPEN_FILES)
def _mapped(path: str) -> Any:
    return np.memmap(path, dtype=np.uint8, mode="r")


def write_token_shard(path: Path, traces: Iterable[tuple[Trace, Tokens]]) -> int:
    """The file of one shard, whole or not at all; returns its rows. Errors: `CannotWrite`."""
    rows = []
    texts = bytearray()
    tokens = array("i")
    for trace, trace_tokens in traces:
        text = orjson.dumps(_texts(trace))
        rows.append(_row(trace, trace_tokens, len(tokens), len(texts), len(text)))
        texts += text
        tokens += trace_tokens.ids
    body = np.array(rows, dtype=ROW).tobytes() + bytes(texts) + tokens.tobytes()
    header = {
        "format": FORMAT,
        "rows": len(rows),
        "texts": len(texts),
        "tokens": len(tokens),
        "crc32": zlib.crc32(body),
    }
    temporary = path.with_suffix(".new")
    with writing(path), temporary.open("wb") as file:
        file.write(json.dumps(header).encode().ljust(HEADER_BYTES))
        file.write(body)
    with writing(path):
        temporary.replace(path)
    return len(rows)


def open_token_shard(path: Path) -> TokenShard | None:
    """The file at `path`; None where there is none, or it is not what was written."""
    try:
        content = path.read_bytes()
        header = json.loads(content[:HEADER_BYTES])
        num_rows = header["rows"]
        body = memoryview(content)[HEADER_BYTES:]
        size = num_rows * ROW.itemsize + header["texts"] + 4 * header["tokens"]
        is_whole = header["format"] == FORMAT and len(body) == size
        if not is_whole or zlib.crc32(body) != header["crc32"]:
            return None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    _mapped.cache_clear()  # of a file that was made again
    return TokenShard(path, num_rows, header["texts"])


def problem_number(problem_id: str) -> int:
    """A problem's id as 64 bits."""
    return _number(problem_id.encode(errors="surrogatepass"))


def _number(content: bytes) -> int:
    return int.from_bytes(blake2b(content, digest_size=8).digest(), "little")


def _texts(trace: Trace) -> list[Any]:
    return [trace.id, trace.problem_id, trace.source, trace.problem, trace.gold, user_turn(trace)]


def _row(
    trace: Trace, encoded: Tokens, token_start: int, text_start: int, text_bytes: int
) -> tuple[Any, ...]:
    words = " ".join(f"{trace.reasoning} {trace.response}".split())
    key = f"{trace.problem_id} {words}".encode(errors="surrogatepass")
    words_digest = blake2b(key, digest_size=16).digest()
    identity = trace.id.encode(errors="surrogatepass") + encoded.ids.tobytes()
    return (
        np.frombuffer(words_digest, dtype="<u8"),
        problem_number(trace.problem_id),
        _number(identity),
        token_start,
        text_start,
        np.nan if trace.cost_usd is None else trace.cost_usd,
        text_bytes,
        len(encoded.ids),
        encoded.prompt_length,
        VERDICTS.index(trace.verdict),
        encoded.fault,
        trace.gold is not None,
        encoded.box_added,
    )
