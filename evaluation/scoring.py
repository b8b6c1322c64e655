"""Scores answers while others are still being made.

`shared.grading` decides; lighteval's metric is asked beside it, as a second opinion.
"""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from evaluation.lighteval.metric import SecondOpinion
from evaluation.records import Case, ModelAnswer, Question, SampleRequest, split_answer
from shared.grading import grade
from shared.grading.extract import last_box
from shared.records import Verdict
from shared.thinking import SplitText, is_untagged, spoken

_GRADE_SECONDS = 5.0


class Scorer:
    """Turns answers into cases in the background.

    Owns two threads for grading and one for the second opinion, whose child answers one at a time.
    """

    def __init__(self) -> None:
        self._grading = ThreadPoolExecutor(2, "grading")
        self._asking = ThreadPoolExecutor(1, "second-opinion")
        self._second_opinion = SecondOpinion.of_this_process()

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
        text = split_answer(answer, starts_inside)
        response = spoken(text.response) or ""
        opinion = self._asking.submit(self._second_opinion.match, question.golds, response)

        def score() -> Case:
            verdict = verdict_on(question, answer, text)
            on_verdict(verdict.verdict == "correct")
            has_box = last_box(response) is not None
            return Case(question, request.sample, answer, verdict, has_box, opinion.result())

        return self._grading.submit(score)

    def close(self) -> None:
        """End without what has no verdict yet: a run that is broken off waits for no metric."""
        self._grading.shutdown(wait=False, cancel_futures=True)
        self._asking.shutdown(wait=False, cancel_futures=True)
        self._second_opinion.leave()
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
