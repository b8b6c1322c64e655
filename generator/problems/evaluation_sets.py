"""Evaluation sets by name: the texts that must not be trained on, from local copies or a hub.

`problems.exclude` takes whatever `shared.benchmarks` can open. With `screening.data`, named sets
are read from a folder of local copies.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from generator.problems.hub import open_hub
from shared.benchmarks.names import HubSet
from shared.benchmarks.opening import BenchmarkSources, problem_texts
from shared.row_files import is_data_file, without_suffix


def evaluation_texts(name: str, data: str = "") -> list[str]:
    """The problem texts of one evaluation set; `data`: folder of local copies, "" for the hub.

    Errors: `InputError` naming `problems.exclude` or `screening.data`, and the remedy.
    """
    sources = BenchmarkSources("problems.exclude", _read_hub, "screening.data", data)
    return problem_texts(name, sources)


def shown_name(name: str) -> str:
    """A set's name in counts and cards: a path is shortened to its folder and stem."""
    if not is_data_file(name):
        return name
    path = without_suffix(Path(name))
    return f"{path.parent.name}/{path.name}".strip("/")


def _read_hub(hub_set: HubSet) -> Iterable[dict[str, Any]]:
    source = f"{hub_set.data_set}:{hub_set.subset}" if hub_set.subset else hub_set.data_set
    return open_hub(source, hub_set.split, seed=None)
