"""The teacher's client: one session for a lane, one `call` for a sample."""

import asyncio
import urllib.request
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

import aiohttp
import orjson
from yarl import URL

from shared.chat_api import error_mapping, limits, wire
from shared.chat_api.errors import CallError, FieldRefused, Unreachable
from shared.chat_api.limits import LimitNews
from shared.chat_api.redaction import Address, Redactor
from shared.chat_api.request import Request
from shared.chat_api.stream import Call, Clocks, bounded
from shared.errors import InputError
from shared.records import Completion


class Teacher:
    """One lane's connection to its server. Use it as an async context manager.

    `extra` goes into every request body.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str = "",
        clocks: Clocks | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        address = Address.of(base_url)
        self._url = address.url.rstrip("/") + "/chat/completions"
        self._key, self._clocks = api_key, clocks or Clocks()
        self._extra = dict(extra or {})
        self._redactor = Redactor(api_key, *address.secrets)
        # Given with each call: aiohttp sends a session's own headers, the key among them, to a
        # proxy as well.
        self._headers = {"Accept": "text/event-stream", "Accept-Encoding": "identity"}
        self._headers["Content-Type"] = "application/json"
        authorization = f"Bearer {api_key}" if api_key else address.authorization
        if authorization:
            self._headers["Authorization"] = authorization
        self._proxy_headers: dict[str, str] | None = None
        self._left_out: set[str] = set()  # fields that this server does not know
        self._starts_thinking = False  # its template opens the thinking, its stream only closes it
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        proxy, self._proxy_headers = _proxy_for(self._url)
        self._session = aiohttp.ClientSession(
            # The lane bounds its calls; a second bound here would only hide waiting.
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
        assert self._session is not None, "use the teacher as an async context manager"
        call = Call(request, on_tokens, self._clocks, self._starts_thinking, self._redactor)
        body = self._body(request)
        try:
            async with asyncio.timeout(None) as clock:
                call.start(clock)
                async with self._session.post(
                    self._url,
                    data=orjson.dumps(body),
                    headers=self._headers,
                    proxy_headers=self._proxy_headers,
                    allow_redirects=False,
                ) as reply:
                    await self._receive(reply, call, body, on_limits)
        except TimeoutError:
            if not clock.expired():
                raise Unreachable(f"no connection within {self._clocks.connect:g} s") from None
            call.time_is_up()
        except aiohttp.ClientError as error:
            if isinstance(error, aiohttp.InvalidURL):
                raise Unreachable(f"base_url is no URL: {self._url}") from None
            call.broke(_why(error, self._redactor))
        self._starts_thinking |= call.gathering.closes_only
        try:
            return call.finish()
        except CallError as error:  # a 429 inside the stream may name a limit
            if error.headers_news is not None:
                on_limits(error.headers_news)
            raise

    async def _receive(
        self,
        reply: aiohttp.ClientResponse,
        call: Call,
        body: Mapping[str, Any],
        on_limits: Callable[[LimitNews], None],
    ) -> None:
        headers = wire.headers(reply.headers.items())
        call.headers = headers
        if reply.status == 200:
            news = limits.news(headers)
            if news is not None:
                on_limits(news)
            call.began = True
            await call.read(reply)
            return
        raw = await bounded(reply)
        error = error_mapping.refusal(
            reply.status,
            headers,
            raw,
            url=self._url,
            model=str(body["model"]),
            redactor=self._redactor,
        )
        if error.headers_news is not None:
            on_limits(error.headers_news)
        if reply.status in (400, 422) and (field := self._refused_field(error.message, body)):
            self._left_out.add(field)
            raise FieldRefused(error.message, status=reply.status)
        raise error

    def _body(self, request: Request) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": request.model,
            "messages": request.messages,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "max_tokens": request.max_tokens,
            "stream": True,
            "stream_options": {"include_usage": True},
            **self._extra,
        }
        for field in self._left_out:
            value = body.pop(field, None)
            if field == "max_tokens":
                body["max_completion_tokens"] = value
        return body

    @staticmethod
    def _refused_field(message: str, body: Mapping[str, Any]) -> str:
        """The field of ours that a 400 complains of, among those that we can do without."""
        if "stream_options" in body and ("stream_options" in message or "include_usage" in message):
            return "stream_options"
        if "max_tokens" in body and "max_completion_tokens" in message:
            return "max_tokens"
        return ""


def _why(error: aiohttp.ClientError, redactor: Redactor) -> str:
    if isinstance(error, aiohttp.ClientPayloadError):  # its text reads like an HTTP 400
        return "the connection closed in the middle of the stream"
    if isinstance(error, aiohttp.ClientResponseError):  # and so does this one's
        return redactor.clean(wire.one_line(f"the reply cannot be read: {error.message}"))
    return redactor.clean(wire.one_line(str(error) or type(error).__name__))


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
    found = proxies.get(target.scheme) or proxies.get("all")
    if not found:
        return None, None
    proxy = URL(found if "://" in found else f"http://{found}")
    if proxy.scheme not in ("http", "https"):
        variable = f"{target.scheme}_proxy" if proxies.get(target.scheme) else "all_proxy"
        raise InputError(
            f"{variable} names a {proxy.scheme} proxy: only HTTP proxies can be used; "
            f"set {target.scheme}_proxy to one, or no_proxy={host}"
        )
    if not proxy.user:
        return proxy, None
    # aiohttp makes Proxy-Authorization of it, in the tunnel's request or in ours.
    return proxy.with_user(None), {
        "Authorization": aiohttp.encode_basic_auth(proxy.user, proxy.password or "")
    }
