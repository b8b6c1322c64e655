"""The `transformers` engine on several cards: one process a card answers, this one keeps.

Only the owner writes the cache of answers, as they come over the pipes; so a worker that is killed
loses what it had not finished, which the others take over. Workers end with their owner.
"""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import IO, Any

import torch

from evaluation.config import EngineConfig, GenerationConfig
from evaluation.engines.dealing import Dealer
from evaluation.engines.prompt_template import PromptTemplate
from evaluation.engines.protocol import Deliver
from evaluation.engines.transformers_engine import TransformersEngine
from evaluation.records import ModelAnswer, Question, SampleRequest
from shared.child_environment import child_environment
from shared.errors import InputError, Stopped

_COMMAND = [sys.executable, "-m", "evaluation.engines.worker"]
_VARIABLES = ("CUDA_", "NVIDIA_", "PYTORCH_", "TORCH", "TRITON_", "HF_", "TRANSFORMERS_", "XDG_")
_SECRETS = frozenset({"HF_TOKEN"})

Json = dict[str, Any]


class WorkersEnded(Stopped):
    """All processes that answered have ended; what they had answered is kept."""


class ProcessesEngine:
    """Answers with one model in `engine.processes` processes. They start when the first answer is
    wanted.
    """

    shows_opening = True

    def __init__(
        self,
        name: str,
        engine: EngineConfig,
        generation: GenerationConfig,
        template: PromptTemplate,
        say: Callable[[str], None],
    ) -> None:
        self._engine = engine
        self._generation = generation
        self._template = template
        self._say = say
        # Renders prompts and knows the model; it never loads weights.
        self._local = TransformersEngine(name, engine, generation, template)
        self._devices = worker_devices(engine, torch.cuda.device_count())
        self._workers: list[_Worker] = []

    def identity(self) -> dict[str, Any]:
        """What decides the model's answers: the same in one process or several."""
        return self._local.identity()

    def prompt(self, question: Question) -> str:
        """The text that the model sees."""
        return self._local.prompt(question)

    def answer(
        self, requests: list[SampleRequest], deliver: Deliver, tick: Callable[[int], None]
    ) -> None:
        """Answer all `requests` in whatever process is ready. Errors: `InputError`,
        `WorkersEnded`, whatever `deliver` raises.
        """
        self._start_workers()
        dealer = Dealer(requests, len(self._workers))
        with ThreadPoolExecutor(len(self._workers), "worker") as threads:
            try:
                futures = [
                    threads.submit(self._serve, worker, dealer, deliver, tick)
                    for worker in self._workers
                ]
                wait(futures, return_when=FIRST_EXCEPTION)
            finally:
                # After an error, or a signal: threads that wait for a reply must end as well.
                if dealer.open_count:
                    dealer.stop()
                    self.close()
        for future in futures:
            future.result()
        if dealer.open_count:
            raise WorkersEnded(
                f"all {len(self._devices)} processes that answer have ended"
                f" ({self._workers[-1].ending()}): the answers so far are kept; see that memory"
                " suffices (engine.batch), then run again to go on"
            )

    def close(self) -> None:
        """End the processes."""
        for worker in self._workers:
            worker.kill()

    def _start_workers(self) -> None:
        """A process for each device; one that has ended is started again."""
        living = {worker.device: worker for worker in self._workers if worker.is_alive()}
        for worker in self._workers:
            if worker.device not in living:
                worker.kill()
        self._workers = [living.get(device) or self._started(device) for device in self._devices]

    def _started(self, device: str) -> "_Worker":
        engine = self._engine.model_copy(update={"device": device.partition("#")[0]})
        return _Worker(
            device,
            {
                "model": str(self._local.folder),
                "engine": engine.model_dump(mode="json"),
                "generation": self._generation.model_dump(mode="json"),
                "today": self._template.today.isoformat(),
                "template": self._template.template,
            },
            threads=max(1, (os.cpu_count() or 1) // len(self._devices)),
        )

    def _serve(
        self, worker: "_Worker", dealer: Dealer, deliver: Deliver, tick: Callable[[int], None]
    ) -> None:
        """One worker's part after part, until none is left or it ends."""
        part = dealer.take(worker)
        while part:
            if not _finished(worker, part, dealer, deliver, tick):
                count = dealer.give_back(worker)
                if count and not dealer.is_over:
                    self._say(
                        f"the process on {worker.device} ended ({worker.ending()}): its {count}"
                        " open answers go to the others"
                    )
                return
            part = dealer.take(worker)


def _finished(
    worker: "_Worker",
    part: list[SampleRequest],
    dealer: Dealer,
    deliver: Deliver,
    tick: Callable[[int], None],
) -> bool:
    """Whether a worker has answered its whole part; it has not where it ended before.

    Errors: `InputError` where it refuses, whatever `deliver` raises.
    """
    is_running = worker.send([_row(request) for request in part])
    while is_running:
        reply = worker.reply()
        if reply is None:
            break
        if "refused" in reply:
            raise InputError(reply["refused"])
        if "done" in reply:
            return True
        if "tokens" in reply:
            tick(reply["tokens"])
        else:
            request = part[reply["place"]]
            deliver(request, ModelAnswer(**reply["answer"]))
            dealer.answered(worker, request)
    return False


class _Worker:
    """One process and its pipes. Used by one thread, but for `kill`."""

    def __init__(self, device: str, task: Json, threads: int) -> None:
        self.device = device
        variables = {name for name in os.environ if name.startswith(_VARIABLES)} - _SECRETS
        environment = child_environment(variables)
        environment.setdefault("OMP_NUM_THREADS", str(threads))
        self._process = subprocess.Popen(
            _COMMAND,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            start_new_session=True,  # Ctrl-C on a terminal is for the owner
        )
        self.send(task)

    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    def send(self, message: Any) -> bool:
        """Write one line to it; whether it was there to read it."""
        try:
            pipe = _pipe(self._process.stdin)
            pipe.write(json.dumps(message).encode() + b"\n")
            pipe.flush()
        except (OSError, ValueError):
            return False
        return True

    def reply(self) -> Json | None:
        """Its next line; None when it has ended."""
        try:
            line = _pipe(self._process.stdout).readline()
            reply: Json | None = json.loads(line) if line.endswith(b"\n") else None
        except (OSError, ValueError):
            return None
        return reply

    def ending(self) -> str:
        """How it ended."""
        code = self._process.wait()
        return f"signal {-code}" if code < 0 else f"exit code {code}"

    def kill(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):  # what it has not read is for nobody
                _pipe(pipe).close()


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None
    return pipe


def _row(request: SampleRequest) -> Json:
    question = request.question
    return {"id": question.id, "messages": question.messages, "sample": request.sample}


def worker_devices(engine: EngineConfig, card_count: int) -> list[str]:
    """The device of each process: a card of its own, or the processor ("cpu#0", "cpu#1").

    Errors: `InputError` where there are fewer cards than processes.
    """
    count = engine.processes
    if engine.device == "cpu" or (engine.device == "auto" and not card_count):
        return [f"cpu#{number}" for number in range(count)]
    if engine.device not in ("auto", "cuda"):
        raise InputError(
            f'engine.device = "{engine.device}" names one device, engine.processes = {count} several:'
            " leave the device out"
        )
    if count > card_count:
        raise InputError(
            f"engine.processes = {count}: there are {card_count} cards here: one process a card"
        )
    return [f"cuda:{number}" for number in range(count)]
