"""The `endpoint` engine: an OpenAI-compatible server (vLLM, SGLang, llama.cpp, a provider) answers.

A server that fails is no student that errs. Empty text, refusals and broken connections are asked
again, and when that does not help the run ends with a message; what had come stays in the cache,
and the next run asks for the rest only.
"""

import asyncio
import json
import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import aiohttp

from evaluation.config import EngineConfig, GenerationConfig
from evaluation.engines.protocol import Deliver, EndpointDead
from evaluation.engines.request import RequestFields
from evaluation.records import ModelAnswer, Question, SampleRequest
from shared.errors import InputError, Stopped
from shared.records import is_cut
from shared.thinking import THINK_CLOSE, THINK_OPEN, join

_CALLS = 32  # in flight, with batch = "auto"
_PATIENCE = 60  # answers 429 in a row before a call gives up
_LONGEST_WAIT_SECONDS = 60.0
KEY_ENV = "OPENAI_API_KEY"


class _Failed(Exception):
    """A call brought no answer but another might."""


class _Busy(Exception):
    """429: come back after so many seconds."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds


class _Refused(Exception):
    """The server refuses a field that can be left out: the same call again, without it."""


@dataclass(slots=True)
class _Server:
    """One of the addresses that serve the model, and what it is asked."""

    url: str
    fields: RequestFields


class EndpointEngine:
    """Asks one model at one server or several, `batch` calls in flight on all of them together."""

    shows_opening = False  # a server sends what the model said, not what the template had begun

    def __init__(
        self,
        name: str,
        engine: EngineConfig,
        generation: GenerationConfig,
        say: Callable[[str], None],
    ) -> None:
        self._name, self._engine, self._generation, self._say = name, engine, generation, say
        self._servers = [
            _Server(f"{url.rstrip('/')}/chat/completions", RequestFields(name, generation))
            for url in engine.base_urls
        ]
        self._api_key = os.environ.get(KEY_ENV, "").strip()
        if not self._api_key.isprintable():
            raise InputError(f"{KEY_ENV}: holds characters that no key has: copy it again")

    def identity(self) -> dict[str, Any]:
        """A server does not say which weights it serves: address and model name must do
        (`--fresh` asks again).
        """
        return {
            "kind": "endpoint",
            "base_url": self._engine.base_url,
            "model": self._name,
            "sent": self._servers[0].fields.sampling,
        }

    def prompt(self, question: Question) -> str:
        return json.dumps(self._servers[0].fields.messages(question), ensure_ascii=False)

    def answer(
        self, wanted: list[SampleRequest], deliver: Deliver, tick: Callable[[int], None]
    ) -> None:
        asyncio.run(self._answer(wanted, deliver, tick))

    def close(self) -> None:
        pass

    async def _answer(
        self, wanted: list[SampleRequest], deliver: Deliver, tick: Callable[[int], None]
    ) -> None:
        calls = (
            self._engine.batch
            if isinstance(self._engine.batch, int)
            else _CALLS * len(self._servers)
        )
        timeout = aiohttp.ClientTimeout(total=self._engine.timeout_seconds, sock_connect=10)
        headers = {"Authorization": f"Bearer {self._api_key}"} if self._api_key else {}
        connector = aiohttp.TCPConnector(limit=calls)
        async with aiohttp.ClientSession(
            timeout=timeout, headers=headers, connector=connector
        ) as session:
            queue = iter(wanted)
            try:
                async with asyncio.TaskGroup() as workers:
                    for number in range(min(calls, len(wanted))):
                        workers.create_task(self._work(session, number, queue, deliver, tick))
            except ExceptionGroup as group:
                raise _first_cause(group) from None

    async def _work(
        self,
        session: aiohttp.ClientSession,
        number: int,
        queue: Iterator[SampleRequest],
        deliver: Deliver,
        tick: Callable[[int], None],
    ) -> None:
        """Ask what the queue still holds: one of the calls in flight. Each has its server,
        until that one fails.
        """
        servers = deque(self._servers)
        servers.rotate(-number)
        for asked in queue:
            answer = await self._ask(session, servers, asked)
            deliver(asked, answer)
            tick(answer.completion_tokens)

    async def _ask(
        self, session: aiohttp.ClientSession, servers: deque[_Server], asked: SampleRequest
    ) -> ModelAnswer:
        failures = busy = 0
        while True:
            server = servers[0]
            try:
                return await self._call(session, server, asked)
            except _Refused:
                continue  # each time with fewer fields
            except _Busy as full:
                busy += 1
                if busy >= _PATIENCE:
                    raise EndpointDead(
                        f"{server.url}: 429 for {busy} calls in a row: lower engine.batch"
                    ) from None
                await asyncio.sleep(min(full.seconds, _LONGEST_WAIT_SECONDS))
            except (_Failed, aiohttp.ClientError, TimeoutError) as error:
                failures += 1
                servers.rotate(-1)
                why = self._redacted(str(error) or type(error).__name__)
                if failures >= self._engine.attempts * len(servers):
                    raise EndpointDead(
                        f"{server.url}: no answer after {failures} calls ({why}): see that the"
                        " server is up and serves this model; answers so far are kept, run again"
                        " to go on"
                    ) from None
                if failures % len(servers) == 0:  # each of them has failed once more
                    await asyncio.sleep(
                        min(0.5 * 2 ** (failures // len(servers)), _LONGEST_WAIT_SECONDS)
                    )

    async def _call(
        self, session: aiohttp.ClientSession, server: _Server, asked: SampleRequest
    ) -> ModelAnswer:
        began = time.perf_counter()
        body = server.fields.body(asked)
        async with session.post(server.url, json=body) as reply:
            text = await reply.text(errors="replace")
            if reply.status == 429:
                raise _Busy(_retry_after(reply.headers.get("Retry-After"), 2.0))
            if reply.status in (400, 422) and server.fields.give_way(text, body):
                raise _Refused
            if 400 <= reply.status < 500 and reply.status not in (408, 409, 425):
                hint = f": set {KEY_ENV}" if reply.status in (401, 403) else ""
                cause = server.fields.cause(text) if reply.status in (400, 422) else ""
                raise InputError(
                    f"{server.url}: status {reply.status} for model {self._name!r}{hint}:"
                    f" {self._redacted(text)}{cause}"
                )
            if reply.status != 200:
                raise _Failed(f"status {reply.status}: {text}")
        answer = self._read(text, time.perf_counter() - began, server.url)
        if news := server.fields.accept(body):
            self._say(f"{server.url}: {news}")
        return replace(answer, refused_fields=server.fields.without(body))

    def _read(self, text: str, seconds: float, url: str) -> ModelAnswer:
        try:
            reply = json.loads(text)
            choice = reply["choices"][0]
            message, reason = choice["message"], str(choice.get("finish_reason") or "stop")
            reasoning = _text(message.get("reasoning_content") or message.get("reasoning"))
            content = _text(message.get("content"))
            usage = reply.get("usage") or {}
            asked, count = (
                int(usage.get(name) or 0) for name in ("prompt_tokens", "completion_tokens")
            )
        except (ValueError, LookupError, TypeError, AttributeError):
            raise _Failed(f"not a chat completion: {text}") from None
        if not content.strip() and not reasoning.strip():
            raise _Failed("empty text")
        self._check_length(count, reason, url)
        return ModelAnswer(_joined(reasoning, content), reason, asked, count, seconds)

    def _check_length(self, count: int, reason: str, url: str) -> None:
        """The limit is what the user said: neither ignored by the server nor undercut by a
        smaller one of its own.
        """
        limit = self._generation.max_new_tokens
        if count > limit:
            raise InputError(
                f"{url}: an answer of {count} tokens where max_new_tokens = {limit}: the server"
                " ignores the limit"
            )
        if is_cut(reason) and 0 < count < limit:
            raise InputError(
                f"{url}: the server cut an answer at {count} tokens where max_new_tokens = {limit}:"
                " give it a longer context (vLLM: --max-model-len) or lower"
                " generation.max_new_tokens"
            )

    def _redacted(self, text: str) -> str:
        whole = (
            text.replace(self._api_key, "…") if self._api_key else text
        )  # before a cut can leave half a key
        return " ".join(whole.split())[:300]


def _text(value: Any) -> str:
    """A message's text as UTF-8 can hold it: a server may cut in the middle of a surrogate pair."""
    if value is not None and not isinstance(value, str):
        raise TypeError(value)
    return (value or "").encode(errors="replace").decode()


def _joined(reasoning: str, content: str) -> str:
    """One text with thinking tags, whichever dialect it came in. Thinking with nothing after it
    never ended.
    """
    if not reasoning:
        return content
    if THINK_CLOSE in content:
        return content
    repeated = content.strip() == reasoning.strip()  # one thought under both names
    return (
        f"{THINK_OPEN}\n{reasoning}"
        if repeated or not content.strip()
        else join(reasoning, content)
    )


def _retry_after(header: str | None, default: float) -> float:
    try:
        return max(0.1, float(header)) if header else default
    except ValueError:  # the date form
        return default


def _first_cause(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The user's one line where there is one, else the first bug."""
    leaves: list[BaseException] = []
    for error in group.exceptions:
        leaves += [_first_cause(error)] if isinstance(error, BaseExceptionGroup) else [error]
    return next((leaf for leaf in leaves if isinstance(leaf, Stopped)), leaves[0])
