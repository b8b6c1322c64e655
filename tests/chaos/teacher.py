"""The hostile teacher: an OpenAI-compatible server in a thread of the story.

What a call gets follows from (seed, problem, how often the problem was asked), so that a story
plays again. It counts calls and what it would bill, as the provider does.
"""

import asyncio
import contextlib
import json
import random
import re
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from tests.chaos import teacher_modes as modes
from tests.chaos.teacher_modes import CUT, HEAD, RESET, STALL, Draft

PROBLEM = re.compile(r"Story problem (\d+): what is (\d+) \+ (\d+)")
WAIT_SECONDS = 25.0  # longer than any timeout of the stories' configurations
Choose = Callable[[int, int, random.Random], str]


@dataclass
class Call:
    """One request as the teacher saw it."""

    number: int
    problem: int
    mode: str
    at: float
    thought: str = ""
    answer: str = ""
    whole: bool = False  # all of a right or wrong reply was sent


def problem_line(number: int, more: str = "") -> str:
    """A problem as a line of JSON; its gold is the sum."""
    text = f"Story problem {number}: what is {number + 3} + {7 * number + 1}?{more}"
    return json.dumps({"problem": text, "answer": str(8 * number + 4), "source": "chaos"}) + "\n"


class Teacher:
    """The server. `choose(problem, nth call for it, rng)` gives the mode."""

    def __init__(self, seed: str, key: str, choose: Choose, gap: float = 0.003) -> None:
        self.choose = choose
        self.calls: list[Call] = []
        self.visits: list[str] = []  # to where redirects lead
        self.billed = 0
        self.refusal: bytes | None = None  # sent in place of everything
        self.answer_text = ""  # in place of the answer's number
        self._seed = seed
        self._key = key
        self._gap = gap
        self._asked: Counter[int] = Counter()
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._ready.wait(20)

    @property
    def whole(self) -> int:
        """Replies that were sent whole."""
        return sum(call.whole for call in self.calls)

    def listen(self, on: bool) -> None:
        """Close the port (connections are refused), or open it again."""

        async def change() -> None:
            if on:
                self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
            else:
                self._server.close()

        asyncio.run_coroutine_threadsafe(change(), self._loop).result(10)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.set_exception_handler(lambda *_: None)  # clients are killed in mid-sentence
        self._loop.run_until_complete(self._open())
        self._loop.run_forever()
        self._server.close()
        self._evil.close()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.close()

    async def _open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=512)
        self._evil = await asyncio.start_server(self._visit, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        evil_port = self._evil.sockets[0].getsockname()[1]
        self._evil_url = f"http://127.0.0.1:{evil_port}/v1/chat/completions"
        self._ready.set()

    async def _visit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, TimeoutError):
            data = await asyncio.wait_for(reader.read(65536), 3)
            self.visits.append(data.decode("latin-1"))
        writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"content-length:\s*(\d+)", head, re.I)
                body = await reader.readexactly(int(length[1]) if length else 0)
                if not await self._answer(body, writer):
                    break
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError):
            pass
        finally:
            writer.close()

    async def _answer(self, body: bytes, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; whether the connection may go on."""
        prompt = json.loads(body)["messages"][-1]["content"]
        match = PROBLEM.search(prompt)
        problem = int(match[1]) if match else -1
        gold = int(match[2]) + int(match[3]) if match else 0
        self._asked[problem] += 1
        rng = random.Random(f"{self._seed}:{problem}:{self._asked[problem]}")
        mode = self.choose(problem, self._asked[problem], rng)
        call = Call(len(self.calls), problem, mode, time.time())
        self.calls.append(call)
        if self.refusal is not None:
            writer.write(self.refusal)
            await writer.drain()
            return True
        return await self._reply(call, self._draft(call, gold, rng), writer)

    def _draft(self, call: Call, gold: int, rng: random.Random) -> Draft:
        number = gold + (7 if call.mode == "wrong" else 0)
        words = (" so", " we", " add", "\n", " \\frac{1}{2}", " 好", ".")
        thought = [f"call#{call.number}#", *rng.choices(words, k=rng.randint(4, 24))]
        answer = ["The answer is ", "\\boxed{", self.answer_text or str(number), "}."]
        return Draft(thought, answer, self._key, self._evil_url, rng)

    async def _reply(self, call: Call, draft: Draft, writer: asyncio.StreamWriter) -> bool:
        mode = call.mode
        call.thought = "".join(draft.thought)
        call.answer = "".join(draft.answer)
        if mode in modes.ENDLESS:
            await self._endless(modes.ENDLESS[mode], writer)
            return False
        one_piece = modes.RIGHT_REPLIES.get(mode) or modes.FAULTY_REPLIES.get(mode)
        if one_piece:
            data = one_piece(draft)
            writer.write(data.removesuffix(CUT))
            await writer.drain()
            self._sent(call, draft)
            return not data.endswith(CUT)
        make = modes.FAULTY_STREAMS.get(mode) or modes.RIGHT_STREAMS.get(mode, Draft.events)
        events = make(draft)
        if not await self._stream(events, call, draft, writer):
            return False
        self._sent(call, draft)
        return True

    def _sent(self, call: Call, draft: Draft) -> None:
        call.thought = "".join(draft.thought)
        call.answer = "".join(draft.answer)
        if call.mode not in modes.FAULTS:
            call.whole = True
            self.billed += 1

    async def _stream(
        self, events: list[bytes], call: Call, draft: Draft, writer: asyncio.StreamWriter
    ) -> bool:
        writer.write(HEAD + draft.more_head + b"\r\n")
        gap = self._gap * (8 if call.mode == "slow" else 1)
        for data in events:
            if data == CUT:
                return False
            if data == STALL:
                await asyncio.sleep(WAIT_SECONDS)
                return False
            if data == RESET:
                raw = writer.get_extra_info("socket")
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()
                return False
            for piece in _pieces(data, call.mode, draft.rng):
                writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                if call.mode == "split_events":
                    await asyncio.sleep(0.001)
            await writer.drain()
            await asyncio.sleep(gap)
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        return not writer.transport.is_closing()

    async def _endless(self, data: bytes, writer: asyncio.StreamWriter) -> None:
        deadline = time.monotonic() + WAIT_SECONDS
        if data:
            writer.write(HEAD + b"\r\n")
        while time.monotonic() < deadline and not writer.transport.is_closing():
            if data:
                writer.write(b"%x\r\n%b\r\n" % (len(data), data))
                await writer.drain()
            await asyncio.sleep(0.05)


def _pieces(data: bytes, mode: str, rng: random.Random) -> list[bytes]:
    """How one event is cut into chunks."""
    if mode == "byte_by_byte":
        return [data[i : i + 1] for i in range(len(data))]
    if mode == "split_events":
        place = rng.randrange(1, len(data))
        return [data[:place], data[place:]]
    return [data]
