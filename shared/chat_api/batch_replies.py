"""A batch as an OpenAI-compatible server describes it, read by its fields and not by an SDK's
models: Together writes its states in capitals, SiliconFlow leaves fields out.
"""

from dataclasses import dataclass
from typing import Any

from shared.chat_api import wire
from shared.chat_api.errors import ServerFault

ENDED = ("completed", "failed", "expired", "cancelled", "canceled")


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch as the server describes it. Times are seconds since 1970 by its clock, 0: not said."""

    id: str
    status: str  # in lower case
    input_file_id: str
    output_file_id: str
    error_file_id: str
    total: int
    completed: int
    failed: int
    expires_at: float
    errors: str  # why it failed as a whole, in one line

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will come of it."""
        return self.status in ENDED


def batch_of(reply: Any) -> Batch:
    """A reply's batch. Errors: `ServerFault` where it names none."""
    identity = required_text(reply, "id")
    counts = reply.get("request_counts")
    counts = counts if isinstance(counts, dict) else {}

    def number(value: Any) -> int:
        if isinstance(value, int):
            return value
        return 0

    expires_at = reply.get("expires_at")
    return Batch(
        id=identity,
        status=str(reply.get("status") or "").lower(),
        input_file_id=str(reply.get("input_file_id") or ""),
        output_file_id=str(reply.get("output_file_id") or ""),
        error_file_id=str(reply.get("error_file_id") or ""),
        total=number(counts.get("total")),
        completed=number(counts.get("completed")),
        failed=number(counts.get("failed")),
        expires_at=float(expires_at) if isinstance(expires_at, int | float) else 0.0,
        errors=wire.one_line(_words(reply.get("errors") or reply.get("error"))),
    )


def _words(errors: Any) -> str:
    if isinstance(errors, dict):
        rows = errors.get("data")
        if isinstance(rows, list):
            return "; ".join(_words(row) for row in rows[:3])
        return str(errors.get("message") or errors.get("code") or "")
    if isinstance(errors, list):
        return "; ".join(_words(each) for each in errors[:3])
    return str(errors or "")


def required_text(reply: Any, name: str) -> str:
    """A field that must be there. Errors: `ServerFault`."""
    value = reply.get(name) if isinstance(reply, dict) else None
    if not isinstance(value, str) or not value:
        raise ServerFault(f"HTTP 200 without {name!r}", status=200)
    return value
