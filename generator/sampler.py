"""One sample's life, from the question to the shard. What happens to it is data.

Ask -> (lanes) Answer -> (graders, judge) Verdict -> Trace -> (corpus) kept or rejected
"""

from dataclasses import replace
from typing import Any

from generator.config import GeneratorConfig
from generator.corpus import Corpus
from generator.grading.llm_judge import judge
from generator.grading.pool import Graders
from generator.lanes import Answer, Drained, Lanes, NoLane, OutOfBudget
from generator.monitor.status import SampleCounts
from generator.record import trace_of, utc_now, verdict_without_grading
from generator.sample_policy import Ask
from shared.prompts import messages_for
from shared.records import Completion, Message, Problem, Trace, Verdict, trace_id


class Sampler:
    """Asks, grades and stores samples, and counts them in `progress`."""

    def __init__(
        self,
        config: GeneratorConfig,
        corpus: Corpus,
        lanes: Lanes,
        graders: Graders,
        progress: SampleCounts,
    ) -> None:
        self._sampling = config.sampling
        self._keeps_unverifiable = config.sampling.keep_unverifiable
        self._judge = config.judge
        self._lanes_that_think = {lane.name for lane in config.lane if lane.require_reasoning}
        self._corpus = corpus
        self._lanes = lanes
        self._graders = graders
        self._progress = progress

    async def sample(self, ask: Ask) -> None:
        """Take one sample through its whole life. Errors: `Drained` where it was not asked, and
        what ends the run: `Stopped`.
        """
        started_at = utc_now()
        messages, params = self.question(ask)
        sample_id = trace_id(ask.problem.id, ask.sample)
        answer = await self._lanes.ask(sample_id, messages, params)
        if ask.attempts:
            answer = with_earlier_attempts(answer, ask)
        await self.finish(ask, messages, params, answer, started_at)

    def question(self, ask: Ask) -> tuple[list[Message], dict[str, Any]]:
        """(messages, parameters) of a sample."""
        sampling = self._sampling
        messages = messages_for(ask.problem.text, sampling.system_prompt, sampling.prompt)
        params: dict[str, Any] = {
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "max_tokens": sampling.longer_max_tokens if ask.longer else sampling.max_tokens,
        }
        return messages, params

    async def finish(
        self,
        ask: Ask,
        messages: list[Message],
        params: dict[str, Any],
        answer: Answer,
        started_at: str,
    ) -> None:
        """Grade a sample's answer and store it. Errors: `CannotWrite`."""
        problem = ask.problem
        sample_id = trace_id(problem.id, ask.sample)
        verdict = await self._verdict(sample_id, problem, answer)
        trace = trace_of(
            problem, ask.sample, messages, params, answer, verdict, started_at, utc_now()
        )
        is_kept = trace.kept or (trace.verdict == "unverifiable" and self._keeps_unverifiable)
        await self._corpus.add(trace, is_kept)
        self._count(trace, is_kept)

    async def _verdict(self, sample_id: str, problem: Problem, answer: Answer) -> Verdict:
        verdict = verdict_without_grading(answer.completion)
        if verdict is not None:
            return verdict
        if answer.lane in self._lanes_that_think and not answer.completion.reasoning.strip():
            return Verdict("failed", None, "the answer carries no reasoning")
        self._progress.grading += 1
        try:
            response = answer.completion.response
            verdict = await self._graders.grade(response, problem.gold, problem.text)
        finally:
            self._progress.grading -= 1
        if not self._judge.lane:
            return verdict
        return await judge(self._ask_judge, sample_id, problem.text, problem.gold, verdict)

    async def _ask_judge(self, sample_id: str, messages: list[Message]) -> Completion | None:
        """One judgement. A judge that is gone or drained leaves the grader's verdict: the
        sample itself is paid for.
        """
        params = {"temperature": 0.0, "top_p": 1.0, "max_tokens": self._judge.max_tokens}
        try:
            answer = await self._lanes.ask(sample_id, messages, params, lane=self._judge.lane)
        except (Drained, NoLane, OutOfBudget):
            return None
        return answer.completion

    def _count(self, trace: Trace, is_kept: bool) -> None:
        if is_kept:
            self._progress.kept += 1
        else:
            self._progress.rejected += 1
        self._progress.verdicts[trace.verdict] += 1


def with_earlier_attempts(answer: Answer, ask: Ask) -> Answer:
    """The answer with what lines of batches took for this sample before it."""
    cost_usd = ask.cost_usd + (answer.cost_usd or 0.0)
    return replace(answer, attempts=ask.attempts + answer.attempts, cost_usd=cost_usd)
