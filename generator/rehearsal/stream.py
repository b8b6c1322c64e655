"""Replies as events of a DeepSeek stream."""

import random
import re
from dataclasses import dataclass
from typing import Any

import orjson

DONE = b"data: [DONE]\n\n"
COMMENT = b": keep-alive\n\n"
# Words with their leading space, single digits, line breaks, single signs: about what R1's
# tokenizer makes of English.
_TOKENS = re.compile(r" ?[^\W\d_]{1,12}|\d|\n+| ?[^\w\s]|\s|\w")


# What stands before a token, the token, what stands after it: bytes only once they are written, so
# that a thousand waiting streams of long answers do not fill the memory.
Event = tuple[bytes, str | None, bytes]


def rendered(event: Event) -> bytes:
    """An event as it is sent."""
    before, token, after = event
    return before + orjson.dumps(token) + after if token is not None else before


def plain(text: bytes) -> Event:
    """An event without a token."""
    return text, None, b""


def json_event(value: Any) -> Event:
    """An event whose data is a JSON value."""
    return plain(b"data: " + orjson.dumps(value) + b"\n\n")


def tokens(text: str) -> list[str]:
    """The text in pieces that are about the size of a tokenizer's."""
    return _TOKENS.findall(text)


@dataclass(frozen=True, slots=True)
class Reply:
    """What the teacher says to one call."""

    id: str
    model: str
    created: int
    reasoning: list[str]
    response: list[str]
    finish_reason: str
    prompt_tokens: int

    @property
    def usage(self) -> dict[str, Any]:
        """Tokens of prompt and completion, as DeepSeek sends them."""
        completion = len(self.reasoning) + len(self.response)
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": completion,
            "total_tokens": self.prompt_tokens + completion,
            "prompt_tokens_details": {"cached_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": len(self.reasoning)},
            "prompt_cache_hit_tokens": 0,
            "prompt_cache_miss_tokens": self.prompt_tokens,
        }

    def as_events(self, include_usage: bool) -> list[Event]:
        """Every event of the stream in order, `[DONE]` last."""
        head = {
            "id": self.id,
            "object": "chat.completion.chunk",
            "created": self.created,
            "model": self.model,
        }
        fields = orjson.dumps({**head, "system_fingerprint": "fp_rehearsal"})[:-1]
        start = b"data: " + fields + b',"choices":[{"index":0,"delta":'
        end = b',"logprobs":null,"finish_reason":null}]}\n\n'
        role = b'{"role":"assistant","content":null,"reasoning_content":""}'
        reasoning_start = start + b'{"content":null,"reasoning_content":'
        reasoning_end = b"}" + end
        response_start = start + b'{"content":'
        response_end = b',"reasoning_content":null}' + end
        events = [plain(start + role + end)]
        events += [(reasoning_start, token, reasoning_end) for token in self.reasoning]
        events += [(response_start, token, response_end) for token in self.response]
        last_choice = {
            "index": 0,
            "delta": {"content": ""},
            "logprobs": None,
            "finish_reason": self.finish_reason,
        }
        events.append(json_event({**head, "choices": [last_choice]}))
        if include_usage:
            events.append(json_event({**head, "choices": [], "usage": self.usage}))
        return [*events, plain(DONE)]

    def as_body(self) -> bytes:
        """The reply to a call that does not stream."""
        message = {
            "role": "assistant",
            "content": "".join(self.response),
            "reasoning_content": "".join(self.reasoning),
        }
        choice = {
            "index": 0,
            "message": message,
            "logprobs": None,
            "finish_reason": self.finish_reason,
        }
        head = {
            "id": self.id,
            "object": "chat.completion",
            "created": self.created,
            "model": self.model,
        }
        return orjson.dumps({**head, "choices": [choice], "usage": self.usage})


def flood(events: list[Event], rng: random.Random) -> list[Event]:
    """The same events with comments and blank lines strewn between them."""
    noisy_events = [plain(COMMENT * 3)]
    for before, token, after in events:
        noise = b"\n" * rng.randrange(3) + COMMENT * rng.randrange(3)
        noisy_events.append((noise + before, token, after))
    return noisy_events
