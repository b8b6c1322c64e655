"""What the hostile teacher can answer, each under a name.

A mode is one of three. A RIGHT one sends the whole right answer, in whatever odd form: it must be
kept as sent. WRONG sends a whole wrong one. A FAULT sends nothing whole: no answer may come of it.
"""

import gzip
import json
import random
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

MARKUP = "<script>window.pwned=1</script><img src=x onerror='window.pwned=1'>\"'</textarea>"
TERMINAL = '\x1b[2J\x1b]0;title\x07\x1b[31mred\rlevel=error event="forged"\n\x9b31m'
# In place of an event: what happens there.
CUT = b"\0cut"
RESET = b"\0reset"
STALL = b"\0stall"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n"


@dataclass
class Draft:
    """A reply on its way to become bytes."""

    thought: list[str]
    answer: list[str]
    key: str
    evil_url: str
    rng: random.Random
    model: Any = "teacher-r1"
    finish: Any = "stop"
    usage: Any = field(
        default_factory=lambda: {
            "prompt_tokens": 50,
            "completion_tokens": 1000,
            "total_tokens": 1050,
        }
    )
    more_head: bytes = b""

    def chunk(self, delta: Any, finish: Any = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return event({"id": "c", "model": self.model, "choices": [choice]})

    def thinking(self) -> list[bytes]:
        first = self.chunk({"role": "assistant", "content": None, "reasoning_content": ""})
        return [first, *(self.chunk({"reasoning_content": text}) for text in self.thought)]

    def answering(self) -> list[bytes]:
        return [self.chunk({"content": text}) for text in self.answer]

    def ending(self) -> list[bytes]:
        last = event({"model": self.model, "choices": [], "usage": self.usage})
        return [self.chunk({"content": ""}, self.finish), last, b"data: [DONE]\n\n"]

    def events(self) -> list[bytes]:
        return [b": keep-alive\n\n", *self.thinking(), *self.answering(), *self.ending()]


def event(value: Any) -> bytes:
    """One event of a stream; bytes are sent as they are."""
    return b"data: " + (value if isinstance(value, bytes) else json.dumps(value).encode()) + b"\n\n"


def plain(status: str, body: bytes | str, kind: str = "application/json", more: str = "") -> bytes:
    """A whole HTTP reply with a length."""
    data = body.encode() if isinstance(body, str) else body
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(data)}\r\n{more}\r\n"
    return head.encode("latin-1") + data


def _with(**changes: Any) -> Callable[[Draft], list[bytes]]:
    def events(draft: Draft) -> list[bytes]:
        for name, value in changes.items():
            setattr(draft, name, value)
        return draft.events()

    return events


def _saying(text: str, model: str | None = None) -> Callable[[Draft], list[bytes]]:
    """`text` in the thinking and in front of the answer."""

    def events(draft: Draft) -> list[bytes]:
        draft.thought.append(text)
        draft.answer.insert(0, text)
        draft.model = model or draft.model
        return draft.events()

    return events


def _after_first(*inserted: bytes) -> Callable[[Draft], list[bytes]]:
    def events(draft: Draft) -> list[bytes]:
        first, *rest = draft.events()
        return [first, *inserted, *rest]

    return events


def _half(*ending: bytes) -> Callable[[Draft], list[bytes]]:
    """Half of the thinking, then this."""

    def events(draft: Draft) -> list[bytes]:
        thinking = draft.thinking()
        return [*thinking[: len(thinking) // 2 + 1], *ending]

    return events


def _finished(reason: str) -> Callable[[Draft], list[bytes]]:
    """The thinking alone, and a finish reason."""

    def events(draft: Draft) -> list[bytes]:
        draft.finish = reason
        return [*draft.thinking(), *draft.ending()]

    return events


def _delta(text: bytes) -> bytes:
    return event(b'{"choices":[{"index":0,"delta":' + text + b',"finish_reason":null}]}')


def _odd_finish(draft: Draft) -> list[bytes]:
    draft.finish = draft.rng.choice([MARKUP, TERMINAL, "tool_calls", 7, ["stop"], {"a": 1}, True])
    return draft.events()


def _echoed_key(draft: Draft) -> list[bytes]:
    return _saying(f" {draft.key} ", model=f"m-{draft.key}")(draft)


def _repeated_end(draft: Draft) -> list[bytes]:
    done = [b"data: [DONE]\n\n"] * 3
    return [*draft.events(), *done, draft.chunk({"content": " or \\boxed{0}"})]


_NULLS = [{"choices": None}, {"choices": []}, {"choices": [None]}, {"choices": {}}, {}]
_LISTS = [{"choices": [{"delta": [1, 2]}]}, {"choices": [{"delta": {"content": {"a": 1}}}]}]
_DEEP_USAGE = b'{"choices":[],"usage":' + b'{"a":' * 900 + b"1" + b"}" * 900 + b"}"
_RATE_HEADERS = (
    b"X-Odd: \xff\xfe\r\nx-ratelimit-remaining-requests: -7\r\nx-ratelimit-limit-requests: nan\r\n"
    b"x-ratelimit-reset-requests: 1e400\r\n"
)

# Streams that end well: the events of a whole reply.
RIGHT_STREAMS: dict[str, Callable[[Draft], list[bytes]]] = {
    "plain": Draft.events,
    "slow": Draft.events,
    "byte_by_byte": Draft.events,
    "split_events": Draft.events,
    "crlf": lambda draft: [data.replace(b"\n", b"\r\n") for data in draft.events()],
    "comments": lambda draft: [part for data in draft.events() for part in (b": x\n\n", data)],
    "byte_order_mark": lambda draft: [b"\xef\xbb\xbf: hello\n\n", *draft.events()],
    "no_done": lambda draft: draft.events()[:-1],
    "repeated_end": _repeated_end,
    "repeated_finish": lambda draft: [*draft.events(), *[draft.chunk({}, "stop")] * 50],
    "null_choices": _after_first(*map(event, _NULLS)),
    "number_events": _after_first(event(b"7"), event(b"null"), event(b'"x"')),
    "lists_for_deltas": _after_first(*map(event, _LISTS)),
    "lone_surrogates": _after_first(
        _delta(b'{"reasoning_content":"half \\ud83d"}'), _delta(b'{"reasoning_content":"\\udfff"}')
    ),
    "bad_utf8": _after_first(_delta(b'{"reasoning_content":"bad \xff\xfe\xc3("}')),
    "surrogate_model": _after_first(event(b'{"model":"m\\ud800","choices":[]}')),
    "deep_usage": _after_first(event(_DEEP_USAGE)),
    "unicode_line_ends": _saying(" a\u2028b\u2029c\u0085d\x0be\x0cf\x1cg "),
    "control_characters": _saying(" a\0b\x01\x1b "),
    "terminal_codes": _saying(TERMINAL, model="m" + TERMINAL),
    "markup": _saying(MARKUP, model=MARKUP),
    "echoed_key": _echoed_key,
    "long_model_name": _with(model="m" * 300_000),
    "negative_usage": _with(usage={"prompt_tokens": -5, "completion_tokens": -1000}),
    "huge_usage": _with(usage={"prompt_tokens": 10**30, "completion_tokens": 2**63}),
    "text_usage": _with(usage={"prompt_tokens": "5", "completion_tokens": [1]}),
    "nan_usage": _with(usage={"prompt_tokens": float("nan"), "completion_tokens": float("inf")}),
    "bad_rate_headers": _with(more_head=_RATE_HEADERS),
}

# Streams that do not.
FAULTY_STREAMS: dict[str, Callable[[Draft], list[bytes]]] = {
    "cut": _half(CUT),
    "reset": _half(RESET),
    "stall": _half(STALL),
    "truncated": _finished("length"),
    "empty": _finished("stop"),
    "filtered": _finished("content_filter"),
    "overloaded": _finished("insufficient_system_resource"),
    "error_event": _half(event({"error": {"message": f"down {MARKUP}{TERMINAL}", "code": 500}})),
    "surrogate_error": _half(event(b'{"error": {"message": "half \\ud800", "x": "\\udfff"}}'), CUT),
    "deep_error": _half(event(b'{"error": ' + b"[" * 300 + b"]" * 300 + b"}"), CUT),
    "bad_json_event": _half(b'data: {"id": "broken\n\n'),
    "surrogate_finish": _half(
        event(b'{"choices":[{"index":0,"delta":{},"finish_reason":"st\\ud800op"}]}'), CUT
    ),
    "long_finish": _half(
        event(b'{"choices":[{"delta":{},"finish_reason":"' + b"f" * 500_000 + b'"}]}'), CUT
    ),
    "odd_finish": _odd_finish,
    "only_tags": lambda draft: [
        *(draft.chunk({"content": text}) for text in ("<think>", "", "</think>", "\n ")),
        *draft.ending(),
    ],
}


def _page(draft: Draft, status: str) -> bytes:
    return plain(status, f"<html><h1>{MARKUP}{TERMINAL}</h1></html>" * 20, "text/html")


def _bomb(_: Draft) -> bytes:
    compressor = zlib.compressobj(9, zlib.DEFLATED, 31)
    blocks = [compressor.compress(b"a" * (1 << 20)) for _ in range(200)]
    data = b"".join(blocks) + compressor.flush()
    return plain("200 OK", data, "text/event-stream", "Content-Encoding: gzip\r\n")


def _echoing_error(draft: Draft) -> bytes:
    shown = f"{draft.key[:8]}****{draft.key[-4:]}"
    message = f"bad key {draft.key} or Bearer {draft.key} or {shown}"
    return plain("500 X", json.dumps({"error": {"message": message}}))


def _encoded(name: str) -> Callable[[Draft], bytes]:
    """Bytes that are not what their encoding says."""
    more = f"Content-Encoding: {name}\r\n"
    return lambda draft: plain("200 OK", draft.rng.randbytes(4000), "text/event-stream", more)


def _refusal(status: int, more: str = "") -> Callable[[Draft], bytes]:
    body = json.dumps({"error": {"message": f"no {MARKUP}{TERMINAL}", "type": "x"}})
    return lambda _: plain(f"{status} X", body, more=more)


def _odd_wait(draft: Draft) -> bytes:
    wait = draft.rng.choice(["-1", "nan", "inf", "1e999", "soon", "0"])
    return plain("429 X", "{}", more=f"Retry-After: {wait}\r\n")


def _redirect(draft: Draft) -> bytes:
    status = draft.rng.choice((301, 302, 303, 307, 308))
    return plain(f"{status} X", "", more=f"Location: {draft.evil_url}\r\n")


# Bytes after which the connection is closed or goes on, as the bytes say.
FAULTY_REPLIES: dict[str, Callable[[Draft], bytes]] = {
    "error_under_200": lambda _: plain("200 OK", '{"error": {"message": "busy", "code": 503}}'),
    "page_under_200": lambda draft: _page(draft, "200 OK"),
    "page_500": lambda draft: _page(draft, "500 X"),
    "page_502": lambda draft: _page(draft, "502 X"),
    "unavailable": _refusal(503),
    "too_many": _refusal(429, "Retry-After: 1\r\n"),
    "too_many_past_date": lambda _: plain(
        "429 X", "{}", more="Retry-After: Fri, 31 Dec 1999 23:59:59 GMT\r\n"
    ),
    "too_many_odd_wait": _odd_wait,
    "echoing_error": _echoing_error,
    "deep_body": lambda _: plain("200 OK", b'{"choices":' + b"[" * 200_000),
    "deep_500": lambda _: plain("500 X", "[" * 300 + "]" * 300),
    "nested_500": lambda _: plain("500 X", '{"error":' * 1000 + '"x"' + "}" * 1000),
    "surrogate_500": lambda _: plain(
        "500 X", '{"error": {"message": "\\ud800", "code": "\\udfff"}}'
    ),
    "long_number_500": lambda _: plain("500 X", '{"error": {"code": %s}}' % ("9" * 6000)),
    "no_content": lambda _: b"HTTP/1.1 204 No Content\r\n\r\n",
    "not_modified": lambda _: b"HTTP/1.1 304 Not Modified\r\n\r\n",
    "redirect": _redirect,
    "odd_location": lambda _: plain("308 X", "", more="Location: http://\xff\xfe[/\xe9\r\n"),
    "closed_at_once": lambda _: CUT,
    "garbage": lambda draft: draft.rng.randbytes(4000) + CUT,
    "tls_alert": lambda _: b"\x15\x03\x01\x00\x02\x02\x50" + CUT,
    "negative_length": lambda _: b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n" + CUT,
    "many_headers": lambda _: b"HTTP/1.1 200 OK\r\n" + b"X-A: y\r\n" * 50_000 + b"\r\n" + CUT,
    "huge_header": lambda _: b"HTTP/1.1 200 OK\r\nX: " + b"a" * 1_000_000 + b"\r\n\r\n" + CUT,
    "bad_chunk": lambda _: HEAD + b"\r\nzz\r\nhello" + CUT,
    "lying_gzip": _encoded("gzip"),
    "brotli": _encoded("br"),
    "zstandard": _encoded("zstd"),
    "gzip_twice": _encoded("gzip, gzip"),
    "gzip_bomb": _bomb,
    "huge_body": lambda _: plain("200 OK", b'{"x": "' + b"a" * 80_000_000),
}


def _compressed(name: str, data: bytes) -> bytes:
    return plain("200 OK", data, "text/event-stream", f"Content-Encoding: {name}\r\n")


def _json_body(draft: Draft) -> bytes:
    message = {
        "role": "assistant",
        "reasoning_content": "".join(draft.thought),
        "content": "".join(draft.answer),
    }
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return plain("200 OK", json.dumps({"model": "m", "choices": [choice], "usage": draft.usage}))


# The whole right reply in one piece.
RIGHT_REPLIES: dict[str, Callable[[Draft], bytes]] = {
    "gzip": lambda draft: _compressed("gzip", gzip.compress(b"".join(draft.events()))),
    "deflate": lambda draft: _compressed("deflate", zlib.compress(b"".join(draft.events()))),
    "json_body": _json_body,
    "old_http": lambda draft: (
        b"HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
        + b"".join(draft.events())
        + CUT
    ),
    "odd_content_type": lambda draft: plain(
        "200 OK", b"".join(draft.events()), "application/octet-stream"
    ),
    "early_hints": lambda draft: (
        b"HTTP/1.1 102 Processing\r\n\r\n" * 20
        + b"HTTP/1.1 100 Continue\r\n\r\n"
        + plain("200 OK", b"".join(draft.events()), "text/event-stream")
    ),
}
# A server that says something for ever, or nothing; each costs a timeout.
ENDLESS: dict[str, bytes] = {
    "endless": event({"choices": [{"index": 0, "delta": {"reasoning_content": "a"}}]}),
    "endless_comments": b": still here\n\n",
    "endless_blank_lines": b"\n\n",
    "silent": b"",
}
RIGHT = [*RIGHT_STREAMS, *RIGHT_REPLIES]
WAITING = ["stall", *ENDLESS]
FAULTS = [*FAULTY_STREAMS, *FAULTY_REPLIES, *ENDLESS]
MODES = [*RIGHT, "wrong", *FAULTS]
# Texts of these cannot be kept as sent: what no text can hold is replaced, a key is blacked out.
CHANGED = ("lone_surrogates", "bad_utf8", "echoed_key")
