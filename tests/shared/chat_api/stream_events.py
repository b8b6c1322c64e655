"""The events that recorded streams are made of."""

import json
from dataclasses import dataclass
from typing import Any

from shared.chat_api.errors import CallError

THOUGHT = "Okay, 2 apples.\n\nSo 2 + 2 = 4. 好的 🍎"


SAID = "The answer is \\boxed{4}.\n"


@dataclass(frozen=True)
class Stream:
    """One reply with HTTP 200."""

    name: str
    body: bytes
    reasoning: str = THOUGHT
    response: str = SAID
    finish_reason: str = "stop"
    error: type[CallError] | None = None
    completion_tokens: int | None = 9  # None: the provider did not count
    content_type: str = "text/event-stream"
    closes: bool = True  # False: the connection stays open after the last byte


def chunk(delta: dict[str, Any] | None, finish: str | None = None, **more: Any) -> dict[str, Any]:
    choices = (
        []
        if delta is None
        else [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]
    )
    return {
        "id": "c1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "r1",
        "choices": choices,
        **more,
    }


def sse(
    *events: dict[str, Any] | str,
    done: bool = True,
    head: str = "data: ",
    end: str = "\n\n",
    **dumps: Any,
) -> bytes:
    texts = [event if isinstance(event, str) else json.dumps(event, **dumps) for event in events]
    return "".join(head + text + end for text in [*texts, *(["[DONE]"] if done else [])]).encode()


def thoughts(key: str = "reasoning_content", **more: Any) -> list[dict[str, Any]]:
    return [chunk({key: part, **more}) for part in parts(THOUGHT)]


def sayings(text: str = SAID, **more: Any) -> list[dict[str, Any]]:
    return [chunk({"content": part, **more}) for part in parts(text)]


def parts(text: str) -> list[str]:
    """Uneven pieces, so that tags and words are cut anywhere."""
    cut = []
    sizes = (1, 3, 2, 5)
    at = 0
    while at < len(text):
        size = sizes[len(cut) % 4]
        cut.append(text[at : at + size])
        at += size
    return cut


USAGE = {"prompt_tokens": 5, "completion_tokens": 9, "total_tokens": 14}


STOP = chunk({}, "stop")


COUNT = chunk(None, usage=USAGE)


def whole_message(finish: str | None = "stop", **message: Any) -> dict[str, Any]:
    """A reply that is no stream."""
    choice = {
        "index": 0,
        "message": {"role": "assistant", **message},
        "finish_reason": finish,
    }
    return {
        "id": "c1",
        "object": "chat.completion",
        "model": "r1",
        "choices": [choice],
        "usage": USAGE,
    }


def over_lines(event: dict[str, Any]) -> str:
    """JSON of several lines, each its own `data:` line of one event."""
    return "\ndata: ".join(json.dumps(event, indent=1).split("\n"))
