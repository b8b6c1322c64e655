"""An evaluation as a story: load questions, let models answer what their caches lack, score,
compare, report.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from evaluation.answer_cache import AnswerCache, key_of
from evaluation.benchmarks import first, load_benchmark, slug
from evaluation.config import ENDPOINT_ONLY, EvaluationConfig, GenerationConfig
from evaluation.engines.protocol import Engine
from evaluation.lighteval.loading import without_litellm
from evaluation.progress import Progress
from evaluation.records import (
    Benchmark,
    Case,
    Cases,
    ModelAnswer,
    Question,
    Results,
    SampleRequest,
)
from evaluation.results import folder as files
from evaluation.results.manifest import manifest_of, template_warning
from evaluation.results.output_files import write_results
from evaluation.scoring import Scorer
from evaluation.stats.comparison import refused_fields, right
from evaluation.stats.sprt import ALPHA, BETA, ODDS, decide
from shared.errors import InputError, ended_by_a_signal
from shared.thinking import closes_only, is_untagged

_QUICK_BLOCK = 24  # problems between two looks


def evaluate(
    config: EvaluationConfig, *, quick: bool, fresh: bool, command: str, console: Console
) -> dict[str, Any]:
    """Run the whole evaluation; gives comparison.json's content. Everything lands in
    `config.out`.
    """
    settings = config.generation
    runs = [Path(model).parent for model in config.models]
    benchmarks = [
        load_benchmark(
            name, config.data, config.limit, settings.system_prompt, settings.prompt, runs
        )
        for name in config.benchmarks
    ]
    _refuse_same_folders(config.models, benchmarks)
    if config.engine.kind == "transformers":
        _find_models(config.models)
    kept = "the answers so far are kept; the same command goes on from here"
    with files.held(config.out), ended_by_a_signal(kept), ExitStack() as stack:
        judge = Scorer()
        stack.callback(judge.close)
        run = _Run(config, judge, console, fresh)
        decisions: dict[str, Any] = {}
        if quick:
            benchmarks, decisions = run.shorten(benchmarks)
        results = run.answer(benchmarks)
        manifest = manifest_of(config, benchmarks, run.identities, command, decisions)
        return write_results(config.out, manifest, results)


class _Run:
    """What the steps of one evaluation share: configuration, judge, console, and each model's
    identity.
    """

    def __init__(
        self, config: EvaluationConfig, judge: Scorer, console: Console, fresh: bool
    ) -> None:
        self._config, self._judge, self._console, self._fresh = config, judge, console, fresh
        self.identities: dict[str, dict[str, Any]] = {}

    def answer(self, benchmarks: Sequence[Benchmark]) -> Results:
        """Every model on every benchmark, through lighteval, from cache and engine."""
        results: dict[str, dict[str, Cases]] = {}
        for model in self._config.models:
            with self._opened(model) as engine:
                results[model] = {
                    b.name: self._through_lighteval(model, engine, b) for b in benchmarks
                }
        return results

    def shorten(self, benchmarks: Sequence[Benchmark]) -> tuple[list[Benchmark], dict[str, Any]]:
        """Ask base and tuned block by block until the sequential test is clear; the benchmarks
        as far as asked.
        """
        if len(self._config.models) != 2:
            raise InputError(
                f"--quick compares two models; the configuration names {len(self._config.models)}"
            )
        if self._config.generation.samples > 1:
            raise InputError("--quick decides on one answer a problem: set generation.samples = 1")
        shortened, decisions = [], {}
        with ExitStack() as stack:
            engines = {
                model: stack.enter_context(self._opened(model)) for model in self._config.models
            }
            for benchmark in benchmarks:
                asked, decisions[benchmark.name] = self._look_and_look_again(benchmark, engines)
                shortened.append(first(benchmark, asked))
        return shortened, decisions

    def _look_and_look_again(
        self, benchmark: Benchmark, engines: Mapping[str, Engine]
    ) -> tuple[int, dict[str, Any]]:
        fixed = broken = asked = 0
        decision = decide(0, 0)
        while decision == "undecided" and asked < len(benchmark.questions):
            block = benchmark.questions[asked : asked + _QUICK_BLOCK]
            base, tuned = (
                self._answer_some(m, engine, benchmark, block) for m, engine in engines.items()
            )
            fixed += sum(not right(base[q.id]) and right(tuned[q.id]) for q in block)
            broken += sum(right(base[q.id]) and not right(tuned[q.id]) for q in block)
            asked += len(block)
            decision = decide(fixed, broken)
        told = {
            "decision": decision,
            "asked": asked,
            "of": len(benchmark.questions),
            "fixed": fixed,
            "broken": broken,
        }
        return asked, told | {"alpha": ALPHA, "beta": BETA, "odds": ODDS}

    def _through_lighteval(self, model: str, engine: Engine, benchmark: Benchmark) -> Cases:
        cases = self._answer_some(model, engine, benchmark, benchmark.questions)
        # imported only now: it takes seconds, in which a model can answer
        with without_litellm():
            from evaluation.lighteval.tasks import evaluate as run_lighteval

        out = self._config.out / slug(model)
        run_lighteval(slug(model), benchmark, self._config.generation, out / "lighteval", cases)
        files.write_verdicts(out / benchmark.slug, self.identities[model]["key"], cases)
        if refused := refused_fields(cases):
            refused.update(self.identities[model].get("refused_fields", ()))
            self.identities[model]["refused_fields"] = sorted(refused)
        return cases

    def _answer_some(
        self, model: str, engine: Engine, benchmark: Benchmark, questions: Sequence[Question]
    ) -> Cases:
        cache = AnswerCache(
            self._config.out / slug(model) / benchmark.slug, self.identities[model]["key"]
        )
        try:
            wanted = [
                SampleRequest(q, sample)
                for q in questions
                for sample in range(self._config.generation.samples)
            ]
            title = f"{model} · {benchmark.name}"
            cases = _Answering(engine, cache, self._judge, self._config.generation).run(
                wanted, title, self._console
            )
        finally:
            cache.close()
        return {
            q.id: [cases[SampleRequest(q, s)] for s in range(self._config.generation.samples)]
            for q in questions
        }

    @contextmanager
    def _opened(self, model: str) -> Iterator[Engine]:
        engine = open_engine(model, self._config, self._warn)
        identity = engine.identity()
        key = key_of(identity | _decisive(self._config.generation))
        if self._fresh and model not in self.identities:
            for path in (self._config.out / slug(model)).glob("*/answers.jsonl"):
                path.unlink()
        self.identities[model] = identity | {"key": key}
        if warning := template_warning(model, identity):
            self._warn(warning)
        try:
            yield engine
        finally:
            engine.close()

    def _warn(self, line: str) -> None:
        self._console.print(f"[yellow]warning:[/] {escape(line)}", soft_wrap=True)


class _Answering:
    """Gets the answers that are wanted: from the cache, else from the engine into it; all go
    to the judge.
    """

    def __init__(
        self, engine: Engine, cache: AnswerCache, judge: Scorer, settings: GenerationConfig
    ) -> None:
        self._engine, self._cache, self._judge, self._settings = engine, cache, judge, settings
        self._judged: dict[SampleRequest, Future[Case]] = {}

    def run(
        self, wanted: Sequence[SampleRequest], title: str, console: Console
    ) -> dict[SampleRequest, Case]:
        prompts = {asked.question: self._engine.prompt(asked.question) for asked in wanted}
        kept = {a: answer for a in wanted if (answer := self._cache.get(a, prompts[a.question]))}
        missing = [asked for asked in wanted if asked not in kept]
        with Progress(title, len(wanted), len(kept), console) as progress:
            for asked, answer in kept.items():
                self._judged[asked] = self._judge.submit(asked, answer, progress.graded)

            def deliver(asked: SampleRequest, answer: ModelAnswer) -> None:
                if answer.completion_tokens > self._settings.max_new_tokens:
                    raise AssertionError(
                        f"{answer.completion_tokens} tokens, {self._settings.max_new_tokens}"
                        " allowed"
                    )
                self._cache.write(asked, prompts[asked.question], answer)
                progress.came()
                self._judged[asked] = self._judge.submit(asked, answer, progress.graded)

            if missing:
                self._engine.answer(missing, deliver, progress.tokens)
        cases = {asked: self._judged[asked].result() for asked in wanted}
        return cases if self._engine.shows_opening else self._judged_again(cases)

    def _judged_again(self, cases: dict[SampleRequest, Case]) -> dict[SampleRequest, Case]:
        """`cases`, those without a tag judged as thinking where the other answers show that the
        template opens it.
        """
        ended = [case.answer.text for case in cases.values() if not case.answer.cut]
        if 2 * sum(map(closes_only, ended)) <= len(ended):
            return cases
        again = {
            asked: self._judge.submit(asked, case.answer, _nobody, starts_inside=True)
            for asked, case in cases.items()
            if is_untagged(case.answer.text)
        }
        return cases | {asked: future.result() for asked, future in again.items()}


def _nobody(_: bool) -> None:
    """Hears a verdict that the progress has counted already."""


def open_engine(model: str, config: EvaluationConfig, warn: Callable[[str], None]) -> Engine:
    """The engine of the configured kind for one model; `warn` gets lines for the user while it
    answers.
    """
    if config.engine.kind == "endpoint":
        from evaluation.engines.endpoint import EndpointEngine

        return EndpointEngine(model, config.engine, config.generation, warn)
    from evaluation.engines.transformers_engine import TransformersEngine

    return TransformersEngine(model, config.engine, config.generation)


def _decisive(settings: GenerationConfig) -> dict[str, Any]:
    """The settings that decide an answer; what greedy decoding ignores is left out: changing it
    asks nothing again.

    What only endpoints are sent stands in their engine's identity.
    """
    ignored = {"samples", *ENDPOINT_ONLY} | (
        {"seed", "top_p"} if settings.temperature == 0 else set()
    )
    return settings.model_dump(exclude=ignored)


def _refuse_same_folders(models: Sequence[str], benchmarks: Sequence[Benchmark]) -> None:
    for key, names in (
        ("models", [slug(m) for m in models]),
        ("benchmarks", [b.slug for b in benchmarks]),
    ):
        if twice := {name for name in names if names.count(name) > 1}:
            raise InputError(f"{key}: two of them would share the folder {min(twice)}: rename one")


def _find_models(models: Sequence[str]) -> None:
    """All of them, before the first answers: one that is missing would end a run whose first
    model took an hour.
    """
    from evaluation.engines.transformers_engine import find_model

    for model in models:
        find_model(model)
