"""Our benchmarks as lighteval tasks, our answers as a lighteval model: its results beside ours.

What lighteval does by itself and must not do here: import every built-in task (one downloads at
import), shuffle before taking N, let a task's `generation_size` undercut the limit, cache by path
instead of weights, score an answer that never came.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from lighteval.logging.evaluation_tracker import EvaluationTracker
from lighteval.metrics.metrics_sample import SampleLevelComputation
from lighteval.metrics.utils.metric_utils import SampleLevelMetric
from lighteval.models.abstract_model import LightevalModel, ModelConfig
from lighteval.models.model_input import GenerationParameters
from lighteval.models.model_output import ModelResponse
from lighteval.pipeline import ParallelismManager, Pipeline, PipelineParameters
from lighteval.tasks.lighteval_task import LightevalTask, LightevalTaskConfig
from lighteval.tasks.registry import Registry
from lighteval.tasks.requests import Doc, SamplingMethod

from evaluation.config import GenerationConfig
from evaluation.lighteval.replacing import quiet, replaced
from evaluation.records import Benchmark, Case, Cases


def evaluate(
    model: str, benchmark: Benchmark, generation: GenerationConfig, folder: Path, cases: Cases
) -> None:
    """Run the cases of one benchmark through lighteval's pipeline.

    Its results and details land in `folder`.
    """
    adapter = _Model(model, generation, cases)
    tracker = EvaluationTracker(output_dir=str(folder), save_details=True)
    with quiet(), _only_our_task(_task(benchmark, generation, cases), benchmark):
        pipeline = Pipeline(
            tasks=f"{benchmark.slug}|0",
            pipeline_parameters=PipelineParameters(
                launcher_type=ParallelismManager.NONE, remove_reasoning_tags=True
            ),
            evaluation_tracker=tracker,
            model=adapter,
        )
        pipeline.evaluate()  # type: ignore[no-untyped-call]
        pipeline.save_and_push_results()  # type: ignore[no-untyped-call]


class _Model(LightevalModel):
    """A lighteval model whose answers are the ones that our engine gave."""

    def __init__(self, name: str, generation: GenerationConfig, cases: Cases) -> None:
        parameters = GenerationParameters(
            max_new_tokens=generation.max_new_tokens,
            temperature=generation.temperature,
            top_p=generation.top_p,
        )
        self.config = ModelConfig(model_name=name, generation_parameters=parameters)
        self._cases = cases
        self._cache = _NoCache()

    tokenizer = None  # type: ignore[assignment]  # for counting few-shot examples, of which we give none
    add_special_tokens = False
    max_length = 1 << 30  # room is checked by the engine, before the first question

    def greedy_until(self, docs: list[Doc]) -> list[ModelResponse]:
        """The answers that were given: one response a document, with all of its samples."""
        groups = [self._cases[_id_of(doc)] for doc in docs]
        return [
            ModelResponse(input=group[0].question.problem, text=[c.answer.text for c in group])
            for group in groups
        ]

    def loglikelihood(self, docs: list[Doc]) -> list[ModelResponse]:
        """Part of lighteval's interface; no task of ours asks for it."""
        raise NotImplementedError("our benchmarks ask for answers only")

    loglikelihood_rolling = loglikelihood


class _NoCache:
    """In place of lighteval's prediction cache, whose key knows nothing of weights:
    `evaluation.answer_cache` does its work.
    """

    def _init_registry(self, registry: Registry) -> None: ...


class _Mean(SampleLevelComputation):
    """The mean over a question's samples of what `score` says of each (avg@n)."""

    def __init__(self, cases: Cases, score: Callable[[Case], float | None]) -> None:
        self._cases = cases
        self._score = score

    def __deepcopy__(self, memo: Any) -> "_Mean":
        # lighteval copies task configurations; the answers behind this one are not to be copied
        return self

    def compute(self, doc: Doc, model_response: ModelResponse, **_: Any) -> float:
        """The mean for one document; the response itself was scored before."""
        return float(np.mean([self._score(case) or 0.0 for case in self._cases[_id_of(doc)]]))


def _opinions(cases: Cases) -> dict[str, Callable[[Case], float | None]]:
    """What is said of each case, by the name of a metric: ours and lighteval's own, or the scores
    of the task's own metrics.
    """
    names = {name for group in cases.values() for case in group for name in case.scores}
    if not names:
        return {
            "graded": lambda case: float(case.correct),
            "extractive_match": lambda case: float(bool(case.second_opinion)),
        }
    return {name: _score_by(name) for name in sorted(names)}


def _score_by(name: str) -> Callable[[Case], float | None]:
    def score(case: Case) -> float | None:
        return case.scores.get(name)

    return score


def _task(benchmark: Benchmark, generation: GenerationConfig, cases: Cases) -> LightevalTaskConfig:
    opinions = _opinions(cases)
    metrics: list[Any] = [
        SampleLevelMetric(
            metric_name=name,
            higher_is_better=True,
            category=SamplingMethod.GENERATIVE,
            sample_level_fn=_Mean(cases, score),
            corpus_level_fn=np.mean,
        )
        for name, score in opinions.items()
    ]
    return LightevalTaskConfig(
        name=benchmark.slug,
        prompt_function=_doc,
        hf_repo=benchmark.origin,
        hf_subset="default",
        metrics=metrics,
        hf_avail_splits=["test"],
        evaluation_splits=["test"],
        generation_size=generation.max_new_tokens,
        stop_sequence=[],
    )


def _id_of(doc: Doc) -> str:
    assert doc.specific is not None
    identity: str = doc.specific["id"]
    return identity


def _doc(row: dict[str, Any], task_name: str) -> Doc:
    return Doc(
        task_name=task_name,
        query=row["prompt"],
        choices=list(row["golds"]),
        gold_index=list(range(len(row["golds"]))),
        specific={"id": row["id"]},
    )


@contextmanager
def _only_our_task(config: LightevalTaskConfig, benchmark: Benchmark) -> Iterator[None]:
    """A registry of this one task, its rows given from memory.

    No built-in task is imported, nothing is downloaded.
    """
    module = ModuleType("stillhouse_tasks")
    module.TASKS_TABLE = [config]  # type: ignore[attr-defined]
    rows = [
        {"id": question.id, "prompt": question.messages[-1]["content"], "golds": question.golds}
        for question in benchmark.questions
    ]

    def task_configs(
        custom_tasks: Any = None, load_multilingual: bool = False
    ) -> dict[str, LightevalTaskConfig]:
        configs: dict[str, LightevalTaskConfig] = Registry._extract_configs(
            Registry.create_custom_tasks_module(module)
        )
        return configs

    def dataset(task: Any) -> dict[str, list[dict[str, Any]]]:
        return {"test": [dict(row) for row in rows]}

    with (
        replaced(Registry, "load_all_task_configs", task_configs),
        replaced(LightevalTask, "download_dataset_worker", dataset),
    ):
        yield
