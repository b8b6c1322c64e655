"""Real servers and real (tiny) models for the evaluation's tests."""

import json
import threading
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.browser_page import chromium, page  # noqa: F401
from tests.preloaded_programs import preload

# Imported once, before the tests, which treat warnings as errors: lighteval's own are none of ours.
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import evaluation.lighteval.tasks  # noqa: F401

preload(__name__)  # lighteval above all, as it stands here

Reply = dict[str, Any]
Script = Callable[[str, str, int], Reply]


class Endpoint:
    """An OpenAI-compatible server that answers from a script: `script(problem, model, call number)
    -> reply`.

    A reply has `text` (and perhaps `reasoning`), and may have `status`, `headers`, `finish`,
    `tokens`, `seconds` to wait and `drop`: the connection is closed without a reply.
    """

    def __init__(self, script: Script) -> None:
        self.script = script
        self.refuse: Callable[[dict[str, Any]], Reply | None] = lambda body: (
            None
        )  # asked before the script
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.asked: Counter[tuple[str, str]] = (
            Counter()
        )  # by model and problem, when a call comes in
        self.answered: Counter[tuple[str, str]] = Counter()  # when its reply has been sent whole
        self._lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                outer._serve(self)

            def log_message(self, *_: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.base_url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _serve(self, handler: BaseHTTPRequestHandler) -> None:
        body = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
        problem = body["messages"][-1]["content"].split("\nPlease reason step by step")[0]
        with self._lock:
            self.bodies.append(body)
            self.headers.append(dict(handler.headers))
            self.asked[body["model"], problem] += 1
            number = self.asked[body["model"], problem]
        reply = self.refuse(body) or self.script(problem, body["model"], number)
        if reply.get("seconds"):
            threading.Event().wait(reply["seconds"])
        if reply.get("drop"):
            handler.close_connection = True
            return
        data = (
            json.dumps(self._completion(reply)).encode()
            if "status" not in reply
            else reply.get("text", "").encode()
        )
        try:
            handler.send_response(reply.get("status", 200))
            for name, value in reply.get("headers", {}).items():
                handler.send_header(name, value)
            handler.send_header("Content-Length", str(len(data)))
            handler.end_headers()
            handler.wfile.write(data)
            handler.wfile.flush()
        except (BrokenPipeError, ConnectionResetError):
            handler.close_connection = True
            return
        with self._lock:
            self.answered[body["model"], problem] += 1

    @staticmethod
    def _completion(reply: Reply) -> dict[str, Any]:
        message = {"role": "assistant", "content": reply["text"]}
        if "reasoning" in reply:
            message["reasoning_content"] = reply["reasoning"]
        tokens = reply.get("tokens", 7)
        return {
            "id": "x",
            "object": "chat.completion",
            "model": "scripted",
            "choices": [
                {"index": 0, "message": message, "finish_reason": reply.get("finish", "stop")}
            ],
            "usage": {
                "prompt_tokens": 11,
                "completion_tokens": tokens,
                "total_tokens": 11 + tokens,
            },
        }


@pytest.fixture
def serve() -> Iterator[Callable[[Script], Endpoint]]:
    """Starts scripted endpoints and stops them after the test."""
    endpoints: list[Endpoint] = []

    def start(script: Script) -> Endpoint:
        endpoints.append(Endpoint(script))
        return endpoints[-1]

    yield start
    for endpoint in endpoints:
        endpoint.close()


def write_config(
    path: Path, endpoint: Endpoint | None, models: list[str], benchmark: str, **generation: Any
) -> Path:
    """evaluate.toml beside `path`'s folder: endpoint models, or model folders on the CPU."""
    settings = "".join(f"{key} = {json.dumps(value)}\n" for key, value in generation.items())
    engine = (
        f'kind = "endpoint"\nbase_url = "{endpoint.base_url}"\nbatch = 4\n'
        if endpoint
        else 'device = "cpu"\n'
    )
    path.write_text(
        f"out = {json.dumps(str(path.parent / 'out'))}\nmodels = {json.dumps(models)}\n"
        f"benchmarks = [{json.dumps(benchmark)}]\n"
        f"[generation]\n{settings}[engine]\n{engine}"
    )
    return path


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def write_problems(path: Path, count: int, gold: Callable[[int], str] = str) -> Path:
    """A JSONL benchmark: "Problem 7: what is 7?" with gold "7"."""
    rows = [{"problem": f"Problem {i}: what is {i}?", "answer": gold(i)} for i in range(count)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def number_of(problem: str) -> int:
    return int(problem.split(":")[0].removeprefix("Problem "))
