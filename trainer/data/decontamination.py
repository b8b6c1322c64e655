"""Decontamination at the trainer's door: a problem that judges the model must not have taught it.

The generator screens problems before it pays for them; corpora also come from elsewhere, and the
list of benchmarks grows later. The names and the rule are the generator's: `shared.benchmarks`,
`shared.contamination`.
"""

from collections.abc import Iterable
from typing import Any

from shared.benchmarks.names import HubSet
from shared.benchmarks.opening import BenchmarkSources, problem_texts
from shared.contamination import EvaluationIndex


def read_benchmarks(names: Iterable[str]) -> EvaluationIndex:
    """The problems of files and of hub benchmarks. Errors: `InputError` naming the entry of
    data.exclude.
    """
    sources = BenchmarkSources("data.exclude", _read_hub)
    return EvaluationIndex({name: problem_texts(name, sources) for name in names})


def _read_hub(hub_set: HubSet) -> Iterable[Any]:
    import datasets

    rows: Iterable[Any] = datasets.load_dataset(
        hub_set.data_set, hub_set.subset, split=hub_set.split
    )
    return rows
