"""Judges answers while others are still being made: `shared.grading` decides, lighteval's
metric is asked beside it.
"""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from evaluation.lighteval.metric import SecondOpinion
from evaluation.records import Case, ModelAnswer, SampleRequest, split_answer
from shared.grading import grade
from shared.grading.extract import last_box
from shared.records import Verdict
from shared.thinking import SplitText, is_untagged, spoken

_GRADE_SECONDS = 5.0


class Scorer:
    """Turns answers into cases in the background. Owns two threads for grading, one for the
    second opinion.
    """

    def __init__(self) -> None:
        self._grading = ThreadPoolExecutor(2, "grading")
        self._asking = ThreadPoolExecutor(1, "second-opinion")
        self._second = SecondOpinion.of_this_process()

    def submit(
        self,
        asked: SampleRequest,
        answer: ModelAnswer,
        graded: Callable[[bool], None],
        starts_inside: bool = False,
    ) -> "Future[Case]":
        """The case, once judged; `graded(correct)` is called as soon as the first opinion is there.

        `starts_inside`: see `evaluation.records.split_answer`.
        """
        text = split_answer(answer, starts_inside)
        response = spoken(text.response) or ""
        opinion = self._asking.submit(self._second.match, asked.question.gold, response)

        def judge() -> Case:
            verdict = judge_answer(asked, answer, text)
            graded(verdict.verdict == "correct")
            boxed = last_box(response) is not None
            return Case(asked.question, asked.sample, answer, verdict, boxed, opinion.result())

        return self._grading.submit(judge)

    def close(self) -> None:
        """End without what is not judged yet: a run that is broken off waits for no metric."""
        self._grading.shutdown(wait=False, cancel_futures=True)
        self._asking.shutdown(wait=False, cancel_futures=True)
        self._second.leave()
        self._grading.shutdown()
        self._asking.shutdown()


def judge_answer(asked: SampleRequest, answer: ModelAnswer, text: SplitText) -> Verdict:
    """The verdict on one answer. Thinking that never ended is no answer, whatever stands in it."""
    if text.unclosed:
        if answer.cut and is_untagged(answer.text):
            return Verdict(
                "truncated", None, "cut off by the token limit before a thinking was closed"
            )
        ended = "the token limit came first" if answer.cut else "it stopped inside"
        return Verdict("truncated", None, f"the thinking never ended: {ended}")
    verdict = grade(
        text.response,
        asked.question.gold,
        asked.question.problem,
        timeout_seconds=_GRADE_SECONDS,
    )
    if answer.cut and verdict.verdict in ("no_answer", "unverifiable"):
        return Verdict(
            "truncated", verdict.final_answer, "cut off by the token limit before a final answer"
        )
    return verdict
