"""Words that the generator's parts share: one request to a teacher, what a call can fail with, news
about limits.

    CallError                 one HTTP call brought no whole answer; `kind` names it in one word
    ├── BadRequest            400, 413, 422: this request is bad; do not ask it again
    ├── RequestRefused        the lane refuses every request in the same words: it stops, the sample stays unasked
    ├── FieldRefused          400 for a field that the teacher leaves out from now on: ask again at once
    ├── KeyRefused            401, 403: the lane stops
    ├── BalanceGone           402: the lane stops and is probed now and then
    ├── UnknownModel          404: the lane stops; the message names the model
    ├── RateLimited           429: Retry-After cools the whole lane
    ├── ServerFault           5xx, or a reply that is no completion
    ├── Unreachable           the transport failed before any byte of an answer
    ├── Stalled               no first token, or no next token, in time
    │   └── Overran           tokens still came when the total time was up; not asked again
    ├── Cut                   the stream broke, or the server gave up (`insufficient_system_resource`)
    ├── Oversized             far more text than `max_tokens` allows; not asked again
    ├── EmptyAnswer           HTTP 200 and an orderly end, but no response text
    └── ErrorEvent            an error in the stream under HTTP 200 with no code, or one of the server's own faults

An error under HTTP 200 with a code is the error of that status.

A failed call is data: it is recorded and the run goes on. A bug is not a `CallError` and
propagates.
"""

import base64
from dataclasses import dataclass
from typing import ClassVar, Literal
from urllib.parse import unquote, urlsplit, urlunsplit

from shared.errors import InputError
from shared.records import Completion, Message

# A key of fewer characters ("EMPTY", "none", "1") stands in for one at a server that asks for none:
# it is no secret, and taken out of every text it would make holes in them.
SHORTEST_SECRET = 6
UNBOUNDED = 4096  # calls in flight, where no ceiling is set


class HalfWritten(InputError):
    """A file of problems ends in the middle of its last line. Where it is followed, the rest is
    on its way.
    """


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server is, apart from what is secret in its `base_url`:
    "https://user:password@host/v1".
    """

    url: str  # without user and password
    user: str
    password: str
    _written: tuple[str, str]  # both as they stand in the URL, percent-encoded

    @classmethod
    def of(cls, base_url: str) -> "Address":
        parts = urlsplit(base_url)
        plain = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
        written = (parts.username or "", parts.password or "")
        return cls(plain, unquote(written[0]), unquote(written[1]), written)

    @property
    def authorization(self) -> str:
        """The header that stands for user and password, "" where there is neither."""
        if not self.user and not self.password:
            return ""
        return "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()

    @property
    def secrets(self) -> list[str]:
        """Every spelling of the password; of the user, where that is all there is (a token)."""
        secret = (
            (self.password, self._written[1]) if self.password else (self.user, self._written[0])
        )
        encoded = self.authorization.removeprefix("Basic ")
        return [text for text in dict.fromkeys((*secret, encoded)) if text]


@dataclass(frozen=True, slots=True)
class HighWater:
    """What a budget may have been used up to, on its latest day and in total: no more than this
    was ever spent.
    """

    day: float  # when that day began, seconds since 1970
    day_ends: float
    calls: int
    tokens: int
    usd: float
    total_usd: float


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of a teacher: one sample of one problem."""

    messages: list[Message]
    model: str
    temperature: float
    top_p: float
    max_tokens: int


@dataclass(frozen=True, slots=True)
class LimitNews:
    """What a server said about its limits, in headers or in the body of a 429. None: it did not
    say.
    """

    requests_remaining: int | None = (
        None  # of the account, until the day turns where `per` is "day"
    )
    model_requests_remaining: int | None = None  # of this model alone
    tokens_remaining: int | None = None
    requests_limit: int | None = None  # the limit itself, per `per`
    tokens_limit: int | None = None
    max_in_flight: int | None = None  # the number of calls allowed at once
    resets_in_seconds: float | None = None
    per: Literal["second", "minute", "hour", "day", ""] = (
        ""  # what the limits and remainders count over
    )


class CallError(Exception):
    """One HTTP call brought no whole answer. No text in it contains the API key.

    `partial` has the text and usage that came before the failure, None where no stream began.
    `status`: of the reply, or what the code of an error inside it stands for. `setting`: the
    configuration key that a refusal names, else "".
    """

    kind: ClassVar[str] = "error"
    retryable: ClassVar[bool] = False  # whether the same request may succeed on the same lane

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        retry_after_seconds: float | None = None,
        partial: Completion | None = None,
        headers_news: LimitNews | None = None,
        setting: str = "",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.retry_after_seconds = retry_after_seconds
        self.partial = partial
        self.headers_news = headers_news
        self.setting = setting


class BadRequest(CallError):
    kind = "bad_request"


class RequestRefused(CallError):
    """What is wrong is the lane's settings or the request's, not the sample: another lane may
    take it.
    """

    kind = "request_refused"


class FieldRefused(CallError):
    """The server does not know a field of ours. The teacher has noted it: the next call is
    worded without it.
    """

    kind = "field_refused"
    retryable = True


class KeyRefused(CallError):
    kind = "key_refused"


class BalanceGone(CallError):
    kind = "balance_gone"


class UnknownModel(CallError):
    kind = "unknown_model"


class RateLimited(CallError):
    kind = "rate_limited"
    retryable = True


class ServerFault(CallError):
    kind = "server_fault"
    retryable = True


class Unreachable(CallError):
    kind = "unreachable"
    retryable = True


class Stalled(CallError):
    kind = "stalled"
    retryable = True


class Overran(Stalled):
    kind = "overran"
    retryable = False


class Cut(CallError):
    kind = "cut"
    retryable = True


class Oversized(CallError):
    kind = "oversized"


class EmptyAnswer(CallError):
    kind = "empty"
    retryable = True


class ErrorEvent(CallError):
    kind = "error_event"
    retryable = True
