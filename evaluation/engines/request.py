"""What is asked of a server beside the question, and what it refuses of that.

A field that a request leaves out is the server's to choose: vLLM and SGLang then take top_p, top_k,
min_p and repetition_penalty from the model's generation_config.json (Qwen2.5-Instruct: 0.8, 20,
none, 1.1), llama.cpp from its command line. So a neutral value is sent for each that the user has
not set. Servers that know fewer fields refuse the request; those neutral ones are then left out,
which is told and kept with each answer. What the user has set is never left out: a server that
refuses it ends the run.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

from evaluation.config import GenerationConfig
from evaluation.records import Question, SampleRequest
from shared.chat_api.errors import BadRequest, CallError
from shared.chat_api.request import Request
from shared.records import Message

# -1 is "off" for every vLLM, SGLang and llama.cpp; 0 is refused by vLLM before 0.9 and by SGLang.
_NEUTRAL: Mapping[str, Any] = {"top_p": 1.0, "top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0}
_NOT_IN_OPENAIS_API = frozenset({"top_k", "min_p", "repetition_penalty"})


class RequestFields:
    """The fields of one model's requests. Learns what the server refuses; not to be shared
    between threads.
    """

    def __init__(self, model: str, generation: GenerationConfig) -> None:
        self._model = model
        self._generation = generation
        self.sampling = _sampling(generation)
        self._optional = _optional(generation, self.sampling)
        self._refused: set[str] = set()
        self._accepted: set[str] = set()
        self._announced: set[str] = set()  # refused fields that the user has been told of

    def messages(self, question: Question) -> list[Message]:
        """The question's messages, led by generation.system where that is a text, or silence
        ("").
        """
        system = self._generation.system
        messages = list(question.messages)
        if system == "template" or messages[0]["role"] == "system":
            return messages
        return [{"role": "system", "content": system}, *messages]

    def request(self, sample: SampleRequest) -> Request:
        """What is asked now: without what the server has refused so far."""
        fields = dict(self.sampling)
        if self._generation.temperature > 0:
            fields["seed"] = _seed(self._generation.seed, sample)
        for name in self._refused:
            fields.pop(name, None)
        return Request(
            messages=self.messages(sample.question),
            model=self._model,
            temperature=fields.pop("temperature"),
            top_p=fields.pop("top_p", None),
            max_tokens=self._generation.max_new_tokens,
            extra=fields,
        )

    def give_way(self, error: CallError, request: Request) -> bool:
        """Take note of what a refusal refuses of `request`; whether to ask again, with less."""
        if not error.wording:
            return False
        optional_fields = _optional_fields(request)
        if self._refused & optional_fields:  # another call has found it out meanwhile
            return True
        optional = (self._optional & optional_fields) - self._accepted
        named_fields = frozenset(name for name in optional if error.names(name))
        if not named_fields and isinstance(error, BadRequest):
            named_fields = optional & _NOT_IN_OPENAIS_API
        self._refused |= named_fields
        return bool(named_fields)

    def accept(self, request: Request) -> str:
        """Take note of a request that was answered; a line for the user where there is news,
        else "".
        """
        optional_fields = _optional_fields(request)
        self._accepted |= optional_fields
        # A refusal that named no field may have been of something else.
        self._refused -= optional_fields
        news = self._refused - self._announced
        self._announced |= news
        if not news:
            return ""
        fields = ", ".join(sorted(news))
        return (
            f"model {self._model}: the server refuses {fields}; asked without, so its own defaults"
            " hold there"
        )

    def without(self, request: Request) -> tuple[str, ...]:
        """The fields that `request` lacks because the server refuses them."""
        return tuple(sorted(self._refused - _optional_fields(request)))

    def cause(self, error: CallError) -> str:
        """The key of the configuration that a refusal seems to be about, as the end of a
        sentence; "" for none.
        """
        settings = self._generation.model_dump()
        if self._generation.system != "template" and error.names("system"):
            return "; generation.system cannot be applied here: leave it out"
        for name in ("temperature", *_NEUTRAL, "chat_template_kwargs"):
            if name in settings and error.names(name):
                return (
                    f"; generation.{name} = {settings[name]} cannot be applied here: change it or"
                    " leave it out"
                )
        for name in self._generation.extra_body:
            if error.names(name):
                return (
                    f"; generation.extra_body has {name!r}, which cannot be applied here: leave it"
                    " out"
                )
        return ""


def _optional(generation: GenerationConfig, sampling: Mapping[str, Any]) -> frozenset[str]:
    """Fields that can be left out without going against what the user has set."""
    neutral = [
        name
        for name, value in _NEUTRAL.items()
        if sampling[name] == value and name not in generation.extra_body
    ]
    return frozenset({*neutral, "seed"})


def _optional_fields(request: Request) -> frozenset[str]:
    """The names of the fields in `request` that a server may do without."""
    if request.top_p is None:
        return frozenset(request.extra)
    return frozenset({"top_p", *request.extra})


def _sampling(generation: GenerationConfig) -> dict[str, Any]:
    """Every field that decides an answer, beside the prompt, the limit and the seed."""
    fields = {"temperature": generation.temperature, **_NEUTRAL}
    if generation.temperature > 0:  # greedy decoding ignores them
        fields |= {
            "top_p": generation.top_p,
            "top_k": generation.top_k or -1,
            "min_p": generation.min_p,
        }
    if generation.chat_template_kwargs:
        fields["chat_template_kwargs"] = generation.chat_template_kwargs
    return fields | generation.extra_body


def _seed(seed: int, sample: SampleRequest) -> int:
    stream = f"{seed} {sample.question.id} {sample.sample}"
    return int(hashlib.sha256(stream.encode()).hexdigest()[:7], 16)
