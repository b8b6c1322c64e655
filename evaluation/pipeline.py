"""An evaluation as a story: load questions, let models answer what their caches lack, score,
compare, report.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from evaluation.answer_cache import AnswerCache, cache_key
from evaluation.answering import Answering
from evaluation.benchmarks import first_questions, load_benchmark, slug
from evaluation.config import ENDPOINT_ONLY, EvaluationConfig, GenerationConfig
from evaluation.engines.protocol import Engine
from evaluation.lighteval.task_names import modules_of, parse_spec
from evaluation.records import (
    Benchmark,
    Cases,
    Question,
    Results,
    SampleRequest,
)
from evaluation.results import folder as files
from evaluation.results.manifest import manifest_of, template_warning
from evaluation.results.output_files import write_results
from evaluation.scoring import Scorer
from evaluation.stats.comparison import pairs_of, refused_fields
from evaluation.stats.sprt import ALPHA, BETA, ODDS, decide
from shared.benchmarks.names import LIGHTEVAL
from shared.errors import InputError, ended_by_a_signal

_QUICK_BLOCK = 24  # problems between two looks


def evaluate(
    config: EvaluationConfig, *, quick: bool, fresh: bool, command: str, console: Console
) -> dict[str, Any]:
    """Run the whole evaluation into `config.out`; gives comparison.json's content.

    `quick` stops each benchmark as soon as a sequential test is clear, `fresh` forgets the cached
    answers, `command` stands in the manifest. Errors: `InputError`, `EndpointDead`, `CannotWrite`.
    """
    benchmarks = _load_benchmarks(config, console)
    _refuse_same_folders(config.models, benchmarks)
    if config.engine.kind == "transformers":
        _find_models(config.models)
    farewell = "the answers so far are kept; the same command goes on from here"
    with files.held(config.out), ended_by_a_signal(farewell), ExitStack() as stack:
        scorer = Scorer(with_second_opinion=not all(map(_is_lightevals, config.benchmarks)))
        stack.callback(scorer.close)
        run = _EvaluationRun(config, scorer, console, fresh)
        decisions: dict[str, Any] = {}
        if quick:
            benchmarks, decisions = run.shorten(benchmarks)
        results = run.answer(benchmarks)
        manifest = manifest_of(config, benchmarks, run.identities, command, decisions)
        return write_results(config.out, manifest, results)


def _load_benchmarks(config: EvaluationConfig, console: Console) -> list[Benchmark]:
    """All of them, before a model is looked at; names that cannot be are told before any is read."""
    for name in filter(_is_lightevals, config.benchmarks):
        modules_of(parse_spec(name))
    return [
        _load_task(name, config, console) if _is_lightevals(name) else _load_own(name, config)
        for name in config.benchmarks
    ]


def _is_lightevals(name: str) -> bool:
    return name.startswith(LIGHTEVAL)


def _load_own(name: str, config: EvaluationConfig) -> Benchmark:
    settings = config.generation
    return load_benchmark(
        name,
        config.data,
        config.limit,
        settings.system_prompt,
        settings.prompt,
        [Path(model).parent for model in config.models],
        config.option_seed,
    )


def _load_task(name: str, config: EvaluationConfig, console: Console) -> Benchmark:
    """A task of lighteval's, which is imported only for this: it takes seconds."""
    from evaluation.lighteval.named_tasks import load_task

    def warn(line: str) -> None:
        _warn(line, console)

    return load_task(name, config.data, config.limit, config.generation.system_prompt, warn)


class _EvaluationRun:
    """What the steps of one evaluation share: configuration, scorer, console, models' identities."""

    def __init__(
        self, config: EvaluationConfig, scorer: Scorer, console: Console, fresh: bool
    ) -> None:
        self._config = config
        self._scorer = scorer
        self._console = console
        self._fresh = fresh
        self.identities: dict[str, dict[str, Any]] = {}

    def answer(self, benchmarks: Sequence[Benchmark]) -> Results:
        """Every model on every benchmark, through lighteval, from cache and engine."""
        results: dict[str, dict[str, Cases]] = {}
        for model in self._config.models:
            with self._opened(model) as engine:
                results[model] = {
                    benchmark.name: self._through_lighteval(model, engine, benchmark)
                    for benchmark in benchmarks
                }
        return results

    def shorten(self, benchmarks: Sequence[Benchmark]) -> tuple[list[Benchmark], dict[str, Any]]:
        """Ask base and tuned model block by block until the sequential test is clear.

        Gives the benchmarks as far as they were asked, and the test's decision on each by name.
        """
        model_count = len(self._config.models)
        if model_count != 2:
            raise InputError(f"--quick compares two models; the configuration names {model_count}")
        if self._config.generation.samples > 1:
            raise InputError("--quick decides on one answer a problem: set generation.samples = 1")
        short_benchmarks = []
        decisions = {}
        with ExitStack() as stack:
            engines = {
                model: stack.enter_context(self._opened(model)) for model in self._config.models
            }
            for benchmark in benchmarks:
                decision = self._decide(benchmark, engines)
                decisions[benchmark.name] = decision
                short_benchmarks.append(first_questions(benchmark, decision["asked"]))
        return short_benchmarks, decisions

    def _decide(self, benchmark: Benchmark, engines: Mapping[str, Engine]) -> dict[str, Any]:
        """The sequential test on one benchmark, a block of problems between two looks."""
        fixed_count = 0
        broken_count = 0
        asked_count = 0
        decision = decide(0, 0)
        while decision == "undecided" and asked_count < len(benchmark.questions):
            block = benchmark.questions[asked_count : asked_count + _QUICK_BLOCK]
            base_cases, tuned_cases = (
                self._answer_some(model, engine, benchmark, block)
                for model, engine in engines.items()
            )
            pairs = pairs_of(base_cases, tuned_cases)
            fixed_count += len([pair for pair in pairs if pair.fixed])
            broken_count += len([pair for pair in pairs if pair.broken])
            asked_count += len(block)
            decision = decide(fixed_count, broken_count)
        return {
            "decision": decision,
            "asked": asked_count,
            "of": len(benchmark.questions),
            "fixed": fixed_count,
            "broken": broken_count,
            "alpha": ALPHA,
            "beta": BETA,
            "odds": ODDS,
        }

    def _through_lighteval(self, model: str, engine: Engine, benchmark: Benchmark) -> Cases:
        cases = self._answer_some(model, engine, benchmark, benchmark.questions)
        # Imported only now: it takes seconds, in which a model can answer.
        from evaluation.lighteval.tasks import evaluate as run_lighteval

        identity = self.identities[model]
        out = self._config.out / slug(model)
        run_lighteval(slug(model), benchmark, self._config.generation, out / "lighteval", cases)
        files.write_verdicts(out / benchmark.slug, identity["key"], cases)
        fields = refused_fields(cases) | set(identity.get("refused_fields", ()))
        if fields:
            identity["refused_fields"] = sorted(fields)
        return cases

    def _answer_some(
        self, model: str, engine: Engine, benchmark: Benchmark, questions: Sequence[Question]
    ) -> Cases:
        samples = range(self._config.generation.samples)
        requests = [SampleRequest(question, sample) for question in questions for sample in samples]
        title = f"{model} · {benchmark.name}"
        folder = self._config.out / slug(model) / benchmark.slug
        cache = AnswerCache(folder, self.identities[model]["key"])
        try:
            answering = Answering(engine, cache, self._scorer, self._config.generation)
            cases = answering.run(requests, title, self._console)
        finally:
            cache.close()
        return {
            question.id: [cases[SampleRequest(question, sample)] for sample in samples]
            for question in questions
        }

    @contextmanager
    def _opened(self, model: str) -> Iterator[Engine]:
        engine = open_engine(model, self._config, self._warn)
        identity = engine.identity()
        key = cache_key(identity | _decisive(self._config.generation, self._config.engine.kind))
        if self._fresh and model not in self.identities:
            for path in (self._config.out / slug(model)).glob("*/answers.jsonl"):
                path.unlink()
        self.identities[model] = identity | {"key": key}
        warning = template_warning(model, identity)
        if warning:
            self._warn(warning)
        try:
            yield engine
        finally:
            engine.close()

    def _warn(self, line: str) -> None:
        _warn(line, self._console)


def _warn(line: str, console: Console) -> None:
    console.print(f"[yellow]warning:[/] {escape(line)}", soft_wrap=True)


def open_engine(model: str, config: EvaluationConfig, warn: Callable[[str], None]) -> Engine:
    """The engine of the configured kind for one model.

    `warn` gets lines for the user while it answers.
    """
    if config.engine.kind == "endpoint":
        from evaluation.engines.endpoint import EndpointEngine

        return EndpointEngine(model, config.engine, config.generation, warn)
    from evaluation.engines.prompt_template import prompt_template
    from evaluation.engines.transformers_engine import TransformersEngine, find_model

    template = prompt_template([find_model(name) for name in config.models], config.out)
    if config.engine.processes > 1:
        from evaluation.engines.processes import ProcessesEngine

        return ProcessesEngine(model, config.engine, config.generation, template, warn)
    return TransformersEngine(model, config.engine, config.generation, template)


def _decisive(settings: GenerationConfig, kind: str) -> dict[str, Any]:
    """The settings that decide an answer.

    What greedy decoding ignores is left out: changing it asks nothing again. What an endpoint is
    sent stands in its engine's identity, what the chat template is given in its digest.
    """
    ignored_keys = {"samples", "preset", "chat_template_kwargs", *ENDPOINT_ONLY}
    is_sent = kind == "endpoint"
    if settings.temperature == 0:
        ignored_keys |= {"seed", "top_p"}
    # Neutral ones are left out, as they were before these keys were for both engines.
    if settings.temperature == 0 or is_sent or not settings.top_k:
        ignored_keys.add("top_k")
    if settings.temperature == 0 or is_sent or not settings.min_p:
        ignored_keys.add("min_p")
    return settings.model_dump(exclude=ignored_keys)


def _refuse_same_folders(models: Sequence[str], benchmarks: Sequence[Benchmark]) -> None:
    folders_by_key = {
        "models": [slug(model) for model in models],
        "benchmarks": [benchmark.slug for benchmark in benchmarks],
    }
    for key, names in folders_by_key.items():
        repeated_names = [name for name in names if names.count(name) > 1]
        if repeated_names:
            raise InputError(
                f"{key}: two of them would share the folder {min(repeated_names)}: rename one"
            )


def _find_models(models: Sequence[str]) -> None:
    """All of them, before the first answers: a missing one would end a run hours later."""
    from evaluation.engines.transformers_engine import find_model

    for model in models:
        find_model(model)
