"""The rehearsal teacher's batch side: OpenAI's files and batches, with faults and a clock that can
be hurried.

POST /v1/files, GET /v1/files, GET /v1/files/{id}, GET /v1/files/{id}/content, DELETE /v1/files/{id}
POST /v1/batches, GET /v1/batches, GET /v1/batches/{id}, POST /v1/batches/{id}/cancel
"""

import asyncio
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web

from generator.rehearsal.batch_faults import BatchFaults, spoiled
from generator.rehearsal.batch_objects import RunningBatch, StoredFile, count_lines, received

AnswerLine = Callable[[dict[str, Any]], tuple[int, dict[str, Any]]]
SLICE_SECONDS = 0.02  # between two looks whether lines are due
LINES_A_SLICE = 8
SLOW = 4.0  # times as long
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


class BatchDesk:
    """Keeps files and batches, does the batches' lines, and counts what would be paid."""

    def __init__(self, manner: BatchManner, seed: int, answer: AnswerLine) -> None:
        self._manner = manner
        self._answer = answer
        self._rng = random.Random(f"batches {seed}")
        self._folder = tempfile.TemporaryDirectory(prefix="rehearsal-batches-")
        self._started = time.time()
        self._files: dict[str, StoredFile] = {}
        self._batches: dict[str, RunningBatch] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._paid: Counter[str] = Counter()  # answered lines by the sample that they name
        self._files_sent_twice = 0
        self._fates: Counter[str] = Counter()
        self._number = 0

    def add_routes(self, app: web.Application) -> None:
        """OpenAI's paths."""
        add = app.router
        add.add_post("/v1/files", self._upload)
        add.add_get("/v1/files", self._list_files)
        add.add_get("/v1/files/{id}", self._file)
        add.add_get("/v1/files/{id}/content", self._content)
        add.add_delete("/v1/files/{id}", self._delete)
        add.add_post("/v1/batches", self._create)
        add.add_get("/v1/batches", self._list_batches)
        add.add_get("/v1/batches/{id}", self._batch)
        add.add_post("/v1/batches/{id}/cancel", self._cancel)

    def stats(self) -> dict[str, Any]:
        """What would be paid, and what went wrong on purpose."""
        return {
            "files": len(self._files),
            "batches": len(self._batches),
            "lines_paid": self._paid.total(),
            "samples_paid": len(self._paid),
            "files_sent_twice": self._files_sent_twice,
            "fates": dict(self._fates),
        }

    def now(self) -> float:
        """Seconds since 1970 by the hurried clock."""
        return self._started + (time.time() - self._started) * self._manner.clock_speed

    # Files

    def _refusal(self, request: web.Request) -> web.Response | None:
        """What whoever has no right here is told, and whoever asks for what there is not."""
        if not self._manner.offered:
            return _error(404, f"no such path: {request.path}")
        key = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if self._manner.key and key != self._manner.key:
            return _error(401, "Authentication Fails, this API key is invalid")
        return None

    async def _upload(self, request: web.Request) -> web.StreamResponse:
        refusal = self._refusal(request)
        if refusal is not None:
            return refusal
        path = Path(self._folder.name) / f"upload-{self._next()}"
        name, purpose = await received(request, path)
        if self._manner.bytes_max and path.stat().st_size > self._manner.bytes_max:
            path.unlink()
            return _error(413, f"the file is over the limit of {self._manner.bytes_max} bytes")
        stored_file = self._store(path, name, purpose)
        if self._draws("lost_reply"):
            return _drop(request)
        return web.json_response(stored_file.as_dict())

    def _store(self, path: Path, name: str, purpose: str) -> StoredFile:
        stored_file = StoredFile(f"file-{self._next():06d}", name, purpose, path, int(self.now()))
        self._files[stored_file.id] = stored_file
        return stored_file

    async def _list_files(self, request: web.Request) -> web.Response:
        return self._listed(
            request, [stored_file.as_dict() for stored_file in self._files.values()]
        )

    async def _file(self, request: web.Request) -> web.Response:
        stored_file = self._files.get(request.match_info["id"])
        if stored_file is None:
            return _error(404, "no such file")
        return web.json_response(stored_file.as_dict())

    async def _content(self, request: web.Request) -> web.StreamResponse:
        stored_file = self._files.get(request.match_info["id"])
        if stored_file is None:
            return _error(404, "no such file")
        return web.FileResponse(stored_file.path)

    async def _delete(self, request: web.Request) -> web.Response:
        stored_file = self._files.pop(request.match_info["id"], None)
        if stored_file is None:
            return _error(404, "no such file")
        stored_file.path.unlink(missing_ok=True)
        return web.json_response({"id": stored_file.id, "object": "file", "deleted": True})

    # Batches

    async def _create(self, request: web.Request) -> web.StreamResponse:
        refusal = self._refusal(request)
        if refusal is not None:
            return refusal
        body = orjson.loads(await request.read())
        stored_file = self._files.get(str(body.get("input_file_id")))
        if stored_file is None:
            return _error(400, "input_file_id: no such file")
        lines = count_lines(stored_file.path)
        if self._manner.lines_max and lines > self._manner.lines_max:
            return _error(400, f"{lines} lines: a file has at most {self._manner.lines_max}")
        # A batch that has vanished is known to nobody: its file may well come again.
        known_files = {batch.input_file_id for batch in self._batches.values()}
        if stored_file.id in known_files:
            self._files_sent_twice += 1
        fate = self._manner.faults.draw(self._rng)
        self._fates[fate or "good"] += 1
        hours = float(str(body.get("completion_window", "24h")).removesuffix("h"))
        now = self.now()
        slow = {"slow": SLOW, "expired": 2 * hours * 3600 / max(self._manner.seconds, 1e-6)}
        batch = RunningBatch(
            id=f"batch_{self._next():06d}",
            input_file_id=stored_file.id,
            window=str(body.get("completion_window")),
            created_at=now,
            expires_at=now + hours * 3600,
            seconds=self._manner.seconds * slow.get(fate, 1.0),
            fate=fate,
            total=lines,
        )
        self._batches[batch.id] = batch
        task = asyncio.create_task(self._do(batch, stored_file.path))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if self._draws("lost_reply"):
            return _drop(request)
        return web.json_response(batch.as_dict())

    async def _list_batches(self, request: web.Request) -> web.Response:
        rows = [batch.as_dict() for batch in self._batches.values()]
        return self._listed(request, list(reversed(rows)))

    async def _batch(self, request: web.Request) -> web.Response:
        batch = self._batches.get(request.match_info["id"])
        if batch is None:
            return _error(404, "no such batch")
        row = batch.as_dict()
        if self._manner.output_addresses:
            for name in ("output_file_id", "error_file_id"):
                if row[name]:
                    row[name] = f"{request.scheme}://{request.host}/v1/files/{row[name]}/content"
        return web.json_response(row)

    async def _cancel(self, request: web.Request) -> web.Response:
        batch = self._batches.get(request.match_info["id"])
        if batch is None:
            return _error(404, "no such batch")
        if batch.status in ("validating", "in_progress"):
            batch.status = "cancelling"
        return web.json_response(batch.as_dict())

    # Doing a batch's lines

    async def _do(self, batch: RunningBatch, requests: Path) -> None:
        """Answer the lines one after the other, as time goes."""
        if batch.fate == "failed":
            await self._until(batch.created_at + 0.05 * batch.seconds)
            batch.errors = "failed on purpose, as --batch-faults asked"
            batch.status = "failed"
            return
        answers: list[bytes] = []
        errors: list[bytes] = []
        with requests.open("rb") as file:
            for number, text in enumerate(file):
                due = batch.created_at + batch.seconds * (number + 1) / max(batch.total, 1)
                if not await self._may_go_on(batch, due, number):
                    break
                batch.status = "in_progress"
                self._answer_line(batch, orjson.loads(text), answers, errors)
            left_out = [orjson.loads(text) for text in file] if batch.fate != "vanished" else []
        if batch.fate == "vanished":
            self._batches.pop(batch.id, None)
            return
        self._end(batch, answers, errors, left_out)

    async def _may_go_on(self, batch: RunningBatch, due: float, number: int) -> bool:
        """Wait until a line is due; False: none is done any more."""
        await self._until(min(due, batch.expires_at))
        if number % LINES_A_SLICE == 0:
            await asyncio.sleep(0)
        is_gone = batch.fate == "vanished" and number > batch.total // 2
        return due <= batch.expires_at and batch.status != "cancelling" and not is_gone

    async def _until(self, moment: float) -> None:
        while self.now() < moment:
            seconds = (moment - self.now()) / self._manner.clock_speed
            await asyncio.sleep(min(max(seconds, 0.001), SLICE_SECONDS))

    def _answer_line(
        self,
        batch: RunningBatch,
        row: dict[str, Any],
        answers: list[bytes],
        errors: list[bytes],
    ) -> None:
        is_spoiled = batch.fate == "partial" and self._rng.random() < 0.2
        status, body = self._answer(row["body"])
        if is_spoiled:
            status = 500
            body = {"error": {"message": "failed on purpose, as --batch-faults asked"}}
        reply = {
            "id": f"batch_req_{self._next():08d}",
            "custom_id": row["custom_id"],
            "response": {"status_code": status, "request_id": "", "body": body},
            "error": None,
        }
        if status == 200:
            self._paid[str(row["custom_id"]).rpartition(":")[0]] += 1
            batch.completed += 1
            answers.append(orjson.dumps(reply))
        else:
            batch.failed += 1
            errors.append(orjson.dumps(reply))

    def _end(
        self,
        batch: RunningBatch,
        answers: list[bytes],
        errors: list[bytes],
        left_out: list[dict[str, Any]],
    ) -> None:
        is_cancelled = batch.status == "cancelling"
        ending = "cancelled" if is_cancelled else "expired" if left_out else "completed"
        for row in left_out:
            error = {"code": f"batch_{ending}", "message": "This line was not done."}
            reply = {"custom_id": row["custom_id"], "response": None, "error": error}
            errors.append(orjson.dumps(reply))
        if batch.fate == "scrambled":
            answers = spoiled(answers, self._rng)
        for name, lines in (("output", answers), ("error", errors)):
            if lines:
                path = Path(self._folder.name) / f"{name}-{batch.id}"
                path.write_bytes(b"\n".join(lines) + b"\n")
                stored_file = self._store(path, path.name, f"batch_{name}")
                setattr(batch, f"{name}_file_id", stored_file.id)
        batch.status = ending

    def _listed(self, request: web.Request, rows: list[dict[str, Any]]) -> web.Response:
        if not self._manner.offered or not self._manner.lists:
            return _error(405 if self._manner.offered else 404, "nothing is listed here")
        after = request.query.get("after", "")
        ids = [row["id"] for row in rows]
        start = ids.index(after) + 1 if after in ids else 0
        limit = int(request.query.get("limit", PAGE))
        page = rows[start : start + limit]
        more = start + limit < len(rows)
        return web.json_response({"object": "list", "data": page, "has_more": more})

    def _draws(self, kind: str) -> bool:
        is_drawn = self._rng.random() < self._manner.faults.rates.get(kind, 0.0)
        if is_drawn:
            self._fates[kind] += 1
        return is_drawn

    def _next(self) -> int:
        self._number += 1
        return self._number


def _error(status: int, message: str) -> web.Response:
    error = {"error": {"message": message, "type": "rehearsal_error", "code": status}}
    return web.json_response(error, status=status)


def _drop(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()
