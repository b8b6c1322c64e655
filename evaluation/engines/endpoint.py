"""The `endpoint` engine: an OpenAI-compatible server (vLLM, SGLang, llama.cpp, a provider) answers.

A server that fails is no student that errs. Empty text, refusals and broken connections are asked
again, and when that does not help the run ends with a message; what had come stays in the cache,
and the next run asks for the rest only.
"""

import asyncio
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any

from evaluation.config import EngineConfig, GenerationConfig
from evaluation.engines.protocol import Deliver, EndpointDead
from evaluation.engines.request import RequestFields
from evaluation.engines.servers import Server, next_server
from evaluation.records import ModelAnswer, Question, SampleRequest
from shared.chat_api import ChatClient, Clocks
from shared.chat_api.errors import (
    BadRequest,
    BalanceGone,
    CallError,
    Cut,
    EmptyAnswer,
    FieldRefused,
    KeyRefused,
    Oversized,
    RateLimited,
    ServerFault,
    UnknownModel,
)
from shared.chat_api.request import Request
from shared.errors import InputError, Stopped
from shared.records import Completion, is_cut

_CALLS_PER_SERVER = 32  # in flight, with batch = "auto"
_PATIENCE = 60  # answers 429 in a row before a call gives up
_BUSY_SECONDS = 2.0  # until a server is asked again that says 429 and no more
_SHORTEST_WAIT_SECONDS = 0.1
_LONGEST_WAIT_SECONDS = 60.0
_CONNECT_SECONDS = 10.0
KEY_ENV = "OPENAI_API_KEY"
# Asked again, these would be refused again: the user must change something.
_USERS_TO_MEND = (BadRequest, UnknownModel, KeyRefused, BalanceGone, Oversized)


class EndpointEngine:
    """Asks one model at one server or several, `batch` calls in flight on all of them together,
    each call at the server with the least.
    """

    shows_opening = False  # a server sends what the model said, not what the template had begun

    def __init__(
        self,
        name: str,
        engine: EngineConfig,
        generation: GenerationConfig,
        say: Callable[[str], None],
    ) -> None:
        self._name = name
        self._engine = engine
        self._max_new_tokens = generation.max_new_tokens
        self._say = say
        api_key = os.environ.get(KEY_ENV, "").strip()
        if not api_key.isprintable():
            raise InputError(f"{KEY_ENV}: holds characters that no key has: copy it again")
        # One limit for a whole call: a server's queue may well be longer than any gap in a stream.
        clocks = Clocks(_CONNECT_SECONDS, first_token=0, stall=0, total=engine.timeout_seconds)
        self._servers = [
            Server(
                url,
                ChatClient(url, api_key, clocks, as_generated=True),
                RequestFields(name, generation),
            )
            for url in engine.base_urls
        ]

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
        """The messages as JSON."""
        return json.dumps(self._servers[0].fields.messages(question), ensure_ascii=False)

    def answer(
        self, wanted: list[SampleRequest], deliver: Deliver, tick: Callable[[int], None]
    ) -> None:
        """As `Engine.answer`, as many requests at once as the servers take."""
        asyncio.run(self._answer(wanted, deliver, tick))

    def close(self) -> None:
        """Nothing is held between two calls of `answer`."""
        pass

    async def _answer(
        self, wanted: list[SampleRequest], deliver: Deliver, tick: Callable[[int], None]
    ) -> None:
        asyncio.get_running_loop().set_exception_handler(_tell_unless_stopped)
        batch = self._engine.batch
        calls = batch if isinstance(batch, int) else _CALLS_PER_SERVER * len(self._servers)
        queue = iter(wanted)
        async with AsyncExitStack() as stack:
            for server in self._servers:
                await stack.enter_async_context(server.client)
            try:
                async with asyncio.TaskGroup() as workers:
                    for _ in range(min(calls, len(wanted))):
                        workers.create_task(self._work(queue, deliver, tick))
            except ExceptionGroup as group:
                raise _first_cause(group) from None

    async def _work(
        self, queue: Iterator[SampleRequest], deliver: Deliver, tick: Callable[[int], None]
    ) -> None:
        """Ask what the queue still holds: one of the calls in flight."""
        for sample in queue:
            answer = await self._ask(sample)
            deliver(sample, answer)
            tick(answer.completion_tokens)

    async def _ask(self, sample: SampleRequest) -> ModelAnswer:
        """Ask until an answer comes. Errors: `EndpointDead`, `InputError`."""
        failures = 0
        refusals = 0
        failed_servers: set[Server] = set()  # since the last wait
        while True:
            server = next_server(self._servers, time.monotonic(), failed_servers)
            request = server.fields.request(sample)
            try:
                with server.call():
                    completion = await server.client.call(request)
                answer = self._answer_of(completion, server, request)
                server.answered()
                return answer
            except FieldRefused:
                continue  # the client leaves it out from now on
            except RateLimited as error:
                refusals += 1
                if refusals >= _PATIENCE:
                    raise EndpointDead(
                        f"{server.base_url}: 429 for {refusals} calls in a row: lower engine.batch"
                    ) from None
                await self._wait_for_room(server, _wait_seconds(error))
            except CallError as error:
                if server.fields.give_way(error, request):
                    continue  # each time with fewer fields
                if isinstance(error, _USERS_TO_MEND):
                    raise self._input_error(error, server) from None
                failures += 1
                failed_servers.add(server)
                if not isinstance(error, EmptyAnswer):  # which may be the question's fault
                    server.failed(time.monotonic())
                if failures >= self._engine.attempts * len(self._servers):
                    raise _dead(error, server, failures) from None
                if len(failed_servers) == len(self._servers):  # each of them has failed once more
                    failed_servers.clear()
                    rounds = failures // len(self._servers)
                    await asyncio.sleep(min(0.5 * 2**rounds, _LONGEST_WAIT_SECONDS))

    async def _wait_for_room(self, busy_server: Server, seconds: float) -> None:
        """Let a busy server rest; wait where no other is free meanwhile."""
        now = time.monotonic()
        busy_server.rest(now, seconds)
        if not any(server.is_free(now) for server in self._servers):
            await asyncio.sleep(seconds)

    def _answer_of(self, completion: Completion, server: Server, request: Request) -> ModelAnswer:
        """What the server answered. Errors: `EmptyAnswer`, `InputError`."""
        if not completion.response.strip():  # a limit or a filter came before the first word
            raise EmptyAnswer(f"finish_reason {completion.finish_reason!r}", status=200)
        self._check_length(completion, server)
        news = server.fields.accept(request)
        if news:
            self._say(f"{server.base_url}: {news}")
        return ModelAnswer(
            completion.response,
            completion.finish_reason,
            completion.usage.prompt_tokens,
            completion.usage.completion_tokens,
            completion.total_seconds,
            refused_fields=server.fields.without(request),
        )

    def _check_length(self, completion: Completion, server: Server) -> None:
        """The limit is what the user said: neither ignored by the server nor undercut by a
        smaller one of its own.
        """
        count = completion.usage.completion_tokens
        limit = self._max_new_tokens
        if completion.usage.estimated:
            return
        if count > limit:
            raise InputError(
                f"{server.base_url}: an answer of {count} tokens where max_new_tokens = {limit}:"
                " the server ignores the limit"
            )
        if is_cut(completion.finish_reason) and 0 < count < limit:
            raise InputError(
                f"{server.base_url}: the server cut an answer at {count} tokens where"
                f" max_new_tokens = {limit}: give it a longer context (vLLM: --max-model-len) or"
                " lower generation.max_new_tokens"
            )

    def _input_error(self, error: CallError, server: Server) -> InputError:
        if isinstance(error, Oversized):
            return InputError(
                f"{server.base_url}: {error.message}: the server ignores max_new_tokens ="
                f" {self._max_new_tokens}"
            )
        hint = f": set {KEY_ENV}" if isinstance(error, KeyRefused) else ""
        message = error.message.removeprefix(f"HTTP {error.status}: ")
        return InputError(
            f"{server.base_url}: status {error.status} for model {self._name!r}{hint}: {message}"
            f"{server.fields.cause(error)}"
        )


def _dead(error: CallError, server: Server, failures: int) -> EndpointDead:
    return EndpointDead(
        f"{server.base_url}: no answer after {failures} calls ({_reason(error)}): see that the"
        " server is up and serves this model; answers so far are kept, run again to go on"
    )


def _reason(error: CallError) -> str:
    """Why a call brought no answer."""
    if isinstance(error, EmptyAnswer):
        return f"empty text: {error.message}"
    if isinstance(error, Cut | ServerFault) and error.status == 200:
        return f"not a chat completion: {error.message}"
    if error.message.startswith("HTTP "):
        return error.message.replace("HTTP", "status", 1)
    return error.message


def _wait_seconds(error: RateLimited) -> float:
    seconds = error.retry_after_seconds
    if seconds is None:
        seconds = _BUSY_SECONDS
    return min(max(seconds, _SHORTEST_WAIT_SECONDS), _LONGEST_WAIT_SECONDS)


def _tell_unless_stopped(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """A signal's KeyboardInterrupt that came inside a task has ended the run, in one line: asyncio
    need not tell of the task as well.
    """
    if not isinstance(context.get("exception"), KeyboardInterrupt):
        loop.default_exception_handler(context)


def _first_cause(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The user's one line where there is one, else the first bug."""
    leaves: list[BaseException] = []
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            leaves.append(_first_cause(error))
        else:
            leaves.append(error)
    return next((leaf for leaf in leaves if isinstance(leaf, Stopped)), leaves[0])
