"""One of several processes that answer with the same model, one a card: `evaluation.engines.processes`
owns it.

The first line of standard input says what it is: {"model", "engine", "generation", "today", "template"}; then
each line is a list of requests. Lines of standard output: {"answer": …} with `place`, the request's
place in that list, {"tokens": 12}, {"done": true}; or {"refused": "…"}, the line of an `InputError`.
"""

import json
import os
import queue
import signal
import sys
import threading
from datetime import datetime
from typing import IO, Any

from evaluation.config import EngineConfig, GenerationConfig
from evaluation.engines.prompt_template import PromptTemplate
from evaluation.engines.transformers_engine import TransformersEngine
from evaluation.records import ModelAnswer, Question, SampleRequest
from shared.errors import InputError

Json = dict[str, Any]


def main() -> None:
    """Answer until standard input ends; then the process ends at once, whatever it is doing."""
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints must not look like a reply
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the owner's to decide
    lines: queue.Queue[bytes] = queue.Queue()
    threading.Thread(target=_read, args=(lines,), daemon=True).start()
    try:
        engine = _engine(json.loads(lines.get()))
        while True:
            _answer(engine, json.loads(lines.get()), replies)
    except InputError as error:
        _send(replies, {"refused": str(error)})


def _read(lines: "queue.Queue[bytes]") -> None:
    for line in sys.stdin.buffer:
        lines.put(line)
    os._exit(0)  # the owner is gone, or done


def _engine(task: Json) -> TransformersEngine:
    template = PromptTemplate(datetime.fromisoformat(task["today"]), task["template"])
    return TransformersEngine(
        task["model"],
        EngineConfig.model_validate(task["engine"]),
        GenerationConfig.model_validate(task["generation"]),
        template,
    )


def _answer(engine: TransformersEngine, rows: list[Json], replies: IO[bytes]) -> None:
    requests = [_request(row) for row in rows]
    places = {request: place for place, request in enumerate(requests)}

    def deliver(request: SampleRequest, answer: ModelAnswer) -> None:
        reply = {
            "place": places[request],
            "answer": {
                "text": answer.text,
                "finish_reason": answer.finish_reason,
                "prompt_tokens": answer.prompt_tokens,
                "completion_tokens": answer.completion_tokens,
                "seconds": answer.seconds,
            },
        }
        _send(replies, reply)

    def tick(tokens: int) -> None:
        _send(replies, {"tokens": tokens})

    engine.answer(requests, deliver, tick)
    _send(replies, {"done": True})


def _request(row: Json) -> SampleRequest:
    question = Question(row["id"], "", "", tuple(row["messages"]))
    return SampleRequest(question, row["sample"])


def _send(replies: IO[bytes], reply: Json) -> None:
    replies.write(json.dumps(reply).encode() + b"\n")
    replies.flush()


if __name__ == "__main__":
    main()
