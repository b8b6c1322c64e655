"""The metrics of lighteval's own tasks: which of them judge one answer's text by itself.

What needs more than that (the probabilities of given texts, a judge, a model of its own, a whole
corpus at once, running a program) is refused with its reason. A metric over several samples
(pass@k, avg@n, maj@n) scores each answer by itself; the number of samples is ours to say.
"""

import copy
from collections.abc import Iterable, Mapping
from typing import Any

from lighteval.metrics.metrics_sample import SampleLevelComputation, SamplingMetric
from lighteval.metrics.utils.metric_utils import MetricGrouping
from lighteval.models.model_output import ModelResponse
from lighteval.tasks.requests import Doc, SamplingMethod

# By the name of the class, or of one that it inherits from.
_NEEDS = {
    "JudgeLLM": "a judge model",
    "BertScore": "a model of its own",
    "BLEURT": "a model of its own",
    "Faithfulness": "a model of its own",
    "Extractiveness": "a language package of its own (spaCy)",
    "CodegenMetric": "to run programs that the student wrote",
    "VerifiableRewardMetric": "a program of the hub that is downloaded and run",
}


def need_of(metric: Any) -> str:
    """What a metric needs beyond the text of one answer; "" for nothing."""
    if metric.category == SamplingMethod.LOGPROBS:
        return "the probabilities of given answers"
    if metric.category == SamplingMethod.PERPLEXITY:
        return "the probability of a given text"
    function = metric.sample_level_fn
    classes = [each.__name__ for each in type(function).__mro__]
    for name in classes:
        if name in _NEEDS:
            return _NEEDS[name]
    if not isinstance(function, SampleLevelComputation):
        return "all answers at once (its score is the corpus's, not an answer's)"
    if metric.batched_compute:
        return "all answers at once"
    if getattr(function, "bootstrap", False):
        return "a bootstrap over several answers"
    higher_is_better = metric.higher_is_better
    directions = (
        higher_is_better.values() if isinstance(higher_is_better, dict) else [higher_is_better]
    )
    return "" if all(directions) else "the lowest score to be the best"


def metric_names(metric: Any) -> list[str]:
    """The names of a metric's scores."""
    name = metric.metric_name
    return [str(each) for each in name] if isinstance(name, list) else [str(name)]


def for_one_answer(metric: Any) -> Any:
    """A copy of a metric that scores a single answer, also where it is over several."""
    single = copy.deepcopy(metric)
    function = single.sample_level_fn
    if isinstance(function, SamplingMetric):
        for name in ("n", "k"):
            if hasattr(function, name):
                setattr(function, name, 1)
        if isinstance(single, MetricGrouping) and hasattr(function, "metric_names"):
            single.metric_name = function.metric_names
    return single


def scores_of(metrics: Iterable[Any], doc: Doc, text: str) -> dict[str, float]:
    """Each metric's score of one answer, by the metric's name. Raises what the metrics raise."""
    scores: dict[str, float] = {}
    for metric in metrics:
        response = ModelResponse(text=[text], text_post_processed=[text])
        values: Mapping[str, Any] = metric.compute_sample(model_response=response, doc=doc)
        for name, value in values.items():
            scores[str(name)] = _number(value)
    return scores


def _number(value: Any) -> float:
    """A score as one number: the share of those that hold where a metric gives several."""
    if isinstance(value, list | tuple):
        return sum(map(float, value)) / len(value) if value else 0.0
    return float(value)
