"""The rehearsal teacher's batches, as OpenAI's, with faults and a clock that can be hurried.

POST /v1/batches, GET /v1/batches, GET /v1/batches/{id}, POST /v1/batches/{id}/cancel
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web

from generator.rehearsal.batch_faults import spoiled
from generator.rehearsal.batch_files import (
    BatchManner,
    FileDesk,
    drop_connection,
    error_reply,
)
from generator.rehearsal.batch_objects import RunningBatch, count_lines

AnswerLine = Callable[[dict[str, Any]], tuple[int, dict[str, Any]]]
SLICE_SECONDS = 0.02  # between two looks whether lines are due
LINES_A_SLICE = 8
SLOW = 4.0  # times as long


class BatchDesk:
    """Keeps batches beside their files, does the batches' lines, and counts what would be paid."""

    def __init__(self, manner: BatchManner, seed: int, answer: AnswerLine) -> None:
        self._files = FileDesk(manner, seed)
        self._answer = answer
        self._batches: dict[str, RunningBatch] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._paid: Counter[str] = Counter()  # answered lines by the sample that they name
        self._files_sent_twice = 0

    def add_routes(self, app: web.Application) -> None:
        """OpenAI's paths."""
        self._files.add_routes(app)
        add = app.router
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
            "fates": dict(self._files.fates),
        }

    # Batches

    async def _create(self, request: web.Request) -> web.StreamResponse:
        refusal = self._files.refusal(request)
        if refusal is not None:
            return refusal
        body = orjson.loads(await request.read())
        stored_file = self._files.find(str(body.get("input_file_id")))
        if stored_file is None:
            return error_reply(400, "input_file_id: no such file")
        lines = count_lines(stored_file.path)
        if self._files.manner.lines_max and lines > self._files.manner.lines_max:
            return error_reply(
                400, f"{lines} lines: a file has at most {self._files.manner.lines_max}"
            )
        # A batch that has vanished is known to nobody: its file may well come again.
        known_files = {batch.input_file_id for batch in self._batches.values()}
        if stored_file.id in known_files:
            self._files_sent_twice += 1
        fate = self._files.manner.faults.draw(self._files.rng)
        self._files.fates[fate or "good"] += 1
        hours = float(str(body.get("completion_window", "24h")).removesuffix("h"))
        now = self._files.now()
        slow = {"slow": SLOW, "expired": 2 * hours * 3600 / max(self._files.manner.seconds, 1e-6)}
        batch = RunningBatch(
            id=f"batch_{self._files.next_number():06d}",
            input_file_id=stored_file.id,
            window=str(body.get("completion_window")),
            created_at=now,
            expires_at=now + hours * 3600,
            seconds=self._files.manner.seconds * slow.get(fate, 1.0),
            fate=fate,
            total=lines,
        )
        self._batches[batch.id] = batch
        task = asyncio.create_task(self._do(batch, stored_file.path))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if self._files.draws("lost_reply"):
            return drop_connection(request)
        return web.json_response(batch.as_dict())

    async def _list_batches(self, request: web.Request) -> web.Response:
        rows = [batch.as_dict() for batch in self._batches.values()]
        return self._files.page(request, list(reversed(rows)))

    async def _batch(self, request: web.Request) -> web.Response:
        batch = self._batches.get(request.match_info["id"])
        if batch is None:
            return error_reply(404, "no such batch")
        row = batch.as_dict()
        if self._files.manner.output_addresses:
            for name in ("output_file_id", "error_file_id"):
                if row[name]:
                    row[name] = f"{request.scheme}://{request.host}/v1/files/{row[name]}/content"
        return web.json_response(row)

    async def _cancel(self, request: web.Request) -> web.Response:
        batch = self._batches.get(request.match_info["id"])
        if batch is None:
            return error_reply(404, "no such batch")
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
        while self._files.now() < moment:
            seconds = (moment - self._files.now()) / self._files.manner.clock_speed
            await asyncio.sleep(min(max(seconds, 0.001), SLICE_SECONDS))

    def _answer_line(
        self,
        batch: RunningBatch,
        row: dict[str, Any],
        answers: list[bytes],
        errors: list[bytes],
    ) -> None:
        is_spoiled = batch.fate == "partial" and self._files.rng.random() < 0.2
        status, body = self._answer(row["body"])
        if is_spoiled:
            status = 500
            body = {"error": {"message": "failed on purpose, as --batch-faults asked"}}
        reply = {
            "id": f"batch_req_{self._files.next_number():08d}",
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
            answers = spoiled(answers, self._files.rng)
        for name, lines in (("output", answers), ("error", errors)):
            if lines:
                path = self._files.folder / f"{name}-{batch.id}"
                path.write_bytes(b"\n".join(lines) + b"\n")
                stored_file = self._files.store(path, path.name, f"batch_{name}")
                setattr(batch, f"{name}_file_id", stored_file.id)
        batch.status = ending
