"""The rehearsal teacher's files: what its batch endpoints keep, and the clock and faults of both.

POST /v1/files, GET /v1/files, GET /v1/files/{id}, GET /v1/files/{id}/content, DELETE /v1/files/{id}
"""

import random
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from generator.rehearsal.batch_faults import BatchFaults
from generator.rehearsal.batch_objects import StoredFile, received

PAGE = 100


@dataclass(frozen=True, slots=True)
class BatchManner:
    """How batches are done."""

    seconds: float = 3600.0  # a batch takes so long, whatever its size, by the hurried clock
    clock_speed: float = 1.0  # seconds that this clock goes in one
    faults: BatchFaults = field(default_factory=BatchFaults)
    lists: bool = True  # false: neither files nor batches are listed
    offered: bool = True  # false: there are no such endpoints
    lines_max: int = 0  # of a file; 0: no limit
    bytes_max: int = 0
    output_addresses: bool = False  # true: output "ids" are addresses, as SiliconFlow's are
    key: str = ""  # the only one accepted; "" accepts any and none


class FileDesk:
    """Keeps the files of the batch endpoints. `fates`: how often each thing was done on purpose."""

    def __init__(self, manner: BatchManner, seed: int) -> None:
        self.manner = manner
        self.rng = random.Random(f"batches {seed}")
        self.fates: Counter[str] = Counter()
        self._folder = tempfile.TemporaryDirectory(prefix="rehearsal-batches-")
        self._started = time.time()
        self._files: dict[str, StoredFile] = {}
        self._number = 0

    def __len__(self) -> int:
        return len(self._files)

    def add_routes(self, app: web.Application) -> None:
        """OpenAI's paths."""
        add = app.router
        add.add_post("/v1/files", self._upload)
        add.add_get("/v1/files", self._list_files)
        add.add_get("/v1/files/{id}", self._file)
        add.add_get("/v1/files/{id}/content", self._content)
        add.add_delete("/v1/files/{id}", self._delete)

    @property
    def folder(self) -> Path:
        """Of the files' contents, as long as this desk lives."""
        return Path(self._folder.name)

    def find(self, file_id: str) -> StoredFile | None:
        """A file that is kept; None where there is none of this id."""
        return self._files.get(file_id)

    def now(self) -> float:
        """Seconds since 1970 by the hurried clock."""
        return self._started + (time.time() - self._started) * self.manner.clock_speed

    def refusal(self, request: web.Request) -> web.Response | None:
        """What whoever has no right here is told, and whoever asks for what there is not."""
        if not self.manner.offered:
            return error_reply(404, f"no such path: {request.path}")
        key = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if self.manner.key and key != self.manner.key:
            return error_reply(401, "Authentication Fails, this API key is invalid")
        return None

    async def _upload(self, request: web.Request) -> web.StreamResponse:
        refusal = self.refusal(request)
        if refusal is not None:
            return refusal
        path = self.folder / f"upload-{self.next_number()}"
        name, purpose = await received(request, path)
        if self.manner.bytes_max and path.stat().st_size > self.manner.bytes_max:
            path.unlink()
            return error_reply(413, f"the file is over the limit of {self.manner.bytes_max} bytes")
        stored_file = self.store(path, name, purpose)
        if self.draws("lost_reply"):
            return drop_connection(request)
        return web.json_response(stored_file.as_dict())

    def store(self, path: Path, name: str, purpose: str) -> StoredFile:
        """Keep what was written to `path` as a file of its own."""
        stored_file = StoredFile(
            f"file-{self.next_number():06d}", name, purpose, path, int(self.now())
        )
        self._files[stored_file.id] = stored_file
        return stored_file

    async def _list_files(self, request: web.Request) -> web.Response:
        return self.page(request, [stored_file.as_dict() for stored_file in self._files.values()])

    async def _file(self, request: web.Request) -> web.Response:
        stored_file = self.find(request.match_info["id"])
        if stored_file is None:
            return error_reply(404, "no such file")
        return web.json_response(stored_file.as_dict())

    async def _content(self, request: web.Request) -> web.StreamResponse:
        stored_file = self.find(request.match_info["id"])
        if stored_file is None:
            return error_reply(404, "no such file")
        return web.FileResponse(stored_file.path)

    async def _delete(self, request: web.Request) -> web.Response:
        stored_file = self._files.pop(request.match_info["id"], None)
        if stored_file is None:
            return error_reply(404, "no such file")
        stored_file.path.unlink(missing_ok=True)
        return web.json_response({"id": stored_file.id, "object": "file", "deleted": True})

    def page(self, request: web.Request, rows: list[dict[str, Any]]) -> web.Response:
        """The part of a list that was asked for."""
        if not self.manner.offered or not self.manner.lists:
            return error_reply(405 if self.manner.offered else 404, "nothing is listed here")
        after = request.query.get("after", "")
        ids = [row["id"] for row in rows]
        start = ids.index(after) + 1 if after in ids else 0
        limit = int(request.query.get("limit", PAGE))
        page = rows[start : start + limit]
        more = start + limit < len(rows)
        return web.json_response({"object": "list", "data": page, "has_more": more})

    def draws(self, kind: str) -> bool:
        """Whether a fault of this kind happens now."""
        is_drawn = self.rng.random() < self.manner.faults.rates.get(kind, 0.0)
        if is_drawn:
            self.fates[kind] += 1
        return is_drawn

    def next_number(self) -> int:
        """Of whatever is made here."""
        self._number += 1
        return self._number


def error_reply(status: int, message: str) -> web.Response:
    """A refusal as OpenAI words it."""
    error = {"error": {"message": message, "type": "rehearsal_error", "code": status}}
    return web.json_response(error, status=status)


def drop_connection(request: web.Request) -> web.Response:
    """No reply at all: the connection is gone."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()
