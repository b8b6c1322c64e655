"""Requests to one OpenAI-compatible server through the openai SDK: its errors as ours, its replies
as plain JSON, without what SiliconFlow (a file in `data`) and Together (a batch in `job`) wrap
around it.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from shared.chat_api import error_mapping, wire
from shared.chat_api.errors import CallError, ServerFault, Unreachable
from shared.chat_api.redaction import Address, Redactor

if TYPE_CHECKING:
    import openai

CONNECT_SECONDS = 15.0
REPLY_SECONDS = 120.0  # for a reply, and between two pieces of a file
PAGE = 100  # files or batches asked for at once
PAGES_MAX = 200


class NotSent(Unreachable):
    """No connection was made: the server knows nothing of the request."""


class SdkConnection:
    """Use it as an async context manager."""

    def __init__(self, base_url: str, api_key: str) -> None:
        address = Address.of(base_url)
        self._url = address.url.rstrip("/")
        self._authorization = "" if api_key else address.authorization
        self._key = api_key
        self.redactor = Redactor(api_key, *address.secrets)
        self._client: openai.AsyncOpenAI | None = None

    async def __aenter__(self) -> Self:
        import httpx2
        import openai

        headers = {"Authorization": self._authorization} if self._authorization else {}
        timeout = httpx2.Timeout(REPLY_SECONDS, connect=CONNECT_SECONDS)
        host = urlsplit(self._url).hostname or ""
        is_here = host in ("localhost", "::1") or host.startswith("127.")
        self._client = openai.AsyncOpenAI(
            base_url=self._url,
            api_key=self._key or "none",
            max_retries=0,  # retry has one owner
            timeout=timeout,
            default_headers=headers,
            # This machine is never behind a proxy.
            http_client=openai.DefaultAsyncHttpxClient(trust_env=not is_here, timeout=timeout),
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.client.close()

    @property
    def client(self) -> "openai.AsyncOpenAI":
        """The SDK's own, of which replies in pieces are asked."""
        assert self._client is not None, "use the client as an async context manager"
        return self._client

    def refusal(
        self,
        status: int,
        headers: dict[str, str],
        body: bytes,
        model: str,
    ) -> CallError:
        """The error that a reply of the server stands for."""
        return error_mapping.refusal(
            status,
            headers,
            body,
            url=self._url,
            model=model,
            redactor=self.redactor,
        )

    async def listed(self, path: str) -> AsyncIterator[dict[str, Any]]:
        """Every item of a list, page by page; a server that knows no pages gives one."""
        after = ""
        seen_ids: set[str] = set()
        for _ in range(PAGES_MAX):
            query: dict[str, Any] = {"limit": PAGE}
            if after:
                query["after"] = after
            reply = await self.get(path, query)
            items = reply.get("data") if isinstance(reply, dict) else reply
            if isinstance(items, dict):
                items = items.get("data") or items.get("list")
            new_items = [
                item
                for item in (items if isinstance(items, list) else [])
                if isinstance(item, dict) and str(item.get("id")) not in seen_ids
            ]
            if not new_items:
                return
            for item in new_items:
                seen_ids.add(str(item.get("id")))
                yield item
            after = str(new_items[-1].get("id"))

    async def get(self, path: str, query: dict[str, Any]) -> Any:
        """The reply to a GET of a path that the SDK has no method for."""
        return await self.ask(
            lambda client: client.get(path, cast_to=object, options={"params": query})
        )

    async def ask(self, ask: "Callable[[openai.AsyncOpenAI], Awaitable[Any]]") -> Any:
        """One request; its reply as JSON, without the wrapping that some servers put around it."""
        async with self.errors(""):
            reply = await ask(self.client)
            content = reply.content if hasattr(reply, "content") else None
        if content is None:
            return reply
        try:
            document = wire.document(content).clean
        except wire.NotJson:
            raise ServerFault("HTTP 200 with what is no JSON", status=200) from None
        for name in ("data", "job"):
            if isinstance(document, dict) and isinstance(document.get(name), dict):
                document = document[name]
        return document

    @asynccontextmanager
    async def errors(self, path: str) -> AsyncIterator[None]:
        """The SDK's errors as ours."""
        import httpx2
        import openai

        try:
            yield
        except openai.APIStatusError as error:
            raise error_mapping.refusal(
                error.status_code,
                {name.lower(): value for name, value in error.response.headers.items()},
                await _body(error),
                url=str(error.request.url) or self._url + path,
                model="",
                redactor=self.redactor,
            ) from None
        except (openai.APIError, httpx2.HTTPError) as error:
            cause = error.__cause__ if isinstance(error, openai.APIError) else error
            words = self.redactor.line(str(cause or error) or type(cause or error).__name__)
            if isinstance(cause, httpx2.ConnectError | httpx2.ConnectTimeout):
                raise NotSent(words) from None
            raise Unreachable(words) from None


async def _body(error: "openai.APIStatusError") -> bytes:
    import httpx2

    try:
        return await error.response.aread()
    except (httpx2.HTTPError, RuntimeError):  # a stream that was closed has no more to say
        return b""
