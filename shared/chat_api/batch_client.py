"""The batch side of an OpenAI-compatible API: files and batches, through the openai SDK.

    async with BatchClient(base_url, api_key) as client:
        file_id = await client.upload(path)
        batch = await client.create(file_id, window_hours=24)
        batch = await client.retrieve(batch.id)
        await client.download(batch.output_file_id, path)

Every method raises a `CallError`. `NotSent` says that a request never left: to send it again is
safe; after any other `Unreachable` or `ServerFault` the server may have done what was asked.
Replies are read by their fields, not by the SDK's models: SiliconFlow wraps a file in `data`,
Together a batch in `job` and writes its states in capitals.
"""

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Self
from urllib.parse import urlsplit

import orjson

from shared.chat_api import error_mapping, wire
from shared.chat_api.clocks import Clocks
from shared.chat_api.errors import CallError, ServerFault, Unreachable
from shared.chat_api.redaction import Address, Redactor
from shared.chat_api.request import Request
from shared.chat_api.stream import Call
from shared.file_writing import open_within
from shared.records import Completion

if TYPE_CHECKING:
    import openai

CONNECT_SECONDS = 15.0
REPLY_SECONDS = 120.0  # for a reply, and between two pieces of a file
PAGE = 100  # files or batches asked for at once
PAGES_MAX = 200
PIECE = 1 << 16
ENDED = ("completed", "failed", "expired", "cancelled", "canceled")


class NotSent(Unreachable):
    """No connection was made: the server knows nothing of the request."""


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch as the server describes it. Times are seconds since 1970 by its clock, 0: not said."""

    id: str
    status: str  # in lower case
    input_file_id: str
    output_file_id: str
    error_file_id: str
    total: int
    completed: int
    failed: int
    expires_at: float
    errors: str  # why it failed as a whole, in one line

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will come of it."""
        return self.status in ENDED


class BatchClient:
    """One server's files and batches. Use it as an async context manager."""

    def __init__(self, base_url: str, api_key: str = "", purpose: str = "batch") -> None:
        address = Address.of(base_url)
        self._url = address.url.rstrip("/")
        self._authorization = "" if api_key else address.authorization
        self._key = api_key
        self._purpose = purpose
        self._redactor = Redactor(api_key, *address.secrets)
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
        assert self._client is not None
        await self._client.close()

    # Files

    async def upload(self, path: Path) -> str:
        """Send a file of requests under its own name; the server's id for it."""
        with path.open("rb") as file:
            reply = await self._ask(
                lambda client: client.files.with_raw_response.create(
                    file=(path.name, file),
                    purpose=self._purpose,  # type: ignore[arg-type]  # Together's is "batch-api"
                )
            )
        return _required(reply, "id")

    async def find_file(self, name: str) -> str:
        """The id of the file of this name, "" where there is none. Errors: also where the server
        lists nothing.
        """
        async for item in self._listed("/files"):
            if str(item.get("filename") or item.get("name") or "") == name:
                return str(item.get("id") or "")
        return ""

    async def download(self, file_id: str, path: Path) -> None:
        """Write a file's content to `path`, piece by piece; it is there when it is whole.

        SiliconFlow's output "ids" are addresses, which are asked without the key.
        """
        draft = path.with_name(path.name + ".part")
        async with self._errors(f"/files/{file_id}/content"):
            with _opened(draft) as file:
                async for piece in self._pieces(file_id):
                    file.write(piece)
                file.flush()
                os.fsync(file.fileno())
        os.replace(draft, path)

    async def _pieces(self, file_id: str) -> AsyncIterator[bytes]:
        import httpx2

        assert self._client is not None
        if not is_address(file_id):
            async with self._client.files.with_streaming_response.content(file_id) as reply:
                async for piece in reply.iter_bytes(PIECE):
                    yield piece
            return
        timeout = httpx2.Timeout(REPLY_SECONDS, connect=CONNECT_SECONDS)
        async with (
            httpx2.AsyncClient(timeout=timeout, follow_redirects=True) as client,
            client.stream("GET", file_id) as reply,
        ):
            if reply.status_code != 200:
                words = f"HTTP {reply.status_code} from the address of a batch's output"
                raise ServerFault(words, status=reply.status_code)
            async for piece in reply.aiter_bytes(PIECE):
                yield piece

    async def delete_file(self, file_id: str) -> None:
        """Remove a file from the server."""
        await self._ask(lambda client: client.files.with_raw_response.delete(file_id))

    # Batches

    async def create(
        self, file_id: str, window_hours: int, path: str = "/v1/chat/completions"
    ) -> Batch:
        """Have a file's requests done within so many hours. `path`: what its lines name."""
        reply = await self._ask(
            lambda client: client.batches.with_raw_response.create(
                input_file_id=file_id,
                endpoint=path,  # type: ignore[arg-type]  # Zhipu's begins with /v4
                completion_window=f"{window_hours}h",  # type: ignore[arg-type]
            )
        )
        return _batch(reply)

    async def retrieve(self, batch_id: str) -> Batch:
        """A batch now."""
        return _batch(
            await self._ask(lambda client: client.batches.with_raw_response.retrieve(batch_id))
        )

    async def find_batch(self, file_id: str) -> Batch | None:
        """The batch that was made of this file. Errors: also where the server lists nothing."""
        async for item in self._listed("/batches"):
            if str(item.get("input_file_id") or "") == file_id:
                return _batch(item)
        return None

    async def cancel(self, batch_id: str) -> None:
        """Have a batch do nothing more; what is done of it is kept, and paid."""
        await self._ask(lambda client: client.batches.with_raw_response.cancel(batch_id))

    async def lists(self) -> None:
        """Returns where the server has these endpoints and lists its batches."""
        await self._get("/batches", {"limit": 1})

    # Lines

    def completion(self, body: Any, request: Request) -> Completion:
        """The answer that a line of output holds. Errors: the `CallError` that it amounts to."""
        call = Call(request, lambda count: None, Clocks(), _texts, self._redactor)
        call.take_document(orjson.dumps(body))
        return call.finish()

    def refusal(self, status: int, body: Any, model: str) -> CallError:
        """The error that a line of output stands for."""
        return error_mapping.refusal(
            status, {}, orjson.dumps(body), url=self._url, model=model, redactor=self._redactor
        )

    # Asking

    async def _listed(self, path: str) -> AsyncIterator[dict[str, Any]]:
        """Every item of a list, page by page; a server that knows no pages gives one."""
        after = ""
        seen_ids: set[str] = set()
        for _ in range(PAGES_MAX):
            query: dict[str, Any] = {"limit": PAGE}
            if after:
                query["after"] = after
            reply = await self._get(path, query)
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

    async def _get(self, path: str, query: dict[str, Any]) -> Any:
        return await self._ask(
            lambda client: client.get(path, cast_to=object, options={"params": query})
        )

    async def _ask(self, ask: "Callable[[openai.AsyncOpenAI], Awaitable[Any]]") -> Any:
        """One request; its reply as JSON, without the wrapping that some servers put around it."""
        assert self._client is not None, "use the client as an async context manager"
        async with self._errors(""):
            reply = await ask(self._client)
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
    async def _errors(self, path: str) -> AsyncIterator[None]:
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
                redactor=self._redactor,
            ) from None
        except (openai.APIError, httpx2.HTTPError) as error:
            cause = error.__cause__ if isinstance(error, openai.APIError) else error
            words = self._redactor.line(str(cause or error) or type(cause or error).__name__)
            if isinstance(cause, httpx2.ConnectError | httpx2.ConnectTimeout):
                raise NotSent(words) from None
            raise Unreachable(words) from None


def is_address(file_id: str) -> bool:
    """Whether what should be the id of a file is the address of its content."""
    return file_id.startswith(("https://", "http://"))


def _opened(path: Path) -> BinaryIO:
    return open(path, "wb", opener=open_within)


async def _body(error: "openai.APIStatusError") -> bytes:
    import httpx2

    try:
        return await error.response.aread()
    except (httpx2.HTTPError, RuntimeError):  # a stream that was closed has no more to say
        return b""


def _texts(gathering: Any) -> tuple[str, str]:
    reasoning, response = gathering.texts()
    return reasoning, response


def _required(reply: Any, name: str) -> str:
    value = reply.get(name) if isinstance(reply, dict) else None
    if not isinstance(value, str) or not value:
        raise ServerFault(f"HTTP 200 without {name!r}", status=200)
    return value


def _batch(reply: Any) -> Batch:
    identity = _required(reply, "id")
    counts = reply.get("request_counts")
    counts = counts if isinstance(counts, dict) else {}

    def number(value: Any) -> int:
        return value if isinstance(value, int) else 0

    expires_at = reply.get("expires_at")
    return Batch(
        id=identity,
        status=str(reply.get("status") or "").lower(),
        input_file_id=str(reply.get("input_file_id") or ""),
        output_file_id=str(reply.get("output_file_id") or ""),
        error_file_id=str(reply.get("error_file_id") or ""),
        total=number(counts.get("total")),
        completed=number(counts.get("completed")),
        failed=number(counts.get("failed")),
        expires_at=float(expires_at) if isinstance(expires_at, int | float) else 0.0,
        errors=wire.one_line(_words(reply.get("errors") or reply.get("error"))),
    )


def _words(errors: Any) -> str:
    if isinstance(errors, dict):
        rows = errors.get("data")
        if isinstance(rows, list):
            return "; ".join(_words(row) for row in rows[:3])
        return str(errors.get("message") or errors.get("code") or "")
    if isinstance(errors, list):
        return "; ".join(_words(each) for each in errors[:3])
    return str(errors or "")
