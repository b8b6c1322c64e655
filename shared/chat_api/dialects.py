"""What a stream's events mean, whatever the dialect. Pure: bytes in, text out; a dialect is
recognised, never set.

Reasoning comes as `delta.reasoning_content` (DeepSeek, ModelScope, Bailian, SiliconFlow, SGLang,
older vLLM), as `delta.reasoning` (vLLM since 0.16, OpenRouter), as `reasoning_details`, as parts of
a content list, or inside `content` between `<think>` and `</think>`, of which R1's own template
sends only the closing one. Where a server sends the same thought under two names, the first of
these names counts.

Text stays byte for byte what was sent. Only where the reasoning stands in tags, the tags go, and
with them the line breaks that belong to them: one after `<think>`, one before `</think>` and up to
two after it.
"""

from collections.abc import Iterable
from typing import Any

from shared.chat_api import wire
from shared.chat_api.event_stream import DONE, payloads_of
from shared.chat_api.event_template import EventTemplate, template_of
from shared.records import Usage
from shared.thinking import THINK_CLOSE, THINK_OPEN, closes_only, join, split

_DONE_BYTES_MAX = 32  # with white space around it
_SHOWN_BYTES = 4096  # of what is no event; far more than a line shows, so that no key is cut in two
# So many strings are joined: a stream of 30,000 tokens would hold 2 MB of string headers.
_PIECES = 256
_SURE_CHARACTERS = 6  # different ones in a first piece: a second that begins with it repeats it
# What holds the text of a part: OpenAI, Mistral, OpenRouter's summaries, the Responses API's form
_PART_FIELDS = ("text", "thinking", "reasoning", "summary", "content", "value")
_PART_DEPTH = 4  # of lists and objects around a text
_THOUGHT_TYPES = ("thinking", "reasoning", "reasoning_text", "reasoning.text")
# Blocks in a row that no template fitted: so wordy a dialect is not looked at further.
_VAIN_TEMPLATES = 16
_MOST_TOKENS = 10**9  # of one call; more is no count


class Pieces:
    """One text as it comes, also where each piece repeats all before it (Bailian without
    `incremental_output`).

    That is told by what no ordinary stream does: from the start on, each piece begins with the
    whole one before.
    """

    __slots__ = ("_first", "_last", "_pieces", "_repeating", "_seen", "size")

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._first = ""
        self._last = ""
        self._seen = 0  # pieces that grew, while all of them did
        self._repeating: bool | None = None  # None: not known yet
        self.size = 0  # characters

    def add(self, piece: str) -> None:
        if self._repeating is not False:
            self._look(piece)
        if self._repeating and piece.startswith(self._last):
            self._pieces = [piece]
            self.size = len(piece)
        else:
            self._pieces.append(piece)
            self.size += len(piece)
            if len(self._pieces) > _PIECES:
                self._pieces = [self.text]
        if self._repeating is not False:
            self._last = piece

    def extend(self, pieces: list[str]) -> None:
        """Add several at once."""
        if self._repeating is not False:
            for piece in filter(None, pieces):
                self.add(piece)
            return
        text = "".join(pieces)
        self._pieces.append(text)
        self.size += len(text)
        if len(self._pieces) > _PIECES:
            self._pieces = [self.text]

    def _look(self, piece: str) -> None:
        if not self._seen:
            self._first = piece
            self._seen = 1
        elif not piece.startswith(self._last):
            self._repeating = bool(self._repeating)
        elif len(piece) > len(self._last):
            self._seen += 1
            sure = len(set(piece)) >= 3 and self._seen >= 3
            self._repeating = (
                self._repeating or sure or len(set(self._first)) >= _SURE_CHARACTERS or None
            )

    @property
    def text(self) -> str:
        return "".join(self._pieces)


class Gathering:
    """What one stream has brought so far. `take` never raises on anything that a server may
    send.
    """

    __slots__ = (
        "_content",
        "_reasoning",
        "_template",
        "_vain_templates",
        "chunks",
        "done",
        "error",
        "finish_reason",
        "model",
        "usage",
    )

    def __init__(self) -> None:
        self._reasoning = Pieces()
        self._content = Pieces()
        self._template: EventTemplate | None = None  # of the latest event
        self._vain_templates = 0  # in a row, that no block fitted
        self.chunks = 0  # events that brought text
        self.finish_reason: str | None = None
        self.model = ""
        self.usage: dict[str, Any] | None = None
        self.done = False  # `[DONE]` came
        self.error: Any = None  # the body of an error event

    def take_events(self, events: bytes) -> int:
        """Take in events that blank lines divide. Returns how many of them brought text.

        A block of the kind of event that came last is read at once; any other, event by event.
        """
        if self._template is not None and not self.done:
            texts = self._template.texts(events)
            if texts is not None:
                self._vain_templates = 0
                return self._texts_of(self._template.field, texts)
        count = self.take(payloads_of(events))
        if self._vain_templates < _VAIN_TEMPLATES:
            self._vain_templates += 1
            self._template = template_of(events[events.rfind(b"\n\n") + 1 :].lstrip(b"\n"))
        return count

    def _texts_of(self, field: str, texts: list[str]) -> int:
        """Take in the texts that events brought in this field. Returns how many are some."""
        count = len(texts) - texts.count("")
        pieces = self._content if field == "content" else self._reasoning
        pieces.extend(texts)
        self.chunks += count
        return count

    def take(self, payloads: Iterable[bytes]) -> int:
        """Take the payloads in. Returns how many of them brought text."""
        before = self.chunks
        for payload in payloads:
            if self.done:
                # Whatever still comes would count where one read brings both, and only there.
                break
            if len(payload) < _DONE_BYTES_MAX and payload.strip() == DONE:
                self.done = True
                continue
            try:
                event = wire.document(payload)
            except wire.NotJson:
                text = payload[:_SHOWN_BYTES].decode("utf-8", "replace")
                self.error = f"an event that is not JSON: {text}"
                continue
            self._event(event.clean, event.raw)
        return self.chunks - before

    @property
    def size(self) -> int:
        """Characters of text."""
        return self._reasoning.size + self._content.size

    def _event(self, event: Any, raw: Any) -> None:
        if isinstance(event, list) and len(event) == 1:  # Google wraps its error bodies
            event = event[0]
            raw = raw[0]
        if not isinstance(event, dict):
            self.error = f"an event that is no object: {str(event)[:_SHOWN_BYTES]}"
            return
        choices = event.get("choices")
        if choices and isinstance(choices, list) and isinstance(choices[0], dict):
            self._choice(choices[0], raw["choices"][0])
        elif not choices and _is_error(event):
            self.error = event
        if event.get("error"):
            self.error = event
        self.usage = event.get("usage") or self.usage
        if not self.model:
            self.model = wire.name(event.get("model"))

    def _choice(self, choice: dict[str, Any], raw: dict[str, Any]) -> None:
        delta = raw.get("delta")
        if not delta and not self.size:
            # After deltas, MiniMax's last event has the whole message once more.
            delta = raw.get("message")
        if isinstance(delta, dict):
            self._delta(delta)
        finish_reason = choice.get("finish_reason")
        if finish_reason:
            self.finish_reason = wire.name(finish_reason) or self.finish_reason
        self.usage = choice.get("usage") or self.usage  # Moonshot puts it here
        if choice.get("error"):  # OpenRouter puts it here
            self.error = choice

    def _delta(self, delta: dict[str, Any]) -> None:
        """One piece of the message, or a message that came whole."""
        thought = delta.get("reasoning_content") or delta.get("reasoning")
        if not thought:
            thought = delta.get("reasoning_details")
        if thought and not isinstance(thought, str):
            thought = _text_of(thought) or _text_of(delta.get("reasoning_details"))
        content = delta.get("content") or ""
        if not isinstance(content, str):
            thought_in_content, content = _from_parts(content)
            thought = thought or thought_in_content
        if thought:
            self._reasoning.add(thought)
        if content:
            self._content.add(content)
        if thought or content:
            self.chunks += 1

    def texts(self, starts_thinking: bool = False) -> tuple[str, str]:
        """(reasoning, response). `starts_thinking`: this server's content begins inside the
        thinking, without a tag.
        """
        content = wire.whole(self._content.text)
        if self._reasoning.size:
            reasoning = wire.whole(self._reasoning.text)
            return reasoning, _without_thought(content, reasoning)
        text = split(content, untagged_is_thinking=starts_thinking)
        return text.reasoning, text.response

    def generated_text(self) -> str:
        """The whole text as the model generated it, thinking tags included, whichever dialect it
        came in. Thinking with nothing after it never ended.
        """
        content = wire.whole(self._content.text)
        if not self._reasoning.size:
            return content
        reasoning = wire.whole(self._reasoning.text)
        response = _without_thought(content, reasoning)
        is_repeated = response.strip() == reasoning.strip()  # one thought under both names
        if is_repeated or not response.strip():
            return f"{THINK_OPEN}\n{reasoning}"
        return join(reasoning, response)

    @property
    def closes_only(self) -> bool:
        """Whether this stream shows a server whose template opens the thinking and whose stream
        only closes it.
        """
        return not self._reasoning.size and closes_only(self._content.text)

    def counted(self, prompt_characters: int) -> Usage:
        """Tokens as the provider counted them; where it did not, estimated, rather too high
        than too low.
        """
        if isinstance(self.usage, dict):
            count = _count(self.usage.get("completion_tokens"))
            is_counted = count is not None and (count > 0 or not self.size)
            if is_counted:  # text of no tokens was not
                return _usage(self.usage)
        # An event is about a token; a server that sends several at once has about four characters
        # in each.
        tokens = max(self.chunks, self.size // 4)
        return Usage(
            prompt_tokens=prompt_characters // 4 + 4,
            completion_tokens=tokens,
            reasoning_tokens=tokens * self._reasoning.size // max(1, self.size),
            estimated=True,
        )


def _without_thought(content: str, reasoning: str) -> str:
    """The content of a stream that had a reasoning field too: what leads it of tags, and of the
    same thought, goes.
    """
    text = content.lstrip()
    copy = split(text)
    is_opened = text.startswith(THINK_OPEN)
    if THINK_CLOSE in text:
        is_copy = is_opened or copy.reasoning.strip() in ("", reasoning.strip())
        return copy.response if is_copy else content
    if is_opened and reasoning.strip().startswith(copy.reasoning.strip()):
        return ""  # a copy that was never closed: no answer came
    return content


def _is_error(event: dict[str, Any]) -> bool:
    """Whether an event without choices is an error that stands by itself, as vLLM, DashScope
    and Qianfan send it.
    """
    if event.get("code") in (0, 200, "0", "200"):
        return False
    response = event.get("base_resp")  # MiniMax
    if isinstance(response, dict) and response.get("status_code"):
        return True
    names = ("message", "detail", "msg", "errors", "error_msg", "error_message")
    return any(event.get(name) for name in names)


def _text_of(value: Any, depth: int = _PART_DEPTH) -> str:
    """The text of a part, of several, or of what wraps one: "…", {"text": "…"}, [{"text": "…"}]."""
    if isinstance(value, str):
        return value
    if depth == 0:
        return ""
    if isinstance(value, list):
        return "".join(_text_of(each, depth - 1) for each in value)
    if isinstance(value, dict):
        texts = (_text_of(value.get(name), depth - 1) for name in _PART_FIELDS)
        return next(filter(None, texts), "")
    return ""


def _from_parts(content: Any) -> tuple[str, str]:
    """(thought, response) of a content that is a list of typed parts."""
    thoughts: list[str] = []
    responses: list[str] = []
    for part in content if isinstance(content, list) else [content]:
        if isinstance(part, dict) and ("thinking" in part or part.get("type") in _THOUGHT_TYPES):
            thoughts.append(_text_of(part))
        else:
            responses.append(_text_of(part))
    return "".join(thoughts), "".join(responses)


def _usage(counts: dict[str, Any]) -> Usage:
    def number(*path: str) -> int:
        value: Any = counts
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        return _count(value) or 0

    prompt = number("prompt_tokens")
    reasoning = number("completion_tokens_details", "reasoning_tokens")
    cached = number("prompt_cache_hit_tokens") or number("prompt_tokens_details", "cached_tokens")
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=number("completion_tokens"),
        reasoning_tokens=reasoning or number("reasoning_tokens"),
        # Part of the prompt's, or the price of what is not cached would be below zero.
        cached_tokens=min(cached, prompt),
    )


def _count(value: Any) -> int | None:
    """`value` where it can be a number of tokens; budgets and the ledger add them up."""
    return value if type(value) is int and 0 <= value <= _MOST_TOKENS else None
