"""The records that the evaluation's parts share. A `Question` is asked, an `Answer` comes, a `Case`
is both, judged.

Question  --engine-->  Answer (one line of answers.jsonl)  --scoring-->  Case  --compare-->  comparison.json
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from shared.errors import Stopped
from shared.prompts import THINK_CLOSE, THINK_OPEN
from shared.records import Message, Verdict, is_cut


class EndpointDead(Stopped):
    """The endpoint cannot answer. Nothing is scored: an answer that never came is no wrong
    answer.
    """

    exit_code = 4


@dataclass(frozen=True, slots=True)
class Question:
    """One problem of a benchmark. `id` is the problem's id, with ".2", ".3" … where a text
    stands more than once.
    """

    id: str
    problem: str
    gold: str
    messages: tuple[Message, ...]  # as sent

    def __hash__(self) -> int:
        return hash(self.id)


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A named list of questions and where they came from. `sha256` is of ids and golds in order."""

    name: str  # as in comparison.json
    slug: str  # as a folder
    questions: tuple[Question, ...]
    origin: str
    sha256: str
    whole: int  # problems of the benchmark before `limit`


@dataclass(frozen=True, slots=True)
class Asked:
    """One answer that is wanted: a question and the 0-based number of the sample."""

    question: Question
    sample: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model answered: the text as generated, thinking tags included, end token left out."""

    text: str
    finish_reason: str  # stop, length, or as the endpoint sent it
    prompt_tokens: int
    completion_tokens: int
    seconds: float  # from its first token's step (endpoint: the request) to its last
    without: tuple[
        str, ...
    ] = ()  # fields that the endpoint refuses: asked without them, its own defaults held

    @property
    def cut(self) -> bool:
        """Whether the token limit ended it."""
        return is_cut(self.finish_reason)


@dataclass(frozen=True, slots=True)
class Thought:
    """An answer's text taken apart."""

    reasoning: str
    response: str
    unclosed: bool  # the thinking began and never ended: nothing was answered, whatever it contains


def take_apart(text: str) -> Thought:
    """Thinking and response of a generated text. Only what follows the thinking counts as an
    answer.
    """
    head, closed, response = text.rpartition(THINK_CLOSE)
    if closed and THINK_OPEN not in response:
        return Thought(
            head.removeprefix(THINK_OPEN).removeprefix("\n").removesuffix("\n"),
            response.lstrip("\n"),
            False,
        )
    before, opened, thinking = text.rpartition(THINK_OPEN)
    if opened:
        return Thought(thinking.removeprefix("\n"), before, True)
    return Thought("", text, False)


def is_untagged(text: str) -> bool:
    """Whether a text has no thinking tag at all: it alone does not tell a thought from an
    answer.
    """
    return THINK_OPEN not in text and THINK_CLOSE not in text


def closes_only(text: str) -> bool:
    """Whether a text closes a thinking that it never opened: the chat template had opened it in
    the prompt.
    """
    head, closed, _ = text.partition(THINK_CLOSE)
    return bool(closed) and THINK_OPEN not in head


def thought_of(answer: Answer, starts_inside: bool = False) -> Thought:
    """An answer taken apart. `starts_inside`: the server's texts begin inside the thinking, without
    its tag.

    A text without any tag that the limit cut may be either; it is taken for a thinking that never
    ended.
    """
    if is_untagged(answer.text) and (answer.cut or starts_inside):
        return Thought(answer.text, "", True)
    return take_apart(answer.text)


@dataclass(frozen=True, slots=True)
class Case:
    """One judged answer."""

    question: Question
    sample: int
    answer: Answer
    verdict: Verdict
    boxed: bool
    second_opinion: bool | None  # lighteval's extractive metric; None where it gave none in time

    @property
    def correct(self) -> bool:
        return self.verdict.verdict == "correct"

    @property
    def thought(self) -> Thought:
        """The answer taken apart, as the verdict took it."""
        return thought_of(self.answer, starts_inside=self.verdict.verdict == "truncated")

    @property
    def unfinished(self) -> bool:
        """Cut off by the token limit, or thinking that never ended."""
        return self.answer.cut or self.verdict.verdict == "truncated"


class Engine(Protocol):
    """Answers questions in whatever order is fast, giving each answer as soon as it is whole."""

    shows_opening: (
        bool  # an answer's text begins with the tag where the chat template opened the thinking
    )

    def identity(self) -> dict[str, Any]:
        """What, beside the settings, decides an answer: weights, template, precision. Part of
        key and manifest.
        """

    def prompt(self, question: Question) -> str:
        """The text (or the messages as JSON) that the model sees."""

    def answer(self, wanted: list[Asked], deliver: "Deliver", tick: Callable[[int], None]) -> None:
        """Answer all of `wanted`, telling `tick` how many tokens came; raises `EndpointDead`
        where it cannot.
        """

    def close(self) -> None:
        """Let go of weights or connections."""


class Deliver(Protocol):
    """Takes one finished answer. Safe to call from any thread."""

    def __call__(self, asked: Asked, answer: Answer) -> None: ...
