"""What is asked of a server beside the question, and what it refuses of that.

A field that a request leaves out is the server's to choose: vLLM and SGLang then take top_p, top_k,
min_p and repetition_penalty from the model's generation_config.json (Qwen2.5-Instruct: 0.8, 20,
none, 1.1), llama.cpp from its command line. So a neutral value is sent for each that the user has
not set. Servers that know fewer fields refuse the request; those neutral ones are then left out,
which is told and kept with each answer. What the user has set is never left out: a server that
refuses it ends the run.
"""

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from evaluation.config import GenerationConfig
from evaluation.records import Question, SampleRequest
from shared.records import Message

# -1 is "off" for every vLLM, SGLang and llama.cpp; 0 is refused by vLLM before 0.9 and by SGLang.
_NEUTRAL: Mapping[str, Any] = {"top_p": 1.0, "top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0}
_NOT_IN_OPENAIS_API = frozenset({"top_k", "min_p", "repetition_penalty"})


class RequestFields:
    """The fields of one model's requests. Learns what the server refuses; not to be shared
    between threads.
    """

    def __init__(self, model: str, generation: GenerationConfig) -> None:
        self._model, self._generation = model, generation
        self.sampling = _sampling(generation)
        self._refused: set[str] = set()
        self._accepted: set[str] = set()
        self._renamed = False  # max_tokens is called max_completion_tokens here
        self._told: set[str] = set()

    def messages(self, question: Question) -> list[Message]:
        """The question's messages, led by generation.system where that is a text, or silence
        ("").
        """
        system, given = self._generation.system, list(question.messages)
        if system == "template" or given[0]["role"] == "system":
            return given
        return [{"role": "system", "content": system}, *given]

    def body(self, asked: SampleRequest) -> dict[str, Any]:
        """A request's JSON without what the server has refused so far."""
        limit = "max_completion_tokens" if self._renamed else "max_tokens"
        body: dict[str, Any] = {
            "model": self._model,
            "messages": self.messages(asked.question),
            limit: self._generation.max_new_tokens,
            "stream": False,
            **self.sampling,
        }
        if self._generation.temperature > 0:
            body["seed"] = _seed(self._generation.seed, asked)
        return {name: value for name, value in body.items() if name not in self._refused}

    def give_way(self, refusal: str, body: Mapping[str, Any]) -> bool:
        """Take note of what a 400 or 422 refuses of `body`; whether to ask again, with less."""
        if (
            "max_tokens" in body
            and "max_completion_tokens" in refusal
            and "max_tokens" not in self._accepted
        ):
            self._renamed = True
            return True
        if self._refused & body.keys():  # another call has found it out meanwhile
            return True
        optional = [
            name for name in self._optional() if name in body and name not in self._accepted
        ]
        named = {name for name in optional if _names(refusal, name)}
        self._refused |= named or _NOT_IN_OPENAIS_API.intersection(optional)
        return bool(self._refused & body.keys())

    def accept(self, body: Mapping[str, Any]) -> str:
        """Take note of a request that was answered; a line for the user where there is news,
        else "".
        """
        self._accepted |= body.keys()
        self._refused -= (
            body.keys()
        )  # a refusal that named no field may have been of something else
        news = self._refused - self._told
        self._told |= news
        if not news:
            return ""
        fields = ", ".join(sorted(news))
        return (
            f"model {self._model}: the server refuses {fields}; asked without, so its own defaults"
            " hold there"
        )

    def without(self, body: Mapping[str, Any]) -> tuple[str, ...]:
        """The fields that `body` lacks because the server refuses them."""
        return tuple(sorted(self._refused - body.keys()))

    def cause(self, refusal: str) -> str:
        """The key of the configuration that a refusal seems to be about, as the end of a
        sentence; "" for none.
        """
        settings = self._generation.model_dump()
        if self._generation.system != "template" and _names(refusal, "system"):
            return "; generation.system cannot be applied here: leave it out"
        for name in ("temperature", *_NEUTRAL, "chat_template_kwargs"):
            if name in settings and _names(refusal, name):
                return (
                    f"; generation.{name} = {settings[name]} cannot be applied here: change it or"
                    " leave it out"
                )
        named = next((name for name in self._generation.extra_body if _names(refusal, name)), "")
        return (
            f"; generation.extra_body has {named!r}, which cannot be applied here: leave it out"
            if named
            else ""
        )

    def _optional(self) -> list[str]:
        """Fields that can be left out without going against what the user has set."""
        own = self._generation.extra_body
        neutral = [
            name
            for name, value in _NEUTRAL.items()
            if self.sampling[name] == value and name not in own
        ]
        return [*neutral, "seed"]


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


def _seed(seed: int, asked: SampleRequest) -> int:
    stream = f"{seed} {asked.question.id} {asked.sample}"
    return int(hashlib.sha256(stream.encode()).hexdigest()[:7], 16)


def _names(refusal: str, field: str) -> bool:
    return re.search(rf"(?<![A-Za-z_]){field}(?![A-Za-z_])", refusal) is not None
