"""How one model's answers to one benchmark come together: cache, engine and scorer at once."""

from collections.abc import Sequence
from concurrent.futures import Future

from rich.console import Console

from evaluation.answer_cache import AnswerCache
from evaluation.config import GenerationConfig
from evaluation.engines.protocol import Engine
from evaluation.progress import Progress
from evaluation.records import Case, ModelAnswer, SampleRequest
from evaluation.scoring import Scorer
from shared.thinking import closes_only, is_untagged


class Answering:
    """Gets one model's answers to one benchmark: from the cache, else from the engine into it.

    Each goes to the scorer as soon as it is there, while the engine makes the next ones.
    """

    def __init__(
        self, engine: Engine, cache: AnswerCache, scorer: Scorer, settings: GenerationConfig
    ) -> None:
        self._engine = engine
        self._cache = cache
        self._scorer = scorer
        self._settings = settings
        self._futures: dict[SampleRequest, Future[Case]] = {}

    def run(
        self, requests: Sequence[SampleRequest], title: str, console: Console
    ) -> dict[SampleRequest, Case]:
        """The cases of all requests; blocks until the last is scored."""
        prompts = {request.question: self._engine.prompt(request.question) for request in requests}
        cached_answers = {}
        missing_requests = []
        for request in requests:
            answer = self._cache.get(request, prompts[request.question])
            if answer is None:
                missing_requests.append(request)
            else:
                cached_answers[request] = answer
        with Progress(title, len(requests), len(cached_answers), console) as progress:
            for request, answer in cached_answers.items():
                self._score(request, answer, progress)

            def deliver(request: SampleRequest, answer: ModelAnswer) -> None:
                self._check_length(answer)
                self._cache.write(request, prompts[request.question], answer)
                progress.came()
                self._score(request, answer, progress)

            if missing_requests:
                self._engine.answer(missing_requests, deliver, progress.tokens)
        cases = {request: self._futures[request].result() for request in requests}
        return cases if self._engine.shows_opening else self._score_again(cases)

    def _check_length(self, answer: ModelAnswer) -> None:
        limit = self._settings.max_new_tokens
        if answer.completion_tokens > limit:
            raise AssertionError(f"{answer.completion_tokens} tokens, {limit} allowed")

    def _score(self, request: SampleRequest, answer: ModelAnswer, progress: Progress) -> None:
        self._futures[request] = self._scorer.submit(request, answer, progress.graded)

    def _score_again(self, cases: dict[SampleRequest, Case]) -> dict[SampleRequest, Case]:
        """`cases`, those without a tag scored as thinking where the template opens the thinking.

        It does where most of the finished answers close a thinking that they never opened.
        """
        finished_texts = [case.answer.text for case in cases.values() if not case.answer.cut]
        closing_texts = [text for text in finished_texts if closes_only(text)]
        if 2 * len(closing_texts) <= len(finished_texts):
            return cases
        futures = {
            request: self._scorer.submit(request, case.answer, _ignore, starts_inside=True)
            for request, case in cases.items()
            if is_untagged(case.answer.text)
        }
        return cases | {request: future.result() for request, future in futures.items()}


def _ignore(_: bool) -> None:
    """For a verdict that the progress has counted already."""
