"""Scores answers while others are still being made.

`shared.grading` decides; lighteval's metric is asked beside it, as a second opinion.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from evaluation.lighteval.metric import SecondOpinion
from evaluation.lighteval.task_scores import TaskScores
from evaluation.records import (
    Case,
    ModelAnswer,
    Question,
    SampleRequest,
    TaskDocument,
    split_answer,
)
from shared.grading import grade
from shared.grading.extract import last_box
from shared.records import Verdict
from shared.thinking import SplitText, is_untagged, spoken

_GRADE_SECONDS = 5.0


class Scorer:
    """Turns answers into cases in the background.

    Owns two threads for grading and one for the second opinion, whose child answers one at a time.
    """

    def __init__(self, with_second_opinion: bool = True) -> None:
        """`with_second_opinion`: whether any question is not of lighteval's own tasks."""
        self._grading = ThreadPoolExecutor(2, "grading")
        self._asking = ThreadPoolExecutor(1, "second-opinion")
        # It takes long to start.
        self._second_opinion = SecondOpinion.of_this_process() if with_second_opinion else None
        self._task_scores: dict[str, TaskScores] = {}  # by the module that defines the task

    def submit(
        self,
        request: SampleRequest,
        answer: ModelAnswer,
        on_verdict: Callable[[bool], None],
        starts_inside: bool = False,
    ) -> "Future[Case]":
        """The case, once scored; `on_verdict(correct)` is called before the second opinion is in.

        `starts_inside`: see `evaluation.records.split_answer`.
        """
        question = request.question
        if question.document is not None:
            return self._submit_task(request, question.document, answer, on_verdict, starts_inside)
        text = split_answer(answer, starts_inside)
        response = spoken(text.response) or ""
        assert self._second_opinion is not None
        opinion = self._asking.submit(self._second_opinion.match, question.golds, response)

        def score() -> Case:
            verdict = verdict_on(question, answer, text)
            on_verdict(verdict.verdict == "correct")
            has_box = last_box(response) is not None
            return Case(question, request.sample, answer, verdict, has_box, opinion.result())

        return self._grading.submit(score)

    def _submit_task(
        self,
        request: SampleRequest,
        document: TaskDocument,
        answer: ModelAnswer,
        on_verdict: Callable[[bool], None],
        starts_inside: bool,
    ) -> "Future[Case]":
        """The case of a question of lighteval's, whose own metric judges it."""

        def score() -> Case:
            text = _task_text(answer, document, starts_inside)
            scores: Mapping[str, float] | str = {}
            if not text.unclosed:
                scores = self._scores_of(document).scores(document, text.response)
            verdict, points = _task_verdict(answer, text, document, scores)
            on_verdict(verdict.verdict == "correct")
            kept_scores = {} if isinstance(scores, str) else scores
            return Case(
                request.question, request.sample, answer, verdict, True, None, points, kept_scores
            )

        return self._asking.submit(score)

    def _scores_of(self, document: TaskDocument) -> TaskScores:
        if document.module not in self._task_scores:
            self._task_scores[document.module] = TaskScores.of_this_process(document.module)
        return self._task_scores[document.module]

    def close(self) -> None:
        """End without what has no verdict yet: a run that is broken off waits for no metric."""
        self._grading.shutdown(wait=False, cancel_futures=True)
        self._asking.shutdown(wait=False, cancel_futures=True)
        if self._second_opinion is not None:
            self._second_opinion.leave()
        for task_scores in self._task_scores.values():
            task_scores.leave()
        self._grading.shutdown()
        self._asking.shutdown()


def verdict_on(question: Question, answer: ModelAnswer, text: SplitText) -> Verdict:
    """The verdict on one answer. Thinking that never ended is no answer, whatever stands in it."""
    if text.unclosed:
        return Verdict("truncated", None, _reason_unclosed(answer))
    verdict = _against_any(question, text.response)
    if answer.cut and verdict.verdict in ("no_answer", "unverifiable"):
        reason = "cut off by the token limit before a final answer"
        return Verdict("truncated", verdict.final_answer, reason)
    return verdict


def _task_text(answer: ModelAnswer, document: TaskDocument, starts_inside: bool) -> SplitText:
    """An answer to a task of lighteval's as its metric sees it: what was said after the thinking,
    up to the first of the task's stop sequences.

    A text without thinking that has one would have ended there, whatever cut it later.
    """
    text = split_answer(answer, starts_inside)
    if text.unclosed and is_untagged(answer.text) and not starts_inside:
        response = answer.text.lstrip()
        shortened = _until_stop(response, document.stop_sequences)
        return text if shortened == response else SplitText("", shortened, False)
    response = (spoken(text.response) or "").lstrip()
    shortened = _until_stop(response, document.stop_sequences)
    return SplitText(text.reasoning, shortened, text.unclosed)


def _until_stop(response: str, stop_sequences: Sequence[str]) -> str:
    places = [response.find(stop) for stop in stop_sequences if stop]
    return response[: min((place for place in places if place >= 0), default=len(response))]


def _task_verdict(
    answer: ModelAnswer,
    text: SplitText,
    document: TaskDocument,
    scores: Mapping[str, float] | str,
) -> tuple[Verdict, float]:
    """(verdict, score) on an answer to a task of lighteval's: correct above one half."""
    if text.unclosed:
        return Verdict("truncated", None, _reason_unclosed(answer)), 0.0
    if isinstance(scores, str):
        return Verdict("unverifiable", None, f"lighteval: {scores}"), 0.0
    score = scores.get(document.metric, next(iter(scores.values()), 0.0))
    if not 0 <= score <= 1:
        reason = f"lighteval: {document.metric} {score:g} is no score between 0 and 1"
        return Verdict("unverifiable", None, reason), 0.0
    reason = f"lighteval: {document.metric} {score:.3g}"
    return Verdict("correct" if score > 0.5 else "incorrect", None, reason), score


def _against_any(question: Question, response: str) -> Verdict:
    """The verdict by the first gold that the response agrees with; where there is none, by the
    one that leaves most open.
    """
    verdicts = []
    for gold in question.golds:
        verdict = grade(response, gold, question.problem, timeout_seconds=_GRADE_SECONDS)
        if verdict.verdict == "correct":
            return verdict
        verdicts.append(verdict)
    open_verdicts = [verdict for verdict in verdicts if verdict.verdict == "unverifiable"]
    return (open_verdicts or verdicts)[0]


def _reason_unclosed(answer: ModelAnswer) -> str:
    if not answer.cut:
        return "the thinking never ended: it stopped inside"
    if is_untagged(answer.text):
        return "cut off by the token limit before a thinking was closed"
    return "the thinking never ended: the token limit came first"
