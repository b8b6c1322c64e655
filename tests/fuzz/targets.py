"""What is fuzzed: a function of bytes each, which raises where a promise is broken."""

import asyncio
import contextlib
import logging
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import orjson
from aiohttp import web

from evaluation.config import EvaluationConfig
from generator.config import GeneratorConfig
from generator.corpus import check
from generator.monitor.server.access import Access
from generator.monitor.server.app import Routes, application
from generator.monitor.server.connections import Connections
from generator.monitor.status import RunStatus
from shared.chat_api import error_body, error_mapping, wire
from shared.chat_api.dialects import Gathering
from shared.chat_api.event_stream import EventSplitter
from shared.chat_api.limits import news
from shared.chat_api.redaction import Redactor
from shared.config import Config, load
from shared.errors import InputError
from shared.grading import FAULT, grade_fast
from shared.records import Completion, Trace, Usage, read_traces
from trainer.config import TrainerConfig

Target = Callable[[bytes], None]

KEY = "sk-0123456789abcdef"
TOKEN = "a token for posts"
SEPARATOR = b"\x00"


def stream(data: bytes) -> None:
    """A teacher's reply: the same text however its bytes are cut, and errors that are data."""
    at = data[0] if data else 0
    body = data[1:]
    whole = _gathered([body])
    cut = _gathered([body[:at], body[at:]])
    assert whole.texts() == cut.texts()
    assert whole.finish_reason == cut.finish_reason
    reasoning, response = whole.texts()
    orjson.dumps([reasoning, response, whole.generated_text(), whole.finish_reason, whole.model])
    usage = whole.counted(100)
    assert min(usage.prompt_tokens, usage.completion_tokens) >= 0
    redactor = Redactor(KEY)
    head, _, tail = body.partition(b"\r\n\r\n")
    fields = (line.partition(b":") for line in head.split(b"\r\n")[:20])
    headers = wire.headers(
        (name.decode("latin-1"), value.decode("utf-8", "surrogateescape").strip())
        for name, _, value in fields
    )
    news(headers, tail)
    error = error_mapping.refusal(400 + at, headers, tail, url="u", model="m", redactor=redactor)
    _is_a_line(error.message)
    if whole.error is not None:
        _is_a_line(redactor.line(error_body.sentence(whole.error)))
        partial = Completion(reasoning, response, "cut", "", Usage(), None, 0.0)
        error_mapping.error_event(whole.error, headers, partial, model="m", redactor=redactor)


def _gathered(blocks: list[bytes]) -> Gathering:
    splitter = EventSplitter()
    gathering = Gathering()
    for block in blocks:
        gathering.take(splitter.feed(block))
    gathering.take(splitter.end())
    return gathering


def _is_a_line(text: str) -> None:
    assert KEY not in text
    text.encode()


def answers(data: bytes) -> None:
    """A response and a gold answer: a verdict, decided in bounded time; no fault of the grader."""
    response, _, rest = data.decode("utf-8", "replace").partition("\0")
    gold, _, problem = rest.partition("\0")
    for text in (response, f"\\boxed{{{response}}}"):
        verdict, request = grade_fast(text, gold, problem)
        assert FAULT not in verdict.reason, verdict.reason
        assert "\n" not in verdict.reason
        orjson.dumps([verdict.reason, verdict.final_answer, request])
    answer = gold.strip()
    if answer and _is_one_box(answer):
        verdict, _ = grade_fast(f"\\boxed{{{answer}}}", answer)
        assert verdict.verdict != "incorrect", verdict.reason


def _is_one_box(answer: str) -> bool:
    """Whether a box around it ends where it ends; no mark in it says that the gold answer comes
    behind, or that all before was thinking.
    """
    braces = re.sub(r"\\.", "", answer, flags=re.DOTALL)  # \{ and \} are no braces of TeX's own
    depths = [braces[:end].count("{") - braces[:end].count("}") for end in range(len(braces) + 1)]
    is_balanced = min(depths) == 0 and depths[-1] == 0
    is_plain = not any(mark in answer for mark in ("####", "box", "answer", "think>", "\0"))
    return is_balanced and is_plain and not answer.endswith("\\") and len(answer) < 200


def toml(data: bytes) -> None:
    """A configuration of any program: taken, or refused in one line."""
    path = _folder() / "x.toml"
    path.write_bytes(data)
    for model in cast(list[type[Config]], [GeneratorConfig, TrainerConfig, EvaluationConfig]):
        with contextlib.suppress(InputError):
            load(model, path, environ={})
        with contextlib.suppress(InputError):
            load(model, path, ["run=r", "corpus=c"], environ={})


def shards(data: bytes) -> None:
    """A sealed shard from the internet: read, or refused with its place; checked without a fall."""
    corpus = _folder() / "corpus"
    (corpus / "traces").mkdir(parents=True, exist_ok=True)
    (corpus / "traces" / "shard-000000.jsonl").write_bytes(data)
    with contextlib.suppress(InputError):
        for trace in read_traces(corpus):
            again = Trace.from_row(orjson.loads(trace.to_line()))
            assert again.to_line() == trace.to_line()
    report = check(corpus)
    assert all(str(corpus) in fault for fault in report.faults)


def server(data: bytes) -> None:
    """Bytes on a connection of the status server: no 5xx, no traceback, nothing done without the
    token.
    """
    asyncio.run(_on_a_connection(data))


class _Controls:
    """A run's controls, which nobody without the token may reach."""

    def pause(self, lane: str = "") -> None:
        raise AssertionError("paused without the token")

    resume = pause

    def drain(self, why: str) -> None:
        raise AssertionError("drained without the token")

    def reload(self) -> list[str]:
        raise AssertionError("reloaded without the token")


class _Wire(asyncio.Transport):
    """A client that has sent everything and reads everything."""

    def __init__(self) -> None:
        super().__init__()
        self.reply = b""
        self.is_closed = False

    def write(self, data: Any) -> None:
        self.reply += bytes(data)

    def close(self) -> None:
        self.is_closed = True

    abort = close

    def is_closing(self) -> bool:
        return self.is_closed

    def pause_reading(self) -> None:
        pass

    resume_reading = pause_reading


async def _on_a_connection(data: bytes) -> None:
    access = Access("127.0.0.1", TOKEN, "TOKEN")
    connections = Connections(lambda: runner.server())
    routes = Routes(_status, list, _Controls())
    app = application(access, connections, routes)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    assert runner.server is not None
    wire_to_client = _Wire()
    handler = runner.server()
    with _told_errors() as errors:
        handler.connection_made(wire_to_client)
        handler.data_received(data)
        for _ in range(20):
            await asyncio.sleep(0)
        handler.connection_lost(None)
        await runner.cleanup()
    # The first reply; a later one cannot be told from a request that a refusal quotes.
    status = wire_to_client.reply[9:10]
    assert status in (b"", b"1", b"2", b"3", b"4"), wire_to_client.reply[:200]
    assert not errors, errors[0]


def _status() -> RunStatus:
    return RunStatus(
        corpus="c",
        phase="running",
        note="",
        started_at="",
        at="",
        elapsed_seconds=1.0,
        total=0,
        done=0,
        kept=0,
        rejected=0,
        verdicts={},
        in_flight=0,
        asking=0,
        grading=0,
        tokens=0,
        tokens_per_second=0.0,
        errors={},
        usd=0.0,
        eta_seconds=None,
        lanes=[],
    )


@contextlib.contextmanager
def _told_errors() -> Iterator[list[str]]:
    """What the server logs as an error of ours."""
    errors: list[str] = []

    class _Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            errors.append(self.format(record))

    log = logging.getLogger("aiohttp.server")
    collector = _Collector(logging.ERROR)
    log.addHandler(collector)
    log.propagate = False
    try:
        yield errors
    finally:
        log.propagate = True
        log.removeHandler(collector)


_folders: list[tempfile.TemporaryDirectory[str]] = []


def _folder() -> Path:
    """One folder for the life of the process."""
    if not _folders:
        _folders.append(tempfile.TemporaryDirectory(prefix="fuzz-"))
    return Path(_folders[0].name)


TARGETS: dict[str, Target] = {
    "stream": stream,
    "answers": answers,
    "toml": toml,
    "shards": shards,
    "server": server,
}
