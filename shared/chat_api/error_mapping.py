"""What a refusal means: status, headers and body of a reply that is no completion, as one of the
`CallError`s.

Providers disagree about status codes for the same thing; the body's own words decide where they are
known: an empty account is 402 at DeepSeek, 403 at SiliconFlow and 400 "Arrearage" at Bailian.
"""

import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Literal

import orjson

from shared.chat_api import wire
from shared.chat_api.calls import (
    SHORTEST_SECRET,
    BadRequest,
    BalanceGone,
    CallError,
    ErrorEvent,
    KeyRefused,
    LimitNews,
    RateLimited,
    ServerFault,
    UnknownModel,
)
from shared.chat_api.error_codes import setting_of, status_of
from shared.records import Completion

_LONGEST_WAIT_SECONDS = 86400.0  # a server that names a longer one is asked again after a day
_LARGEST_NUMBER = (
    2.0**53
)  # beyond it no number is a count or a time; some servers write "inf" for "no limit"
# Not "insufficient_quota": OpenAI means money by it, Bailian tokens a minute. As a 429 it cools the
# lane either way.
_EMPTY_ACCOUNT = re.compile(
    r"insufficient[ _]balance|balance is insufficient|arrearage|欠费|free ?tier ?only", re.I
)
_NO_SUCH_MODEL = re.compile(
    r"model[^.]{0,80}(not exist|not found|not supported|unknown)|no provider supported", re.I
)
_BAD_KEY = re.compile(
    r"api[ _]?key( is)? (not valid|invalid)|(invalid|incorrect)[ _]api[ _]?key", re.I
)
_FLAGGED = re.compile(r"moderation|flagged|content[ _]policy|data_?inspection", re.I)
_HIDDEN = re.compile(r"[*•…]{2,}|\.{3,}|…")
_RUN = re.compile(r"[^\s\"'`,;:=<>(){}\[\]]{8,}")

_PAGE = re.compile(rb"\s*(<!doctype html|<html|<head|<title|<body)", re.I)
_PASSING = re.compile(
    r"\b(busy|overloaded|try again|retry (later|after|your)|temporar(y|ily))\b|繁忙|稍后|稍候", re.I
)

_CLASSES: dict[int, type[CallError]] = {
    401: KeyRefused,
    402: BalanceGone,
    403: KeyRefused,
    404: UnknownModel,
    408: ServerFault,
    409: ServerFault,
    425: ServerFault,
    429: RateLimited,
}


def refusal(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    url: str,
    model: str,
    redactor: "Redactor",
) -> CallError:
    """The error that a reply with `status` other than 200 stands for. `headers` are looked up
    in lower case.
    """
    tree = _tree(body)
    said = redactor.clean(message_of(body))
    kind = _kind(status, said)
    if _is_passing(status, kind, said, body):
        kind = ServerFault
    if kind is UnknownModel:
        text = f"model {model!r} or path {url} is unknown to the server (HTTP {status}): {said}"
    elif 300 <= status < 400:
        kind = UnknownModel
        text = (
            f"{url} has moved to {redactor.clean(headers.get('location', '?'))} (HTTP {status}):"
            " correct base_url"
        )
    else:
        text = f"HTTP {status}: {said}"
    return kind(
        text,
        status=status,
        retry_after_seconds=retry_after(headers),
        headers_news=news(headers, body if status == 429 else b""),
        setting=setting_of(tree, said) if kind is BadRequest else "",
    )


def error_event(
    error: Any, headers: Mapping[str, str], partial: Completion, *, model: str, redactor: "Redactor"
) -> CallError:
    """What an error in a stream or body under HTTP 200 stands for: by its code what a reply of that
    status would.

    `error`: its parsed body, or a sentence. A fault of the server's, and what says nothing of
    itself, is `ErrorEvent`.
    """
    said = redactor.clean(wire.one_line(sentence(error)))
    status = status_of(error)
    kind: type[CallError] = ErrorEvent
    if status is not None and status < 500:
        kind = _kind(status, said)
        if _is_passing(status, kind, said, b""):
            kind = ErrorEvent
    text = f"error in the stream: {said}"
    if kind is UnknownModel:
        text = f"model {model!r} is unknown to the server (error in the stream): {said}"
    return kind(
        text,
        status=status or 200,
        retry_after_seconds=retry_after(headers),
        partial=partial,
        headers_news=news(headers, said.encode()) if kind is RateLimited else None,
        setting=setting_of(error, said) if kind is BadRequest else "",
    )


def _is_passing(status: int, kind: type[CallError], said: str, body: bytes) -> bool:
    """Whether a 4xx is an outage whatever its number: a gateway's or firewall's page, a server
    that is busy.
    """
    if not 400 <= status < 500 or kind in (RateLimited, BalanceGone):
        return False
    is_page = _PAGE.match(wire.without_mark(body)) is not None
    # A page at a path that is not there is what a wrong base_url brings; waiting makes it no
    # better.
    return (is_page and status not in (404, 405)) or _PASSING.search(said) is not None


def _kind(status: int, said: str) -> type[CallError]:
    if 400 <= status < 500 and _EMPTY_ACCOUNT.search(said):
        return BalanceGone
    if status == 403 and _FLAGGED.search(said):
        return BadRequest
    if status == 400 and _BAD_KEY.search(said):  # Google's status for it
        return KeyRefused
    if status in (400, 422) and _NO_SUCH_MODEL.search(said):
        return UnknownModel
    return _CLASSES.get(status) or (ServerFault if status >= 500 else BadRequest)


def message_of(body: bytes) -> str:
    """The sentence in an error body (`error.message`, `message`, `detail`, …), else its text,
    in one line.
    """
    tree = _tree(body)
    if tree is not None:
        return wire.one_line(sentence(tree)) or "no message"
    text = body.decode("utf-8", "replace")
    page_text = re.sub(r"(?is)<(style|script).*?</\1>|<[^>]*>", " ", text)  # a gateway's page
    return wire.one_line(page_text) or "no message"


def _tree(body: bytes) -> Any:
    """The body's JSON, None where it is none."""
    try:
        return wire.document(body).clean
    except wire.NotJson:
        return None


def sentence(error: Any) -> str:
    """What a parsed error body says, with its code where it has one."""
    if isinstance(error, list) and len(error) == 1:
        return sentence(error[0])
    if isinstance(error, dict):
        for key in (
            "error",
            "errors",
            "message",
            "detail",
            "msg",
            "error_msg",
            "error_message",
            "base_resp",
            "status_msg",
        ):
            if error.get(key):
                code = error.get("code")
                inner = sentence(error[key])
                return f"{inner} ({code})" if isinstance(code, str) and code not in inner else inner
    return error if isinstance(error, str) else orjson.dumps(error).decode()


class Redactor:
    """Takes keys out of text: whole, in part, or masked by a provider that shows the ends
    ("sk-1…f3a9").
    """

    def __init__(self, *keys: str) -> None:
        self._keys = [key for key in keys if len(key) >= SHORTEST_SECRET]
        self._grams = {key[i : i + 8] for key in self._keys for i in range(len(key) - 7)}

    def clean(self, text: str) -> str:
        text = self.whole(text)
        return _RUN.sub(lambda match: self._clean_run(match[0]), text) if self._grams else text

    def whole(self, text: str) -> str:
        """Only where all of a key stands: for names, which may well share a part with it."""
        for key in self._keys:
            text = text.replace(key, "[key]")
        return text

    def name(self, text: str) -> str:
        """A name from a reply; where it was cut, a part of a key may stand at its end."""
        return self.clean(text) if text.endswith("…") else self.whole(text)

    def _clean_run(self, run: str) -> str:
        if any(run[i : i + 8] in self._grams for i in range(len(run) - 7)):
            return "[key]"
        parts = _HIDDEN.split(run) if _HIDDEN.search(run) else []
        shown = [part for part in parts if len(part) >= 3]
        ends = [
            p
            for p in shown
            for key in self._keys
            if key.startswith(p) or key.endswith(p.rstrip("."))
        ]
        return "[key]" if ends else run


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, from Retry-After (seconds or an HTTP date) or OpenAI's retry-after-ms.
    None where not said.
    """
    if milliseconds := _number(headers.get("retry-after-ms")):
        return _wait(milliseconds / 1000)
    given = (headers.get("retry-after") or "").strip()
    if not given:
        return None
    if (seconds := _number(given)) is not None:
        return _wait(seconds)
    try:
        return _wait(parsedate_to_datetime(given).timestamp() - time.time())
    except (ValueError, OverflowError):  # a date of no calendar, a year that no clock knows
        return None


def _wait(seconds: float) -> float:
    return min(max(0.0, seconds), _LONGEST_WAIT_SECONDS)


_PERIODS: dict[str, Literal["second", "minute", "hour", "day"]] = {
    "s": "second",
    "m": "minute",
    "h": "hour",
    "d": "day",
}
_PER = re.compile(
    r"(\d[\d,]*)\s*(requests?|calls?|tokens?)\s*(?:/|per|a|each|in"
    r" a|every)\s*(second|minute|hour|day)",
    re.I,
)
_SHORT = re.compile(r"\b([RT])P([SMHD])\b\D{0,40}?(\d[\d,]*)|(\d[\d,]*)\s*([RT])P([SMHD])\b", re.I)
_DAILY = re.compile(r"\bdaily\b\D{0,40}?(\d[\d,]*)", re.I)
_AT_ONCE = re.compile(
    r"(?:concurren|in[- ]flight|parallel|at"
    r" once)\D{0,40}?(\d[\d,]*)|(\d[\d,]*)\s*(?:concurrent|parallel)",
    re.I,
)


def news(headers: Mapping[str, str], body: bytes = b"") -> LimitNews | None:
    """What headers, and the body of a 429, say about limits; None where they say nothing."""

    def first(*names: str) -> int | None:
        found = (_number(headers.get(name)) for name in names)
        return next((int(number) for number in found if number is not None), None)

    facts: dict[str, Any] = {
        "requests_remaining": first(
            "modelscope-ratelimit-requests-remaining",
            "x-ratelimit-remaining-requests-day",
            "x-ratelimit-remaining-requests",
            "x-ratelimit-remaining",
        ),
        "model_requests_remaining": first("modelscope-ratelimit-model-requests-remaining"),
        "tokens_remaining": first("x-ratelimit-remaining-tokens", "x-tokenlimit-remaining"),
        "requests_limit": first(
            "modelscope-ratelimit-requests-limit",
            "x-ratelimit-limit-requests-day",
            "x-ratelimit-limit-requests",
            "x-ratelimit-limit",
        ),
        "tokens_limit": first("x-ratelimit-limit-tokens", "x-tokenlimit-limit"),
        "resets_in_seconds": _span(
            headers.get("x-ratelimit-reset-requests") or headers.get("x-ratelimit-reset")
        ),
    }
    if any(
        name.startswith("modelscope-ratelimit-") or name.endswith("-requests-day")
        for name in headers
    ):
        facts["per"] = "day"
    if body:
        facts.update(_from_words(message_of(body)))
    if all(value is None for name, value in facts.items() if name != "per"):
        return None
    return LimitNews(**facts)


def _from_words(text: str) -> dict[str, Any]:
    """Limits that a 429 names in prose: "60 requests per minute", "RPM limit 100", "2
    concurrent requests".
    """
    if match := _PER.search(text):
        kind = "tokens_limit" if match[2].lower().startswith("token") else "requests_limit"
        return {kind: _digits(match[1]), "per": match[3].lower()}
    if match := _SHORT.search(text):
        what, period, number = (
            (match[1], match[2], match[3]) if match[1] else (match[5], match[6], match[4])
        )
        kind = "tokens_limit" if what.lower() == "t" else "requests_limit"
        return {kind: _digits(number), "per": _PERIODS[period.lower()]}
    if match := _AT_ONCE.search(text):
        return {"max_in_flight": _digits(match[1] or match[2])}
    if match := _DAILY.search(text):
        return {"requests_limit": _digits(match[1]), "per": "day"}
    return {}


def _digits(text: str) -> int | None:
    number = _number(text.replace(",", ""))
    return None if number is None else int(number)


def _number(text: str | None) -> float | None:
    """A number that can be meant; None for whatever else a server writes where one belongs."""
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if abs(number) <= _LARGEST_NUMBER else None  # not for a NaN either


_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SPAN = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|[smhd]))+")
_SPAN_PART = re.compile(r"([\d.]+)(ms|[smhd])")


def _span(text: str | None) -> float | None:
    """Seconds of "1s", "6m0s", "250ms", "17", or of a point in time since the epoch, in seconds
    or milliseconds.
    """
    if (number := _number(text)) is not None:
        when = number / 1000 if number > 1e11 else number
        return _wait(when - time.time() if when > 1e9 else number)
    if not text or not _SPAN.fullmatch(text):
        return None
    return _wait(sum(float(number) * _UNITS[unit] for number, unit in _SPAN_PART.findall(text)))
