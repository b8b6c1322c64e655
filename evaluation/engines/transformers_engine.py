"""The `transformers` engine: a model folder (or hub name) answers on this machine's CPU or GPU."""

import gc
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from evaluation.config import EngineConfig, GenerationConfig
from evaluation.engines.fingerprint import fingerprint
from evaluation.engines.protocol import Deliver
from evaluation.records import ModelAnswer, Question, SampleRequest
from shared.errors import InputError, Stopped
from shared.inference.continuous_batching import Decoder, Generated, Prompt, Sampling
from shared.inference.hf_generate import StaticDecoder
from shared.inference.sampling import uniforms
from shared.rendering import ChatRenderer

_CPU_ROWS, _GPU_ROWS = 32, 512  # measured: docs/experiments/evaluation.md
_GPU_RESERVE = 3 << 30  # bytes left for activations, logits and the graphs' pool
_SELF_CHECK = 2e-2  # largest difference of probabilities between our attention and the model's own


class TransformersEngine:
    """Answers with one model. Weights are loaded when the first answer is wanted: a finished
    run loads nothing.
    """

    shows_opening = True

    def __init__(self, name: str, engine: EngineConfig, generation: GenerationConfig) -> None:
        self._name, self._engine, self._generation = name, engine, generation
        self.folder = find_model(name)
        self._fingerprint = fingerprint(self.folder)
        self._tokenizer = _loaded(AutoTokenizer.from_pretrained, self.folder)
        system = None if generation.system == "template" else generation.system
        self._chat = ChatRenderer.of(self._tokenizer, system, str(self.folder))
        self._config = _loaded(AutoConfig.from_pretrained, self.folder).get_text_config()
        self._device = _device(engine.device)
        self._dtype = _dtype(engine.dtype, self._device)
        self._model: Any = None

    def identity(self) -> dict[str, Any]:
        precision = str(self._dtype).removeprefix("torch.")
        return {
            "kind": "transformers",
            "weights": self._fingerprint,
            "template": self._chat.digest,
            "precision": precision,
        }

    def prompt(self, question: Question) -> str:
        return self._chat.prompt(question.messages)

    def answer(
        self, wanted: list[SampleRequest], deliver: Deliver, tick: Callable[[int], None]
    ) -> None:
        prompts = [self._prompt_of(asked) for asked in wanted]
        self._check_room(max(len(prompt.ids) for prompt in prompts))
        decoder = self._decoder(prompts)

        def finished(index: int, generated: Generated) -> None:
            text = self._chat.answer(
                self._tokenizer.decode(generated.tokens, skip_special_tokens=False)
            )
            reason = "stop" if generated.stopped else "length"
            count = len(generated.tokens) + generated.stopped
            deliver(
                wanted[index],
                ModelAnswer(text, reason, len(prompts[index].ids), count, generated.seconds),
            )

        decoder.run(prompts, finished, tick)

    def close(self) -> None:
        self._model = None
        self._free_memory()

    def _free_memory(self) -> None:
        """Give back what torch keeps of an earlier batch: the next one is sized by what is free."""
        if self._device.type == "cuda":
            gc.collect()
            torch.cuda.empty_cache()

    def _prompt_of(self, asked: SampleRequest) -> Prompt:
        ids = self._tokenizer(self.prompt(asked.question), add_special_tokens=False)["input_ids"]
        if not ids:
            raise InputError(
                f"{self.folder}: its tokenizer makes no tokens of a question: copy tokenizer.json"
                " again"
            )
        settings = self._generation
        draws = None
        if settings.temperature > 0:
            draws = uniforms(
                settings.seed, asked.question.id, asked.sample, settings.max_new_tokens
            )
        return Prompt(ids, settings.max_new_tokens, draws)

    def _check_room(self, longest: int) -> None:
        places = getattr(self._config, "max_position_embeddings", None)
        wanted = longest + self._generation.max_new_tokens
        if places and wanted > places:
            raise InputError(
                f"generation.max_new_tokens: the longest prompt ({longest} tokens) and"
                f" {self._generation.max_new_tokens} new tokens exceed the {places} positions of"
                f" {self._name}: set at most {places - longest}"
            )

    def _decoder(self, prompts: list[Prompt]) -> "Decoder | StaticDecoder":
        if self._model is None:
            transformers.logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # one of our own follows
            self._model = self._whole_model().to(self._device).eval()
        settings = self._generation
        sampling = Sampling(settings.temperature, settings.top_p, self._stop_ids())
        rows = self._rows(max(len(p.ids) for p in prompts))
        if has_plain_attention(self._config):
            self._model.set_attn_implementation(
                "sdpa"
            )  # its own, for the check, also where ours served a call before
            expected = next_probabilities(self._model, prompts[0].ids)
            decoder = Decoder(self._model, rows, sampling)
            if (decoder.next_probabilities(prompts[0].ids) - expected).abs().max() <= _SELF_CHECK:
                return decoder
            self._model.set_attn_implementation("sdpa")
        return StaticDecoder(self._model, rows, sampling)

    def _whole_model(self) -> Any:
        """The model, all of whose weights were in its files: transformers makes up what is
        missing and goes on.
        """
        model, told = _loaded(
            AutoModelForCausalLM.from_pretrained,
            self.folder,
            dtype=self._dtype,
            attn_implementation="sdpa",
            output_loading_info=True,
        )
        if missing := sorted(told["missing_keys"]):
            raise InputError(
                f"{self.folder}: {len(missing)} of its weights are in none of its files"
                f" ({missing[0]} for one): copy or download the folder again"
            )
        return model

    def _stop_ids(self) -> tuple[int, ...]:
        return stop_ids(self._tokenizer, self._chat, self._model)

    def _rows(self, longest_prompt: int) -> int:
        """How many rows the batch has: as asked for, or as many as are useful and fit."""
        if isinstance(self._engine.batch, int):
            return self._engine.batch
        if self._device.type != "cuda":
            return _CPU_ROWS
        config = self._config
        size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        per_token = (
            2 * config.num_hidden_layers * config.num_key_value_heads * size * self._dtype.itemsize
        )
        self._free_memory()
        free, _ = torch.cuda.mem_get_info(self._device)
        fitting = (free - _GPU_RESERVE) // (
            per_token * (longest_prompt + self._generation.max_new_tokens)
        )
        return int(max(1, min(_GPU_ROWS, fitting)))


def _loaded(load: Callable[..., Any], folder: Path, **options: Any) -> Any:
    try:
        return load(folder, **options)
    except Stopped:  # a signal that came meanwhile
        raise
    except Exception as error:  # a damaged folder makes the libraries raise a dozen kinds
        why = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise InputError(
            f"{folder}: cannot be loaded ({why}): copy or download the folder again"
        ) from None


def next_probabilities(model: Any, ids: Any) -> torch.Tensor:
    """Probabilities [vocabulary] of the token after `ids`, by the model's own attention."""
    with torch.inference_mode():
        logits = model(input_ids=torch.tensor([list(ids)], device=model.device)).logits[0, -1]
    return torch.softmax(logits.float(), -1)


def has_plain_attention(config: Any) -> bool:
    """Whether every layer attends to all earlier tokens in the usual way: what the slots can
    serve.
    """
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    capped = getattr(config, "attn_logit_softcapping", None)
    return kinds == {"full_attention"} and not capped and hasattr(config, "num_key_value_heads")


def stop_ids(tokenizer: Any, chat: ChatRenderer, model: Any) -> tuple[int, ...]:
    """Every token that ends an answer: the model's, the tokenizer's and the template's end of turn.

    One source is not enough: tokenizers read from a GGUF file name the wrong one, and a base
    model's settings know the end of a text but not of a turn.
    """
    found: set[int] = set()
    for ids in (model.generation_config.eos_token_id, tokenizer.eos_token_id):
        found.update([ids] if isinstance(ids, int) else ids or [])
    end = tokenizer(chat.end.strip(), add_special_tokens=False)["input_ids"]
    if len(end) == 1:
        found.add(end[0])
    return tuple(sorted(found))


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
    from huggingface_hub import snapshot_download

    try:
        patterns = ["*.json", "*.safetensors", "*.jinja", "*.model", "*.txt"]
        return Path(snapshot_download(name, allow_patterns=patterns))
    except Stopped:
        raise
    except (
        Exception
    ) as error:  # the hub's client raises a dozen kinds, each of them "it cannot be had"
        why = str(error).splitlines()[0][:160] if str(error) else type(error).__name__
        raise InputError(f"models: {name}: no such folder, and the hub gave none ({why})") from None


def _device(wanted: str) -> torch.device:
    if wanted != "auto":
        if wanted.startswith("cuda") and not torch.cuda.is_available():
            raise InputError(
                f'engine.device = "{wanted}": no NVIDIA GPU can be used here: set "cpu" or "auto"'
            )
        try:
            device = torch.device(wanted)
            torch.zeros(
                1, device=device
            ).item()  # one that holds no numbers, or is not there, says so now
        except (RuntimeError, NotImplementedError, AssertionError):
            raise InputError(
                f'engine.device = "{wanted}": no such device here: auto, cpu, cuda or cuda:N'
            ) from None
        return device
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _dtype(wanted: str, device: torch.device) -> torch.dtype:
    if wanted != "auto":
        dtype: torch.dtype = getattr(torch, wanted)
        return dtype
    if device.type != "cuda":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16


def card() -> str:
    """The device that answers, in words, for the manifest."""
    if torch.cuda.is_available():
        return (
            f"{torch.cuda.get_device_name(0)},"
            f" {math.ceil(torch.cuda.mem_get_info(0)[1] / 2**30)} GiB"
        )
    return f"CPU, {os.cpu_count()} cores"
