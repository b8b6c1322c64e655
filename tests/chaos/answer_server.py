"""The server that the evaluation's stories ask: answers follow from model and problem, calls are
counted, and it can be down, slow or broken for a while.
"""

import json
import random
import re
import threading
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PROBLEM = re.compile(r"Problem (\d+): what is")
Fault = Callable[[random.Random], str]
PAGE = b"<html>down</html>"
DEEP = b'{"choices":' + b"[" * 100_000
SURROGATE = b'{"error": {"message": "half \\ud800"}}'
FAULTS = {  # (status, body) in place of an answer; None closes the connection
    "none": (200, b""),
    "closed": (0, b""),
    "page_500": (500, PAGE),
    "busy_503": (503, b'{"error": {"message": "busy"}}'),
    "too_many": (429, b"{}"),
    "page_200": (200, PAGE),
    "error_200": (200, b'{"error": {"message": "busy", "code": 503}}'),
    "deep": (200, DEEP),
    "surrogate": (500, SURROGATE),
    "half": (200, b'{"choices": [{"index": 0, "mess'),
    "no_choices": (200, b'{"choices": []}'),
}


class AnswerServer:
    """An OpenAI-compatible server on a port that stays the same while it is down."""

    def __init__(self, seed: str, seconds: float = 0.004) -> None:
        self.asked: Counter[tuple[str, int]] = Counter()
        self.answered: Counter[tuple[str, int]] = Counter()
        self.fault: Fault = lambda rng: "none"
        self.last_answer = 0  # after so many it is dead; 0: never
        self._rng = random.Random(seed)
        self._pause = threading.Event()
        self._seconds = seconds
        self._lock = threading.Lock()
        self._is_up = True
        self._open(0)

    @property
    def count(self) -> int:
        """Answers that were sent whole."""
        return sum(self.answered.values())

    def _open(self, port: int) -> None:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                outer._serve(self)

            def log_message(self, *_: Any) -> None: ...

        self._server = _Server(("127.0.0.1", port), Handler)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), daemon=True
        )
        self._thread.start()

    def listen(self, on: bool) -> None:
        """Close the port, or open it again."""
        self._is_up = on  # also for who is connected
        if on:
            self.last_answer = 0
            self._open(self.port)
        else:
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()

    def close(self) -> None:
        self.listen(False)

    def _lives(self) -> bool:
        return self._is_up and not 0 < self.last_answer <= self.count

    def _serve(self, handler: BaseHTTPRequestHandler) -> None:
        try:
            body = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
            match = PROBLEM.search(body["messages"][-1]["content"])
            question = (body["model"], int(match[1]) if match else -1)
            with self._lock:
                self.asked[question] += 1
                fault = self.fault(self._rng) if self._lives() else "closed"
            self._pause.wait(self._seconds)
            if fault == "closed":
                handler.close_connection = True
                return
            status, data = FAULTS[fault]
            _send(handler, status, data or json.dumps(completion(*question)).encode())
        except OSError:
            handler.close_connection = True
            return
        if fault == "none":
            with self._lock:
                self.answered[question] += 1


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients are killed in mid-sentence here."""


def _send(handler: BaseHTTPRequestHandler, status: int, data: bytes) -> None:
    handler.send_response(status)
    if status == 429:
        handler.send_header("Retry-After", "0")
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(data)))
    handler.end_headers()
    handler.wfile.write(data)
    handler.wfile.flush()


def completion(model: str, problem: int) -> dict[str, Any]:
    """The base is right on every second problem, any other model on two of three; otherwise it has
    no answer, which no grading process has to be started for.
    """
    right = problem % (2 if model == "base" else 3) > 0
    text = f"so \\boxed{{{problem}}}" if right else "I cannot say."
    message = {"role": "assistant", "content": text, "reasoning_content": "hm"}
    return {
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18},
    }
