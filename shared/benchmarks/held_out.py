"""Held-out problems of a corpus or a training run, as benchmark rows: what training did not see."""

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

import orjson

from shared.benchmarks.names import HELD_OUT
from shared.benchmarks.rows import PlacedRow, read_file
from shared.errors import InputError
from shared.holdout import held_out_problems
from shared.records import read_traces

# The trainer's defaults, where neither a list nor a run says more.
_SHARE = 0.02
_SEED = 0
_LISTS = ("holdout.jsonl", "held-out.jsonl")


@dataclass(frozen=True, slots=True)
class _RunsHoldout:
    """What a training run's manifest says it held out, and of which corpora."""

    corpora: list[Path]
    problem_ids: set[str]


def open_held_out(place: Path, runs: Sequence[Path]) -> tuple[Iterator[PlacedRow], str]:
    """(rows, where they come from) of the problems that training did not see.

    In this order: a list in the folder itself; what a training run's manifest says it held out,
    the folder's own or that of one of `runs`; the trainer's rule on the corpus. Errors:
    `InputError` where there is no such folder.
    """
    if not place.is_dir():
        raise InputError(f"{HELD_OUT}{place}: no such folder: give a corpus or a training run")
    for name in _LISTS:
        if (place / name).exists():
            return read_file(place / name), str(place / name)
    own = _holdout_of(place)
    if own is not None:
        return _rows(own.corpora, own.problem_ids), f"{place}/manifest.json"
    for run in runs:
        holdout = _holdout_of(run)
        if holdout and place.resolve() in [corpus.resolve() for corpus in holdout.corpora]:
            return _rows([place], holdout.problem_ids), f"{place}/traces, held out by {run}"
    corpus_ids = (trace.problem_id for trace in read_traces(place))
    identities = set(held_out_problems(corpus_ids, _SHARE, _SEED))
    origin = f"{place}/traces, {_SHARE:.0%} of the problems, seed {_SEED}"
    return _rows([place], identities), origin


def _holdout_of(run: Path) -> _RunsHoldout | None:
    try:
        data = orjson.loads((run / "manifest.json").read_bytes())["data"]
        corpora = dict.fromkeys(shard["corpus"] for shard in data["shards"])
        return _RunsHoldout([Path(corpus) for corpus in corpora], set(data["held_out_problems"]))
    except (OSError, orjson.JSONDecodeError, LookupError, TypeError):
        return None  # no manifest, or not a training run's


def _rows(corpora: Sequence[Path], identities: Set[str]) -> Iterator[PlacedRow]:
    """Each held-out problem that has a gold answer, once."""
    yielded_ids: set[str] = set()
    for corpus in corpora:
        for trace in read_traces(corpus):
            if trace.problem_id not in identities or trace.problem_id in yielded_ids:
                continue
            if trace.gold is not None:
                yielded_ids.add(trace.problem_id)
                yield f"{corpus}: {trace.id}", {"problem": trace.problem, "gold": trace.gold}
