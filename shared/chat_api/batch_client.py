"""The batch side of an OpenAI-compatible API: files and batches, through the openai SDK.

    async with BatchClient(base_url, api_key) as client:
        file_id = await client.upload(path)
        batch = await client.create(file_id, window_hours=24)
        batch = await client.retrieve(batch.id)
        await client.download(batch.output_file_id, path)

Every method raises a `CallError`. `NotSent` says that a request never left: to send it again is
safe; after any other `Unreachable` or `ServerFault` the server may have done what was asked.
"""

import os
from collections.abc import AsyncIterator
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import orjson

from shared.chat_api.batch_replies import Batch, batch_of, required_text
from shared.chat_api.clocks import Clocks
from shared.chat_api.errors import CallError, ServerFault
from shared.chat_api.request import Request
from shared.chat_api.sdk_connection import CONNECT_SECONDS, REPLY_SECONDS, SdkConnection
from shared.chat_api.stream import Call
from shared.file_writing import open_within
from shared.records import Completion

PIECE = 1 << 16


class BatchClient:
    """One server's files and batches. Use it as an async context manager."""

    def __init__(
        self,
        base_url: str,
        api_key: str = "",
        purpose: str = "batch",
    ) -> None:
        self._connection = SdkConnection(base_url, api_key)
        self._purpose = purpose

    async def __aenter__(self) -> Self:
        await self._connection.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._connection.__aexit__(kind, error, traceback)

    # Files

    async def upload(self, path: Path) -> str:
        """Send a file of requests under its own name; the server's id for it."""
        with path.open("rb") as file:
            reply = await self._connection.ask(
                lambda client: client.files.with_raw_response.create(
                    file=(path.name, file),
                    purpose=self._purpose,  # type: ignore[arg-type]  # Together's is "batch-api"
                )
            )
        return required_text(reply, "id")

    async def find_file(self, name: str) -> str:
        """The id of the file of this name, "" where there is none. Errors: also where the server
        lists nothing.
        """
        async for item in self._connection.listed("/files"):
            if str(item.get("filename") or item.get("name") or "") == name:
                return str(item.get("id") or "")
        return ""

    async def download(self, file_id: str, path: Path) -> None:
        """Write a file's content to `path`, piece by piece; it is there when it is whole.

        SiliconFlow's output "ids" are addresses, which are asked without the key.
        """
        draft = path.with_name(path.name + ".part")
        async with self._connection.errors(f"/files/{file_id}/content"):
            with _opened(draft) as file:
                async for piece in self._pieces(file_id):
                    file.write(piece)
                file.flush()
                os.fsync(file.fileno())
        os.replace(draft, path)

    async def _pieces(self, file_id: str) -> AsyncIterator[bytes]:
        import httpx2

        if not is_address(file_id):
            files = self._connection.client.files
            async with files.with_streaming_response.content(file_id) as reply:
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
        await self._connection.ask(lambda client: client.files.with_raw_response.delete(file_id))

    # Batches

    async def create(
        self,
        file_id: str,
        window_hours: int,
        path: str = "/v1/chat/completions",
    ) -> Batch:
        """Have a file's requests done within so many hours. `path`: what its lines name."""
        reply = await self._connection.ask(
            lambda client: client.batches.with_raw_response.create(
                input_file_id=file_id,
                endpoint=path,  # type: ignore[arg-type]  # Zhipu's begins with /v4
                completion_window=f"{window_hours}h",  # type: ignore[arg-type]
            )
        )
        return batch_of(reply)

    async def retrieve(self, batch_id: str) -> Batch:
        """A batch now."""
        reply = await self._connection.ask(
            lambda client: client.batches.with_raw_response.retrieve(batch_id)
        )
        return batch_of(reply)

    async def find_batch(self, file_id: str) -> Batch | None:
        """The batch that was made of this file. Errors: also where the server lists nothing."""
        async for item in self._connection.listed("/batches"):
            if str(item.get("input_file_id") or "") == file_id:
                return batch_of(item)
        return None

    async def cancel(self, batch_id: str) -> None:
        """Have a batch do nothing more; what is done of it is kept, and paid."""
        await self._connection.ask(lambda client: client.batches.with_raw_response.cancel(batch_id))

    async def lists(self) -> None:
        """Returns where the server has these endpoints and lists its batches."""
        await self._connection.get("/batches", {"limit": 1})

    # Lines

    def completion(self, body: Any, request: Request) -> Completion:
        """The answer that a line of output holds. Errors: the `CallError` that it amounts to."""
        call = Call(request, lambda count: None, Clocks(), _texts, self._connection.redactor)
        call.take_document(orjson.dumps(body))
        return call.finish()

    def refusal(self, status: int, body: Any, model: str) -> CallError:
        """The error that a line of output stands for."""
        return self._connection.refusal(status, {}, orjson.dumps(body), model)


def is_address(file_id: str) -> bool:
    """Whether what should be the id of a file is the address of its content."""
    return file_id.startswith(("https://", "http://"))


def _opened(path: Path) -> BinaryIO:
    return open(path, "wb", opener=open_within)


def _texts(gathering: Any) -> tuple[str, str]:
    reasoning, response = gathering.texts()
    return reasoning, response
