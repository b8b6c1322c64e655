"""What is asked of a server."""

from dataclasses import dataclass

from shared.records import Message


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of a teacher: one sample of one problem."""

    messages: list[Message]
    model: str
    temperature: float
    top_p: float
    max_tokens: int
