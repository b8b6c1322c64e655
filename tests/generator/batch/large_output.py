"""A server of batches whose answers are as long as asked: `python -m
tests.generator.batch.large_output CHARACTERS`. It keeps nothing but the names of lines.
"""

import asyncio
import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import orjson
from aiohttp import BodyPartReader, web

from tests.generator.process_runs import environment


class Server:
    def __init__(self, characters: int) -> None:
        self._thought = "Let me think about that. " * (characters // 25)
        self._names: list[str] = []
        self._path = Path(tempfile.mkdtemp()) / "upload"
        self.bytes = 0

    def application(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/v1/files", self._upload)
        app.router.add_get("/v1/files/{id}/content", self._content)
        app.router.add_delete("/v1/files/{id}", self._delete)
        app.router.add_post("/v1/batches", self._batch)
        app.router.add_get("/v1/batches/{id}", self._batch)
        return app

    async def _upload(self, request: web.Request) -> web.Response:
        self.bytes = 0
        reader = await request.multipart()
        async for part in reader:
            if isinstance(part, BodyPartReader) and part.name == "file":
                with self._path.open("wb") as file:
                    while piece := await part.read_chunk(1 << 16):
                        self.bytes += file.write(piece)
        with self._path.open("rb") as file:
            for line in file:
                if line.startswith(b"{"):
                    self._names.append(orjson.loads(line)["custom_id"])
        return web.json_response({"id": "file-1", "object": "file", "bytes": self.bytes})

    async def _batch(self, request: web.Request) -> web.Response:
        counts = {"total": len(self._names), "completed": len(self._names), "failed": 0}
        return web.json_response(
            {
                "id": "batch-1",
                "status": "completed",
                "input_file_id": "file-1",
                "output_file_id": "file-2",
                "request_counts": counts,
            }
        )

    async def _content(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for name in self._names or ["none"] * 2000:
            message = {"content": "\\boxed{1}", "reasoning_content": self._thought}
            body = {"choices": [{"message": message, "finish_reason": "stop"}], "model": "m"}
            body["usage"] = {"prompt_tokens": 10, "completion_tokens": len(self._thought) // 5}
            reply = {"custom_id": name, "response": {"status_code": 200, "body": body}}
            await response.write(orjson.dumps(reply) + b"\n")
        await response.write_eof()
        return response

    async def _delete(self, request: web.Request) -> web.Response:
        return web.json_response({"deleted": True})


@contextlib.contextmanager
def large_output(characters: int) -> Iterator[str]:
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.generator.batch.large_output", str(characters)],
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout is not None
        yield server.stdout.readline().strip()
    finally:
        server.kill()
        server.communicate()


async def main() -> None:
    runner = web.AppRunner(Server(int(sys.argv[1])).application(), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}/v1", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
