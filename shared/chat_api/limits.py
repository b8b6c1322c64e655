"""What a server says about its limits, in the headers of every reply and in the words of a 429."""

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Literal

from shared.chat_api.error_body import message_of

_LONGEST_WAIT_SECONDS = 86400.0  # a server that names a longer one is asked again after a day
# Beyond it no number is a count or a time; some servers write "inf" for "no limit".
_LARGEST_NUMBER = 2.0**53


@dataclass(frozen=True, slots=True)
class LimitNews:
    """What a server said about its limits, in headers or in the body of a 429. None: it did not
    say.
    """

    # Of the account, until the day turns where `per` is "day".
    requests_remaining: int | None = None
    model_requests_remaining: int | None = None  # of this model alone
    requests_limit: int | None = None  # the limit itself, per `per`
    tokens_limit: int | None = None
    max_in_flight: int | None = None  # the number of calls allowed at once
    resets_in_seconds: float | None = None
    # What the limits and remainders count over.
    per: Literal["second", "minute", "hour", "day", ""] = ""


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, from Retry-After (seconds or an HTTP date) or OpenAI's retry-after-ms.
    None where not said.
    """
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds:
        return _wait(milliseconds / 1000)
    text = (headers.get("retry-after") or "").strip()
    if not text:
        return None
    seconds = _number(text)
    if seconds is not None:
        return _wait(seconds)
    try:
        return _wait(parsedate_to_datetime(text).timestamp() - time.time())
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

    def number_in(*names: str) -> int | None:
        """The number in the first of these headers that has one."""
        numbers = (_number(headers.get(name)) for name in names)
        return next((int(number) for number in numbers if number is not None), None)

    facts: dict[str, Any] = {
        "requests_remaining": number_in(
            "modelscope-ratelimit-requests-remaining",
            "x-ratelimit-remaining-requests-day",
            "x-ratelimit-remaining-requests",
            "x-ratelimit-remaining",
        ),
        "model_requests_remaining": number_in("modelscope-ratelimit-model-requests-remaining"),
        "requests_limit": number_in(
            "modelscope-ratelimit-requests-limit",
            "x-ratelimit-limit-requests-day",
            "x-ratelimit-limit-requests",
            "x-ratelimit-limit",
        ),
        "tokens_limit": number_in("x-ratelimit-limit-tokens", "x-tokenlimit-limit"),
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
    rate = _PER.search(text)
    if rate:
        return {_limit_of(rate[2]): _digits(rate[1]), "per": rate[3].lower()}
    rate = _SHORT.search(text)
    if rate:
        unit = rate[1] or rate[5]
        period = rate[2] or rate[6]
        number = rate[3] or rate[4]
        return {_limit_of(unit): _digits(number), "per": _PERIODS[period.lower()]}
    concurrency = _AT_ONCE.search(text)
    if concurrency:
        return {"max_in_flight": _digits(concurrency[1] or concurrency[2])}
    daily = _DAILY.search(text)
    if daily:
        return {"requests_limit": _digits(daily[1]), "per": "day"}
    return {}


def _limit_of(unit: str) -> str:
    """The field for a limit of "tokens", "T", "requests", "calls" or "R"."""
    if unit.lower().startswith("t"):
        return "tokens_limit"
    return "requests_limit"


def _digits(text: str) -> int | None:
    number = _number(text.replace(",", ""))
    if number is None:
        return None
    return int(number)


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
    number = _number(text)
    if number is not None:
        moment = number / 1000 if number > 1e11 else number
        return _wait(moment - time.time() if moment > 1e9 else number)
    if not text or not _SPAN.fullmatch(text):
        return None
    return _wait(sum(float(number) * _UNITS[unit] for number, unit in _SPAN_PART.findall(text)))
