"""The records that the evaluation's parts share.

A `Question` is asked, a `ModelAnswer` comes, a `Case` is both with the verdict on them:

    Question  --engine-->  ModelAnswer (one line of answers.jsonl)  --scoring-->  Case
    Case      --statistics-->  comparison.json
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from shared.records import Message, Verdict, is_cut
from shared.thinking import SplitText, split


@dataclass(frozen=True, slots=True)
class TaskDocument:
    """What a task of lighteval's judges an answer by: its own document of a question."""

    module: str  # that defines the task
    task: str
    metric: str  # the score that counts, of those that the task's metrics give
    stop_sequences: tuple[str, ...]
    fields: Mapping[str, Any]  # of lighteval's Doc, as JSON can hold them


@dataclass(frozen=True, slots=True)
class Question:
    """One problem of a benchmark. `id` is the problem's id, with ".2", ".3" … where a text
    stands more than once.
    """

    id: str
    problem: str
    gold: str
    messages: tuple[Message, ...]  # as sent
    other_golds: tuple[str, ...] = ()  # beside `gold`; any of them is right
    document: TaskDocument | None = None  # of a task of lighteval's

    def __hash__(self) -> int:
        return hash(self.id)

    @property
    def golds(self) -> tuple[str, ...]:
        """All gold answers, any of which is right."""
        return (self.gold, *self.other_golds)


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A named list of questions and where they came from. `sha256` is of ids and golds in order."""

    name: str  # as in comparison.json
    slug: str  # as a folder
    questions: tuple[Question, ...]
    origin: str
    sha256: str
    whole: int  # problems of the benchmark before `limit`
    option_seed: int | None = None  # of the order of its options, where that is drawn


@dataclass(frozen=True, slots=True)
class SampleRequest:
    """The request for one answer: a question and the 0-based number of the sample."""

    question: Question
    sample: int


@dataclass(frozen=True, slots=True)
class ModelAnswer:
    """What a model answered: the text as generated, thinking tags included, end token left out."""

    text: str
    finish_reason: str  # stop, length, or as the endpoint sent it
    prompt_tokens: int
    completion_tokens: int
    seconds: float  # from its first token's step (endpoint: the request) to its last
    # Fields that the endpoint refuses: the request went without them, its own defaults held.
    refused_fields: tuple[str, ...] = ()

    @property
    def cut(self) -> bool:
        """Whether the token limit ended it."""
        return is_cut(self.finish_reason)


def split_answer(answer: ModelAnswer, starts_inside: bool = False) -> SplitText:
    """An answer as thinking and response. `starts_inside`: the server's texts begin inside the
    thinking, without its tag.

    A text without any tag that the limit cut may be either; it is taken for a thinking that never
    ended.
    """
    return split(answer.text, untagged_is_thinking=answer.cut or starts_inside)


@dataclass(frozen=True, slots=True)
class Case:
    """One answer with the verdict on it."""

    question: Question
    sample: int
    answer: ModelAnswer
    verdict: Verdict
    boxed: bool
    second_opinion: bool | None  # lighteval's extractive metric; None where it gave none in time
    # Of a task of lighteval's: the score that counts (0 to 1), and those of all its metrics.
    score: float | None = None
    scores: Mapping[str, float] = field(default_factory=dict)

    @property
    def correct(self) -> bool:
        """Whether the verdict is `correct`; no other one counts as right."""
        return self.verdict.verdict == "correct"

    @property
    def points(self) -> float:
        """What the answer is worth, 0 to 1: its score, or whether it is correct."""
        return float(self.correct) if self.score is None else self.score

    @property
    def text(self) -> SplitText:
        """The answer as thinking and response, as the verdict took it."""
        return split_answer(self.answer, starts_inside=self.verdict.verdict == "truncated")

    @property
    def unfinished(self) -> bool:
        """Cut off by the token limit, or thinking that never ended."""
        return self.answer.cut or self.verdict.verdict == "truncated"


# One model's cases on one benchmark: by question id, the samples in order.
Cases = Mapping[str, Sequence[Case]]
# By model, then by benchmark; the first model is the base.
Results = Mapping[str, Mapping[str, Cases]]
