"""The lines of a batch's output, whatever order and state they come in.

{"id": "…", "custom_id": "9a8b…:0:17", "response": {"status_code": 200, "body": {…}}, "error": null}
{"id": "…", "custom_id": "9a8b…:0:18", "response": null, "error": {"code": "batch_expired", …}}
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from generator.batch.requests_file import line_of

LONGEST_LINE = 64 << 20  # bytes; more is no answer
# A line that was never asked, by the code in its place.
NOT_ASKED = ("batch_expired", "batch_cancelled", "batch_canceled")


@dataclass(frozen=True, slots=True)
class OutputLine:
    """One line of output. `status`: of its own reply; 0 where it was never asked."""

    sample_id: str
    line: int
    status: int
    body: Any

    @property
    def is_answer(self) -> bool:
        """Whether its body is a completion, as far as the status says."""
        return self.status == 200


def output_lines(path: Path) -> Iterator[OutputLine | None]:
    """Every line of a file in constant memory; None for one that says nothing about a line of
    ours.
    """
    with path.open("rb") as file:
        while True:
            text = file.readline(LONGEST_LINE)
            if not text:
                return
            if text.strip():
                yield parsed(text)


def parsed(text: bytes) -> OutputLine | None:
    """One line; None where it is no JSON, or names no line."""
    try:
        row = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(row, dict):
        return None
    place = line_of(row.get("custom_id"))
    if place is None:
        return None
    sample_id, line = place
    status, body = _reply(row)
    return OutputLine(sample_id, line, status, body)


def _reply(row: dict[str, Any]) -> tuple[int, Any]:
    """(status, body) of what a line got. Without a response its error stands for a status."""
    error = row.get("error")
    response = row.get("response")
    if isinstance(response, dict):
        body = response.get("body")
        status = response.get("status_code")
        if not isinstance(body, dict) and "choices" in response:
            body = response
        if isinstance(status, int) and status:
            return status, body if body is not None else {"error": error}
        if isinstance(body, dict) and "choices" in body:
            return 200, body
    if isinstance(error, dict) and error.get("code") in NOT_ASKED:
        return 0, error
    code = str(error.get("code")) if isinstance(error, dict) else ""
    status = int(code) if code.isascii() and code.isdigit() and 400 <= int(code) <= 599 else 500
    return status, {"error": error or "the line has neither an answer nor an error"}
