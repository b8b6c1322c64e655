"""The `transformers` engine: a model folder (or hub name) answers on this machine's CPU or GPU."""

import gc
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig

from evaluation.config import EngineConfig, GenerationConfig
from evaluation.engines.fingerprint import fingerprint, weight_files
from evaluation.engines.prompt_template import PromptTemplate
from evaluation.engines.protocol import Deliver
from evaluation.records import ModelAnswer, Question, SampleRequest
from shared.errors import InputError, Stopped
from shared.hubs.modelscope import WEIGHTS, model_folder, modelscope_name
from shared.inference.context_length import context_length
from shared.inference.continuous_batching import Decoder
from shared.inference.generation import decoder_kind
from shared.inference.hf_generate import HfDecoder
from shared.inference.kv_cache import rows_that_fit
from shared.inference.loading import (
    default_device,
    default_dtype,
    from_pretrained,
    load_model,
    load_tokenizer,
    prompt_token_ids,
)
from shared.inference.requests import Generated, Prompt, Sampling
from shared.inference.sampling import uniforms
from shared.inference.stop_tokens import stop_token_ids

# measured: docs/experiments/evaluation.md
_CPU_ROWS = 32
_GPU_ROWS = 512


class TransformersEngine:
    """Answers with one model. Weights are loaded when the first answer is wanted: a finished
    run loads nothing.
    """

    shows_opening = True

    def __init__(
        self,
        name: str,
        engine: EngineConfig,
        generation: GenerationConfig,
        template: PromptTemplate,
    ) -> None:
        self._name = name
        self._engine = engine
        self._generation = generation
        self.folder = find_model(name)
        weight_files(self.folder)  # before the folder's other files are read
        self._tokenizer = load_tokenizer(self.folder)
        system = None if generation.system == "template" else generation.system
        self._chat = template.renderer(
            self._tokenizer, system, str(self.folder), generation.chat_template_kwargs
        )
        config = from_pretrained(AutoConfig.from_pretrained, self.folder)
        self._config = config.get_text_config()
        self._device = _device(engine.device)
        self._dtype = _dtype(engine.dtype, self._device)
        self._model: Any = None

    def identity(self) -> dict[str, Any]:
        """What decides this model's answers: kept with them, and compared before they are used
        again.
        """
        return {
            "kind": "transformers",
            "weights": fingerprint(self.folder),
            "template": self._chat.digest,
            "precision": str(self._dtype).removeprefix("torch."),
        }

    def prompt(self, question: Question) -> str:
        """The text that the model sees."""
        return self._chat.prompt(question.messages)

    def answer(
        self, requests: list[SampleRequest], deliver: Deliver, tick: Callable[[int], None]
    ) -> None:
        """Answer all `requests`, calling `deliver` as each ends and `tick` with the number of new
        tokens after each step.
        """
        prompts = [self._prompt_of(request) for request in requests]
        self._check_room(max(len(prompt.ids) for prompt in prompts))

        def on_finished(index: int, generated: Generated) -> None:
            deliver(requests[index], self._answer(prompts[index], generated))

        def count(indices: Any, tokens: Any) -> None:
            tick(len(tokens))

        self._decoder(prompts).run(prompts, on_finished, count)

    def close(self) -> None:
        """Let go of the weights, and of what torch keeps of an earlier batch."""
        self._model = None
        if self._device.type == "cuda":
            gc.collect()
            torch.cuda.empty_cache()

    def _answer(self, prompt: Prompt, generated: Generated) -> ModelAnswer:
        completion = self._tokenizer.decode(generated.tokens, skip_special_tokens=False)
        completion_tokens = len(generated.tokens)
        if generated.stopped:
            completion_tokens += 1  # the stop token
        return ModelAnswer(
            self._chat.answer(completion),
            "stop" if generated.stopped else "length",
            len(prompt.ids),
            completion_tokens,
            generated.seconds,
        )

    def _prompt_of(self, request: SampleRequest) -> Prompt:
        token_ids = prompt_token_ids(self._tokenizer, self.prompt(request.question))
        settings = self._generation
        limit = settings.max_new_tokens
        draws = None
        if settings.temperature > 0:
            draws = uniforms(settings.seed, request.question.id, request.sample, limit)
        return Prompt(token_ids, limit, draws)

    def _check_room(self, longest: int) -> None:
        positions = context_length(self._config)
        positions_used = longest + self._generation.max_new_tokens
        if positions and positions_used > positions:
            raise InputError(
                f"generation.max_new_tokens: the longest prompt ({longest} tokens) and"
                f" {self._generation.max_new_tokens} new tokens exceed the {positions} positions of"
                f" {self._name}: set at most {positions - longest}"
            )

    def _decoder(self, prompts: list[Prompt]) -> Decoder | HfDecoder:
        if self._model is None:
            self._model = load_model(self.folder, self._device, self._dtype)
        settings = self._generation
        sampling = Sampling(
            settings.temperature,
            settings.top_p,
            self._stop_ids(),
            settings.top_k,
            settings.min_p,
        )
        longest = max(len(prompt.ids) for prompt in prompts)
        rows = self._rows(longest + settings.max_new_tokens)
        kind = decoder_kind(self._model, prompts[0].ids, longest + settings.max_new_tokens)
        return kind(self._model, rows, sampling)

    def _stop_ids(self) -> tuple[int, ...]:
        return stop_token_ids(self._tokenizer, self._chat, self._model)

    def _rows(self, longest: int) -> int:
        """How many rows of `longest` tokens the batch has: as configured, or as many as are useful
        and fit.
        """
        if isinstance(self._engine.batch, int):
            return self._engine.batch
        most = _GPU_ROWS if self._device.type == "cuda" else _CPU_ROWS
        return rows_that_fit(self._config, self._dtype, self._device, longest, most)


def find_model(name: str) -> Path:
    """The folder of a model: `name` itself where it is one, else the hub's copy. Errors:
    `InputError`.
    """
    path = Path(name)
    if path.is_dir():
        return path
    if path.is_absolute() or name.startswith((".", "~")) or name.count("/") != 1:
        raise InputError(
            f"models: {name}: no such folder: train and merge first, or correct the path"
        )
    if modelscope_name(name):
        return Path(model_folder(name))
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, allow_patterns=WEIGHTS))
    except Stopped:
        raise
    except (
        Exception
    ) as error:  # the hub's client raises a dozen kinds, each of them "it cannot be had"
        cause = str(error).splitlines()[0][:160] if str(error) else type(error).__name__
        raise InputError(
            f"models: {name}: no such folder, and the hub gave none ({cause})"
        ) from None


def _device(name: str) -> torch.device:
    """The device of `engine.device`. Errors: `InputError` for one that is not here."""
    if name == "auto":
        return default_device()
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise InputError(
            f'engine.device = "{name}": no NVIDIA GPU can be used here: set "cpu" or "auto"'
        )
    try:
        device = torch.device(name)
        # One that holds no numbers, or is not there, says so now.
        torch.zeros(1, device=device).item()
    except (RuntimeError, NotImplementedError, AssertionError):
        raise InputError(
            f'engine.device = "{name}": no such device here: auto, cpu, cuda or cuda:N'
        ) from None
    return device


def _dtype(name: str, device: torch.device) -> torch.dtype:
    if name == "auto":
        return default_dtype(device)
    dtype: torch.dtype = getattr(torch, name)
    return dtype


def card() -> str:
    """The device that answers, in words, for the manifest."""
    if torch.cuda.is_available():
        return (
            f"{torch.cuda.get_device_name(0)},"
            f" {math.ceil(torch.cuda.mem_get_info(0)[1] / 2**30)} GiB"
        )
    return f"CPU, {os.cpu_count()} cores"
