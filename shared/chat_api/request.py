"""What is asked of a server."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shared.records import Message


@dataclass(frozen=True, slots=True)
class Request:
    """One chat completion: one sample of one problem."""

    messages: list[Message]
    model: str
    temperature: float
    top_p: float | None  # None: not sent, the server chooses
    max_tokens: int
    extra: Mapping[str, Any] = field(default_factory=dict)  # more fields, sent as they are
