"""Our benchmarks as lighteval tasks and our answers as a lighteval model: its results and details come out beside ours.

What lighteval does by itself and must not do here: import every built-in task (one downloads at import), shuffle
before taking N, let a task's `generation_size` undercut the limit, cache by path instead of weights, score an answer
that never came.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import datasets
import numpy as np
from lighteval.logging.evaluation_tracker import EvaluationTracker
from lighteval.metrics.utils.metric_utils import SampleLevelComputation, SampleLevelMetric
from lighteval.models.abstract_model import LightevalModel, ModelConfig
from lighteval.models.model_input import GenerationParameters
from lighteval.models.model_output import ModelResponse
from lighteval.pipeline import ParallelismManager, Pipeline, PipelineParameters
from lighteval.tasks.lighteval_task import LightevalTask, LightevalTaskConfig
from lighteval.tasks.registry import Registry
from lighteval.tasks.requests import Doc, SamplingMethod

from evaluation.config import GenerationConfig
from evaluation.terms import Benchmark, Case, Question

Cases = Mapping[str, Sequence[Case]]  # by question id, the samples in order
AnswerAll = Callable[[Sequence[Question]], Cases]


def evaluate(
    model: str, benchmark: Benchmark, generation: GenerationConfig, folder: Path, answer_all: AnswerAll
) -> Cases:
    """Run one benchmark through lighteval's pipeline; results and details land in `folder`. Gives the judged cases."""
    adapter = _Model(model, generation, benchmark, answer_all)
    tracker = EvaluationTracker(output_dir=str(folder), save_details=True)
    with _quiet(), _only_our_task(_task(benchmark, generation, adapter), benchmark):
        pipeline = Pipeline(
            tasks=f"{benchmark.slug}|0",
            pipeline_parameters=PipelineParameters(launcher_type=ParallelismManager.NONE, remove_reasoning_tags=True),
            evaluation_tracker=tracker,
            model=adapter,
        )
        pipeline.evaluate()
        pipeline.save_and_push_results()
    return adapter.cases


class _Model(LightevalModel):  # type: ignore[misc]
    """A lighteval model that passes the questions on to our engine and journal."""

    def __init__(self, name: str, generation: GenerationConfig, benchmark: Benchmark, answer_all: AnswerAll) -> None:
        parameters = GenerationParameters(
            max_new_tokens=generation.max_new_tokens, temperature=generation.temperature, top_p=generation.top_p
        )
        self.config = ModelConfig(model_name=name, generation_parameters=parameters)
        self._questions = {q.id: q for q in benchmark.questions}
        self._answer_all = answer_all
        self._cache = _NoCache()
        self.cases: Cases = {}

    tokenizer = None
    add_special_tokens = False
    max_length = 1 << 30  # room is checked by the engine, before the first question

    def greedy_until(self, docs: list[Doc]) -> list[ModelResponse]:
        questions = [self._questions[doc.specific["id"]] for doc in docs]
        self.cases = self._answer_all(questions)
        responses = []
        for question in questions:
            texts = [case.answer.text for case in self.cases[question.id]]
            responses.append(ModelResponse(input=question.problem, text=texts))
        return responses

    def loglikelihood(self, docs: list[Doc]) -> list[ModelResponse]:
        raise NotImplementedError("our benchmarks ask for answers only")

    loglikelihood_rolling = loglikelihood


class _NoCache:
    """In place of lighteval's prediction cache, whose key knows nothing of weights: the journal does its work."""

    def _init_registry(self, registry: Registry) -> None: ...


class _Share(SampleLevelComputation):  # type: ignore[misc]
    """The share of a question's samples for which `holds` is true (avg@n)."""

    def __init__(self, model: _Model, holds: Callable[[Case], bool | None]) -> None:
        self._model, self._holds = model, holds

    def __deepcopy__(self, memo: Any) -> "_Share":
        return self  # lighteval copies task configurations; the answers behind this one are not to be copied

    def compute(self, doc: Doc, model_response: ModelResponse, **_: Any) -> float:
        return float(np.mean([bool(self._holds(case)) for case in self._model.cases[doc.specific["id"]]]))


def _task(benchmark: Benchmark, generation: GenerationConfig, model: _Model) -> LightevalTaskConfig:
    opinions = {"graded": lambda case: case.correct, "extractive_match": lambda case: case.second_opinion}
    metrics = [
        SampleLevelMetric(
            metric_name=name, higher_is_better=True, category=SamplingMethod.GENERATIVE,
            sample_level_fn=_Share(model, holds), corpus_level_fn=np.mean,
        ) for name, holds in opinions.items()
    ]  # fmt: skip
    return LightevalTaskConfig(
        name=benchmark.slug, prompt_function=_doc, hf_repo=benchmark.origin, hf_subset="default", metrics=metrics,
        hf_avail_splits=["test"], evaluation_splits=["test"], generation_size=generation.max_new_tokens,
        stop_sequence=[],
    )  # fmt: skip


def _doc(row: dict[str, Any], task_name: str) -> Doc:
    return Doc(
        task_name=task_name, query=row["prompt"], choices=[row["gold"]], gold_index=0, specific={"id": row["id"]}
    )


@contextmanager
def _only_our_task(config: LightevalTaskConfig, benchmark: Benchmark) -> Iterator[None]:
    """A registry of this one task, its rows given from memory: no built-in task is imported, nothing is downloaded."""
    module = ModuleType("stillhouse_tasks")
    module.TASKS_TABLE = [config]  # type: ignore[attr-defined]
    rows = [{"id": q.id, "prompt": q.messages[-1]["content"], "gold": q.gold} for q in benchmark.questions]

    def load_ours(custom_tasks: Any = None, load_multilingual: bool = False) -> dict[str, LightevalTaskConfig]:
        configs: dict[str, LightevalTaskConfig] = Registry._extract_configs(Registry.create_custom_tasks_module(module))
        return configs

    theirs = Registry.load_all_task_configs, LightevalTask.download_dataset_worker
    Registry.load_all_task_configs = staticmethod(load_ours)
    LightevalTask.download_dataset_worker = staticmethod(lambda task: {"test": [dict(row) for row in rows]})
    try:
        yield
    finally:
        Registry.load_all_task_configs, LightevalTask.download_dataset_worker = map(staticmethod, theirs)


@contextmanager
def _quiet() -> Iterator[None]:
    """Log lines and bars of lighteval and datasets would break the progress panel."""
    before, bars = logging.root.manager.disable, datasets.are_progress_bars_disabled()
    logging.disable(logging.WARNING)
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        logging.disable(before)
        if not bars:
            datasets.enable_progress_bars()
