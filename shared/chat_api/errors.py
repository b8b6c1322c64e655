"""What a call can fail with.

    CallError                 one HTTP call brought no whole answer; `kind` names it in one word
    ├── BadRequest            400, 413, 422: this request is bad; do not ask it again
    ├── RequestRefused        every request is refused in the same words: the lane stops
    ├── FieldRefused          400 for a field that the client leaves out from now on: ask again at once
    ├── KeyRefused            401, 403: the lane stops
    ├── BalanceGone           402: the lane stops and is probed now and then
    ├── UnknownModel          404: the lane stops; the message names the model
    ├── RateLimited           429: Retry-After cools the whole lane
    │   └── OutOfFiles        this machine has no descriptor left for a connection
    ├── ServerFault           5xx, or a reply that is no completion
    ├── Unreachable           the transport failed before any byte of an answer
    ├── Stalled               no first token, or no next token, in time
    │   └── Overran           tokens still came when the total time was up; not asked again
    ├── Cut                   the stream broke, or the server gave up (`insufficient_system_resource`)
    ├── Oversized             far more text than `max_tokens` allows; not asked again
    ├── EmptyAnswer           HTTP 200 and an orderly end, but no response text
    └── ErrorEvent            an error under HTTP 200 without a code, or a server's own fault

An error under HTTP 200 with a code is the error of that status.

A failed call is data: it is recorded and the run goes on. A bug is not a `CallError` and
propagates.
"""

import re
from typing import ClassVar

from shared.chat_api.limits import LimitNews
from shared.records import Completion


class CallError(Exception):
    """One HTTP call brought no whole answer. No text in it contains the API key.

    `partial` has the text and usage that came before the failure, None where no stream began.
    `status`: of the reply, or what the code of an error inside it stands for. `wording`: all that a
    refusal of the request says; `setting`: the configuration key that it names, else "".
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
        wording: str = "",
        setting: str = "",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.retry_after_seconds = retry_after_seconds
        self.partial = partial
        self.headers_news = headers_news
        self.wording = wording
        self.setting = setting

    def names(self, *fields: str) -> bool:
        """Whether a refusal names one of these fields of the request."""
        pattern = rf"(?<![A-Za-z_])({'|'.join(map(re.escape, fields))})(?![A-Za-z_])"
        return re.search(pattern, self.wording) is not None


class BadRequest(CallError):
    """400, 413, 422: this request is bad, and is not asked again."""

    kind = "bad_request"


class RequestRefused(CallError):
    """What is wrong is the lane's settings or the request's, not the sample: another lane may
    take it.
    """

    kind = "request_refused"


class FieldRefused(CallError):
    """The server does not know a field of ours. The client has noted it: the next call is
    worded without it.
    """

    kind = "field_refused"
    retryable = True


class KeyRefused(CallError):
    """401, 403: the lane stops."""

    kind = "key_refused"


class BalanceGone(CallError):
    """402: the lane stops and is probed now and then."""

    kind = "balance_gone"


class UnknownModel(CallError):
    """404: the lane stops; the message names the model."""

    kind = "unknown_model"


class RateLimited(CallError):
    """429: Retry-After cools the whole lane."""

    kind = "rate_limited"
    retryable = True


class OutOfFiles(RateLimited):
    """Nothing was asked: fewer calls at once, a little later, is all that helps."""

    kind = "open_files"


class ServerFault(CallError):
    """5xx, or a reply that is no completion."""

    kind = "server_fault"
    retryable = True


class Unreachable(CallError):
    """The transport failed before any byte of an answer."""

    kind = "unreachable"
    retryable = True


class Stalled(CallError):
    """No first token, or no next token, in time."""

    kind = "stalled"
    retryable = True


class Overran(Stalled):
    """Tokens still came when the total time was up."""

    kind = "overran"
    retryable = False


class Cut(CallError):
    """The stream broke, or the server gave up."""

    kind = "cut"
    retryable = True


class Oversized(CallError):
    """Far more text than `max_tokens` allows."""

    kind = "oversized"


class EmptyAnswer(CallError):
    """HTTP 200 and an orderly end, but no response text."""

    kind = "empty"
    retryable = True


class ErrorEvent(CallError):
    """An error under HTTP 200 without a code, or a server's own fault."""

    kind = "error_event"
    retryable = True
