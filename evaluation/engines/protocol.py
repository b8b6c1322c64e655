"""What the pipeline needs of an engine, whichever kind answers."""

from collections.abc import Callable
from typing import Any, Protocol

from evaluation.records import ModelAnswer, Question, SampleRequest
from shared.errors import Stopped


class EndpointDead(Stopped):
    """The endpoint cannot answer. Nothing is scored: an answer that never came is no wrong answer."""

    exit_code = 4


class Deliver(Protocol):
    """Takes one finished answer. Safe to call from any thread."""

    def __call__(self, request: SampleRequest, answer: ModelAnswer, /) -> None: ...


class Engine(Protocol):
    """Answers questions in whatever order is fast, giving each answer as soon as it is whole."""

    # Whether an answer's text begins with the tag where the chat template opened the thinking.
    shows_opening: bool

    def identity(self) -> dict[str, Any]:
        """What, beside the settings, decides an answer: weights, template, precision.

        It is part of the answer cache's key and of the manifest.
        """

    def prompt(self, question: Question) -> str:
        """The text (or the messages as JSON) that the model sees."""

    def answer(
        self, requests: list[SampleRequest], deliver: Deliver, tick: Callable[[int], None], /
    ) -> None:
        """Answer all requests, reporting to `tick` how many tokens came.

        Errors: `EndpointDead` where an endpoint cannot.
        """

    def close(self) -> None:
        """Let go of weights or connections."""
