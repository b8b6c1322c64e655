"""The cache of answers: each is written as it comes, so that a killed run goes on where it was.

`<model>/<benchmark>/answers.jsonl`, one line an answer:

    {"key": "5f3c…", "id": "0c3a…", "sample": 0, "prompt_sha": "9e1f…", "problem": "Natalia sold…", "gold": "72",
     "text": "<think>\\n…", "finish_reason": "stop", "prompt_tokens": 81, "completion_tokens": 412, "seconds": 3.1, …}

`key` digests the weights' fingerprint and the generation settings; `prompt_sha` the text that the
model saw. Both must agree for a line to count, so a retrained model at the same path is asked again
and an unchanged base never is. Answers kept under another key are moved to `earlier/KEY.jsonl`, and
come back when that key does.
"""

import hashlib
import json
import os
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from evaluation.records import ModelAnswer, SampleRequest
from shared.errors import CannotWrite
from shared.file_writing import write_atomically
from shared.shards import whole_length

_KEYS = {
    "key",
    "id",
    "sample",
    "prompt_sha",
    "problem",
    "gold",
    "text",
    "finish_reason",
    "prompt_tokens",
    "completion_tokens",
    "seconds",
}


def cache_key(identity: Mapping[str, Any]) -> str:
    """16 hex digits of SHA-256 of what decides an answer beside its prompt."""
    return _digest(json.dumps(identity, sort_keys=True, default=str))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class AnswerCache:
    """Answers of one model to one benchmark under one key.

    Owns the open file. Safe to use from several threads.
    """

    def __init__(self, folder: Path, key: str) -> None:
        self._key = key
        self._lock = threading.Lock()
        self.path = folder / "answers.jsonl"
        folder.mkdir(parents=True, exist_ok=True)
        self._swap_files()
        self._answers = self._read()
        self._fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def get(self, request: SampleRequest, prompt: str) -> ModelAnswer | None:
        """The answer kept for this question, sample and prompt."""
        return self._answers.get((request.question.id, request.sample, _digest(prompt)))

    def write(self, request: SampleRequest, prompt: str, answer: ModelAnswer) -> None:
        """Keep an answer. Errors: `CannotWrite`, with the file as it was.

        On return its line is with the operating system, so a killed process loses nothing.
        """
        digest = _digest(prompt)
        row = self._row(request, digest, answer)
        line = orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)
        with self._lock:
            self._append(line)
            self._answers[request.question.id, request.sample, digest] = answer

    def close(self) -> None:
        """Close the file; what was written stays."""
        os.close(self._fd)

    def _row(self, request: SampleRequest, digest: str, answer: ModelAnswer) -> dict[str, Any]:
        question = request.question
        row = {
            "key": self._key,
            "id": question.id,
            "sample": request.sample,
            "prompt_sha": digest,
            "problem": question.problem,
            "gold": question.gold,
            "text": answer.text,
            "finish_reason": answer.finish_reason,
            "prompt_tokens": answer.prompt_tokens,
            "completion_tokens": answer.completion_tokens,
            "seconds": round(answer.seconds, 4),
            "finished_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        }
        if question.other_golds:
            row["other_golds"] = question.other_golds
        if answer.refused_fields:
            row["without"] = answer.refused_fields
        return row

    def _append(self, line: bytes) -> None:
        """The whole line or nothing of it: a full disk may take a part, which goes again."""
        start = os.fstat(self._fd).st_size
        try:
            count = os.write(self._fd, line)
            while count < len(line):
                count += os.write(self._fd, line[count:])
        except OSError as error:
            os.ftruncate(self._fd, start)
            raise CannotWrite(
                f"{self.path}: {error.strerror}: free some space, then run again"
            ) from None

    def _read(self) -> dict[tuple[str, int, str], ModelAnswer]:
        if not self.path.exists():
            return {}
        # A killed writer leaves at most one torn tail.
        os.truncate(self.path, whole_length(self.path))
        answers = {}
        has_torn_lines = False
        with self.path.open("rb") as lines:
            for row in map(_row_of, lines):
                if row is None:
                    has_torn_lines = True
                else:
                    answers[row["id"], row["sample"], row["prompt_sha"]] = answer_of(row)
        if has_torn_lines:
            self._drop_torn_lines()
        return answers

    def _drop_torn_lines(self) -> None:
        with self.path.open("rb") as lines:
            whole_lines = b"".join(line for line in lines if _row_of(line))
        write_atomically(self.path, whole_lines)

    def _swap_files(self) -> None:
        """Give answers.jsonl to this key.

        Another key's goes to `earlier/`; what this key wrote before comes back from there.
        """
        present_key = self._present_key()
        if present_key == self._key:
            return
        earlier = self.path.parent / "earlier"
        if present_key is not None:
            earlier.mkdir(exist_ok=True)
            os.replace(self.path, earlier / f"{present_key}.jsonl")
        earlier_answers = earlier / f"{self._key}.jsonl"
        if earlier_answers.exists():
            os.replace(earlier_answers, self.path)

    def _present_key(self) -> str | None:
        """The key of the first line; None for no file or a single torn line: nothing to keep."""
        try:
            with self.path.open("rb") as lines:
                key: str = orjson.loads(lines.readline())["key"]
                return key
        except (OSError, orjson.JSONDecodeError, KeyError):
            return None


def _row_of(line: bytes) -> dict[str, Any] | None:
    """One line's answer; None for what a power cut or an editor left: it is asked again."""
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return row if isinstance(row, dict) and row.keys() >= _KEYS else None


def answer_of(row: Mapping[str, Any]) -> ModelAnswer:
    """The answer in one line of answers.jsonl."""
    return ModelAnswer(
        row["text"],
        row["finish_reason"],
        row["prompt_tokens"],
        row["completion_tokens"],
        row["seconds"],
        tuple(row.get("without", ())),
    )
