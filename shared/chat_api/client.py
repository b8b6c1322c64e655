"""The client of an OpenAI-compatible chat API: one session for a server, one `call` for a sample."""

import asyncio
import errno
import os
import urllib.request
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

import aiohttp
import orjson
from yarl import URL

from shared.addresses import can_be_looked_up
from shared.chat_api import error_mapping, wire
from shared.chat_api.clocks import Clocks
from shared.chat_api.dialects import Gathering
from shared.chat_api.errors import CallError, FieldRefused, OutOfFiles, Unreachable
from shared.chat_api.limits import LimitNews, news
from shared.chat_api.pauses import Pauses
from shared.chat_api.redaction import Address, Redactor
from shared.chat_api.request import Request
from shared.chat_api.stream import Call, bounded
from shared.errors import InputError
from shared.records import Completion

NO_DESCRIPTOR = (errno.EMFILE, errno.ENFILE)
DESCRIPTOR_SECONDS = 1.0  # until one may be free


class ChatClient:
    """Asks one server. Use it as an async context manager. Errors: `InputError` for an address that
    is none.

    `as_generated`: a completion's `response` is the whole text as the model generated it, thinking
    tags included, and its `reasoning` is "".
    """

    def __init__(
        self,
        base_url: str,
        api_key: str = "",
        clocks: Clocks | None = None,
        *,
        as_generated: bool = False,
    ) -> None:
        address = Address.of(base_url)
        if not can_be_looked_up(address.url):
            raise InputError(
                f"base_url {address.url[:200]}: no host that can be looked up: write it like"
                ' "https://api.example.com/v1"'
            )
        self._url = f"{address.url.rstrip('/')}/chat/completions"
        self._clocks = clocks or Clocks()
        self._as_generated = as_generated
        self._redactor = Redactor(api_key, *address.secrets)
        # Given with each call: aiohttp sends a session's own headers, the key among them, to a
        # proxy as well.
        self._headers = {
            "Accept": "text/event-stream",
            "Accept-Encoding": "identity",
            "Content-Type": "application/json",
        }
        authorization = f"Bearer {api_key}" if api_key else address.authorization
        if authorization:
            self._headers["Authorization"] = authorization
        self._proxy_headers: dict[str, str] | None = None
        self._refused_fields: set[str] = set()  # left out from now on
        self._accepted_fields: set[str] = set()
        self._starts_thinking = False  # its template opens the thinking, its stream only closes it
        self._session: aiohttp.ClientSession | None = None
        self._pauses: Pauses | None = None

    async def __aenter__(self) -> Self:
        proxy, self._proxy_headers = _proxy_for(self._url)
        self._pauses = Pauses(asyncio.get_running_loop())
        self._session = aiohttp.ClientSession(
            # The caller bounds its calls; a second bound here would only hide waiting.
            connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=300),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._clocks.connect or None),
            proxy=proxy,
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._session is not None
        await self._session.close()

    async def call(
        self,
        request: Request,
        on_tokens: Callable[[int], None] = lambda count: None,
        on_limits: Callable[[LimitNews], None] = lambda news: None,
    ) -> Completion:
        """One HTTP call. `on_tokens(count)` is told of each block that was read, every 100 to 250
        ms; `on_limits(news)` of what the reply says about limits, a good one as well as a refusal.

        Returns a whole answer, or one that the server ended for a reason of its own (`length`,
        `content_filter`, …). Errors: a `CallError`, with what text and usage there was in
        `partial`. Cancelling closes the connection.
        """
        call = Call(request, on_tokens, self._clocks, self._texts, self._redactor)
        body = self._body(request)
        try:
            await self._exchange(call, body, on_limits)
            if call.gathering.closes_only:
                self._starts_thinking = True
            completion = call.finish()
        except CallError as error:
            if error.headers_news is not None:
                on_limits(error.headers_news)
            field = self._refused_field(error, body)
            if not field:
                raise
            self._refused_fields.add(field)
            raise FieldRefused(error.message, status=error.status, partial=error.partial) from None
        self._accepted_fields.update(body)
        return completion

    async def _exchange(
        self,
        call: Call,
        body: Mapping[str, Any],
        on_limits: Callable[[LimitNews], None],
    ) -> None:
        """Send the request and read the reply, held to the clocks."""
        assert self._session is not None, "use the client as an async context manager"
        try:
            async with asyncio.timeout(None) as timeout:
                call.timer.start(timeout)
                async with self._session.post(
                    self._url,
                    data=orjson.dumps(body),
                    headers=self._headers,
                    proxy_headers=self._proxy_headers,
                    allow_redirects=False,
                ) as reply:
                    await self._receive(reply, call, str(body["model"]), on_limits)
        except TimeoutError:
            if not timeout.expired():
                raise Unreachable(f"no connection within {self._clocks.connect:g} s") from None
            call.time_is_up()
        except aiohttp.InvalidURL:
            raise Unreachable(f"base_url is no URL: {self._url}") from None
        except aiohttp.ClientError as error:
            if getattr(error, "errno", None) in NO_DESCRIPTOR:
                raise OutOfFiles(
                    "no file descriptor is left for a connection: raise `ulimit -n`",
                    retry_after_seconds=DESCRIPTOR_SECONDS,
                ) from None
            call.broke(_reason(error, self._redactor))

    async def _receive(
        self,
        reply: aiohttp.ClientResponse,
        call: Call,
        model: str,
        on_limits: Callable[[LimitNews], None],
    ) -> None:
        headers = wire.headers(reply.headers.items())
        if reply.status != 200:
            raise error_mapping.refusal(
                reply.status,
                headers,
                await bounded(reply),
                url=self._url,
                model=model,
                redactor=self._redactor,
            )
        limit_news = news(headers)
        if limit_news is not None:
            on_limits(limit_news)
        call.begin(headers)
        assert self._pauses is not None  # made with the session
        await call.read(reply, self._pauses)

    def _texts(self, gathering: Gathering) -> tuple[str, str]:
        """(reasoning, response) of what a call has brought."""
        if self._as_generated:
            return "", gathering.generated_text()
        return gathering.texts(self._starts_thinking)

    def _body(self, request: Request) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": request.model,
            "messages": request.messages,
            "temperature": request.temperature,
            "max_tokens": request.max_tokens,
            "stream": True,
            "stream_options": {"include_usage": True},
            **request.extra,
        }
        if request.top_p is not None:
            body["top_p"] = request.top_p
        for field in self._refused_fields:
            value = body.pop(field, None)
            if field == "max_tokens":
                body["max_completion_tokens"] = value
        return body

    def _refused_field(self, error: CallError, body: Mapping[str, Any]) -> str:
        """The field of ours that a refusal complains of, among those that we can do without."""
        if "stream_options" in body and error.names("stream_options", "include_usage"):
            return "stream_options"
        # A server that has taken max_tokens may still find one too large, and say both names.
        can_rename = "max_tokens" in body and "max_tokens" not in self._accepted_fields
        if can_rename and error.names("max_completion_tokens"):
            return "max_tokens"
        return ""


def _reason(error: aiohttp.ClientError, redactor: Redactor) -> str:
    if isinstance(error, aiohttp.ClientPayloadError):  # its text reads like an HTTP 400
        return "the connection closed in the middle of the stream"
    if isinstance(error, aiohttp.ClientResponseError):  # and so does this one's
        text = f"the reply cannot be read: {error.message}"
    elif isinstance(error, aiohttp.ClientConnectorError) and not isinstance(
        error, aiohttp.ClientSSLError
    ):
        number = error.os_error.errno or 0  # a resolver's are negative, and have texts of their own
        cause = os.strerror(number) if number > 0 else error.os_error.strerror
        text = f"cannot connect to {error.host}:{error.port}: {cause}"
    else:
        text = str(error) or type(error).__name__
    return redactor.line(text)


def _proxy_for(url: str) -> tuple[URL | None, dict[str, str] | None]:
    """The proxy that the environment names for `url`, and what it is to be told. This machine is
    never behind one.

    Not left to aiohttp's `trust_env`: that reads .netrc for each call and refuses to run where it
    names the host. Errors: `InputError` for a proxy that is not HTTP.
    """
    target = URL(url)
    host = target.host or ""
    if host in ("localhost", "::1") or host.startswith("127.") or urllib.request.proxy_bypass(host):
        return None, None
    proxies = urllib.request.getproxies()
    address = proxies.get(target.scheme) or proxies.get("all")
    if not address:
        return None, None
    proxy = URL(address if "://" in address else f"http://{address}")
    if proxy.scheme not in ("http", "https"):
        variable = f"{target.scheme}_proxy" if proxies.get(target.scheme) else "all_proxy"
        raise InputError(
            f"{variable} names a {proxy.scheme} proxy: only HTTP proxies can be used; "
            f"set {target.scheme}_proxy to one, or no_proxy={host}"
        )
    if not proxy.user:
        return proxy, None
    # aiohttp makes Proxy-Authorization of it, in the tunnel's request or in ours.
    authorization = aiohttp.encode_basic_auth(proxy.user, proxy.password or "")
    return proxy.with_user(None), {"Authorization": authorization}
