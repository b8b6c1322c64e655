"""What a refusal means: status, headers and body of a reply that is no completion, as one of the
`CallError`s.

Providers disagree about status codes for the same thing; the body's own words decide where they are
known: an empty account is 402 at DeepSeek, 403 at SiliconFlow and 400 "Arrearage" at Bailian.
"""

import re
from collections.abc import Mapping
from typing import Any

from shared.chat_api import wire
from shared.chat_api.error_body import (
    message_of,
    parsed,
    sentence,
    setting_of,
    status_of,
    wording,
)
from shared.chat_api.errors import (
    BadRequest,
    BalanceGone,
    CallError,
    ErrorEvent,
    KeyRefused,
    RateLimited,
    ServerFault,
    UnknownModel,
)
from shared.chat_api.limits import news, retry_after
from shared.chat_api.redaction import Redactor
from shared.records import Completion

# Not "insufficient_quota": OpenAI means money by it, Bailian tokens a minute. As a 429 it cools the
# lane either way.
_EMPTY_ACCOUNT = re.compile(
    r"insufficient[ _]balance|balance is insufficient|arrearage|欠费|free ?tier ?only",
    re.I,
)
_NO_SUCH_MODEL = re.compile(
    r"model[^.]{0,80}(not exist|not found|not supported|unknown)|no provider supported",
    re.I,
)
_BAD_KEY = re.compile(
    r"api[ _]?key( is)? (not valid|invalid)|(invalid|incorrect)[ _]api[ _]?key",
    re.I,
)
_FLAGGED = re.compile(r"moderation|flagged|content[ _]policy|data_?inspection", re.I)

_PAGE = re.compile(rb"\s*(<!doctype html|<html|<head|<title|<body)", re.I)
_PASSING = re.compile(
    r"\b(busy|overloaded|try again|retry (later|after|your)|temporar(y|ily))\b|繁忙|稍后|稍候",
    re.I,
)

# What is wrong may be a field that the server does not know.
REFUSALS_OF_THE_REQUEST = (400, 422)
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
    redactor: Redactor,
) -> CallError:
    """The error that a reply with `status` other than 200 stands for. `headers` are looked up
    in lower case.
    """
    body = redactor.body(body)
    tree = parsed(body)
    message = redactor.clean(message_of(body))
    kind = _kind(status, message)
    if _is_passing(status, kind, message, body):
        kind = ServerFault
    if kind is UnknownModel:
        text = f"model {model!r} or path {url} is unknown to the server (HTTP {status}): {message}"
    elif 300 <= status < 400:
        kind = UnknownModel
        text = (
            f"{url} has moved to {redactor.clean(headers.get('location', '?'))} (HTTP {status}):"
            " correct base_url"
        )
    else:
        text = f"HTTP {status}: {message}"
    return kind(
        text,
        status=status,
        retry_after_seconds=retry_after(headers),
        headers_news=news(headers, body if status == 429 else b""),
        wording=redactor.clean(wording(tree, body)) if status in REFUSALS_OF_THE_REQUEST else "",
        setting=setting_of(tree, message) if kind is BadRequest else "",
    )


def error_event(
    error: Any,
    headers: Mapping[str, str],
    partial: Completion,
    *,
    model: str,
    redactor: Redactor,
) -> CallError:
    """What an error in a stream or body under HTTP 200 stands for: by its code what a reply of that
    status would.

    `error`: its parsed body, or a sentence. A fault of the server's, and what says nothing of
    itself, is `ErrorEvent`.
    """
    message = redactor.line(sentence(error))
    status = status_of(error)
    kind: type[CallError] = ErrorEvent
    if status is not None and status < 500:
        kind = _kind(status, message)
        if _is_passing(status, kind, message, b""):
            kind = ErrorEvent
    text = f"error in the stream: {message}"
    if kind is UnknownModel:
        text = f"model {model!r} is unknown to the server (error in the stream): {message}"
    return kind(
        text,
        status=status or 200,
        retry_after_seconds=retry_after(headers),
        partial=partial,
        headers_news=news(headers, message.encode()) if kind is RateLimited else None,
        wording=redactor.clean(wording(error)) if status in REFUSALS_OF_THE_REQUEST else "",
        setting=setting_of(error, message) if kind is BadRequest else "",
    )


def _is_passing(
    status: int,
    kind: type[CallError],
    message: str,
    body: bytes,
) -> bool:
    """Whether a 4xx is an outage whatever its number: a gateway's or firewall's page, a server
    that is busy.
    """
    if not 400 <= status < 500 or kind in (RateLimited, BalanceGone):
        return False
    is_page = _PAGE.match(wire.without_mark(body)) is not None
    # A page at a path that is not there is what a wrong base_url brings; waiting makes it no
    # better.
    return (is_page and status not in (404, 405)) or _PASSING.search(message) is not None


def _kind(status: int, message: str) -> type[CallError]:
    if 400 <= status < 500 and _EMPTY_ACCOUNT.search(message):
        return BalanceGone
    if status == 403 and _FLAGGED.search(message):
        return BadRequest
    if status == 400 and _BAD_KEY.search(message):  # Google's status for it
        return KeyRefused
    if status in (400, 422) and _NO_SUCH_MODEL.search(message):
        return UnknownModel
    return _CLASSES.get(status) or (ServerFault if status >= 500 else BadRequest)
