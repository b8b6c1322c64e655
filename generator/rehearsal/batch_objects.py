"""Files and batches as the rehearsal teacher keeps them, and as OpenAI describes them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import BodyPartReader, web


@dataclass(slots=True)
class StoredFile:
    """A file, uploaded or made here."""

    id: str
    name: str
    purpose: str
    path: Path
    created_at: int

    def as_dict(self) -> dict[str, Any]:
        """As OpenAI describes it."""
        return {
            "id": self.id,
            "object": "file",
            "bytes": self.path.stat().st_size,
            "created_at": self.created_at,
            "filename": self.name,
            "purpose": self.purpose,
            "status": "processed",
        }


@dataclass(slots=True)
class RunningBatch:
    """A batch. Times are this server's own."""

    id: str
    input_file_id: str
    window: str
    created_at: float
    expires_at: float
    seconds: float
    fate: str
    total: int
    status: str = "validating"
    completed: int = 0
    failed: int = 0
    output_file_id: str = ""
    error_file_id: str = ""
    errors: str = ""

    def as_dict(self) -> dict[str, Any]:
        """As OpenAI describes it."""
        errors = {"object": "list", "data": [{"code": "invalid", "message": self.errors}]}
        return {
            "id": self.id,
            "object": "batch",
            "endpoint": "/v1/chat/completions",
            "errors": errors if self.errors else None,
            "input_file_id": self.input_file_id,
            "completion_window": self.window,
            "status": self.status,
            "output_file_id": self.output_file_id or None,
            "error_file_id": self.error_file_id or None,
            "created_at": int(self.created_at),
            "expires_at": int(self.expires_at),
            "request_counts": {
                "total": self.total,
                "completed": self.completed,
                "failed": self.failed,
            },
            "metadata": None,
        }


async def received(request: web.Request, path: Path) -> tuple[str, str]:
    """Write the uploaded file to `path`, piece by piece; (its name, its purpose)."""
    name = ""
    purpose = ""
    reader = await request.multipart()
    async for part in reader:
        if not isinstance(part, BodyPartReader):
            continue
        if part.name == "purpose":
            purpose = await part.text()
        elif part.name == "file":
            name = part.filename or ""
            with path.open("wb") as file:
                while True:
                    piece = await part.read_chunk(1 << 16)
                    if not piece:
                        break
                    file.write(piece)
    return name, purpose


def count_lines(path: Path) -> int:
    """Lines of a file of requests."""
    with path.open("rb") as file:
        return sum(1 for _ in file)
