"""What a model fails, as a problem source for the next `generate`: so that the next quota is spent
where it is weak.

A benchmark's own problems are never made into training material: with a source, its problems
nearest to the failed ones are taken, copies of ANY problem that the run examined left out. Without
one, only problems that were held out of a corpus may be written themselves; they are then training
material, and the next run must hold out others.

    {"problem": "Tom has 3 boxes of 12 pencils…", "answer": "36", "near": "0c3a…", "similarity": 0.41}
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from evaluation.neighbours import Copies, nearest
from evaluation.records import Case, Cases, Question
from evaluation.results import folder as files
from evaluation.stats.comparison import right
from shared.benchmarks.names import HELD_OUT
from shared.benchmarks.rows import Row, final_answer, problem_of, read_file
from shared.destinations import note_ours
from shared.errors import InputError
from shared.grading.extract import last_box
from shared.records import read_traces
from shared.shards import write_atomically

WEAK = "weak.jsonl"
_ANSWER_FIELDS = ("answer", "gold", "final_answer")
_LONGEST_ANSWER = 200  # characters; a longer `answer` is a solution


def write_weak(
    run: Path, model: str, source: Path | None, neighbours: int, out: Path | None
) -> str:
    """Write the problem source of a finished run; gives what was done, in sentences. `model`: "" is
    the run's last.

    Errors: `InputError` for an unfinished run, an unknown model, a source that cannot be read or is
    what the run is judged on, and for test problems asked for without a source.
    """
    manifest = files.read_manifest(run)
    told = _model(run, manifest, model)
    examined = files.read_model(run, told, manifest)
    failed = {name: _failed(cases) for name, cases in examined.items()}
    if not any(failed.values()):
        return f"{told['name']} fails no problem of this run: nothing was written"
    taken = (
        _themselves(failed)
        if source is None
        else _near(source, neighbours, manifest, examined, failed)
    )
    if not taken.rows:
        raise InputError(
            f"{source}: no problem in it is near a failed one{taken.note}: give another --source"
        )
    path = out or run / WEAK
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(
        path, b"".join(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in taken.rows)
    )
    note_ours(path)
    return (
        f"{path}: {len(taken.rows)} {taken.what} that {told['name']} fails"
        f" ({_counts(failed)}){taken.note}\nnext: .venv/generator/bin/python -m generator run"
        f" CONFIG.toml --set problems.source={path} --set corpus=FOLDER"
    )


@dataclass(frozen=True, slots=True)
class _Taken:
    rows: list[dict[str, Any]]
    what: str
    note: str


def _model(run: Path, manifest: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    models: list[Mapping[str, Any]] = manifest["models"]
    found = (
        models[-1]
        if not name
        else next((m for m in models if name in (m["name"], m["slug"])), None)
    )
    if found is None:
        raise InputError(
            f"--model {name}: {run} examined {', '.join(m['name'] for m in models)}: name one of"
            " them"
        )
    return found


def _failed(cases: Mapping[str, Sequence[Case]]) -> list[Question]:
    return [samples[0].question for samples in cases.values() if not right(samples)]


def _counts(failed: Mapping[str, Sequence[Question]]) -> str:
    return ", ".join(f"{name} {len(questions)}" for name, questions in failed.items())


def _themselves(failed: Mapping[str, Sequence[Question]]) -> _Taken:
    """The failed problems, where they were held out of a corpus."""
    tests = [name for name in failed if not name.startswith(HELD_OUT)]
    questions = [q for name, found in failed.items() if name not in tests for q in found]
    if not questions:
        raise InputError(
            f"{', '.join(tests)}: what a model is judged on is never made into training material:"
            " give --source FILE, a .jsonl of training problems, and those near the failed ones"
            " are written"
        )
    rows = [
        {"problem": q.problem, "answer": q.gold, "near": q.id, "similarity": 1.0} for q in questions
    ]
    note = f"; {', '.join(tests)} left out: a test set" if tests else ""
    return _Taken(
        rows, "held-out problems", f"{note}; once trained on, they judge nothing: hold out others"
    )


def _near(
    source: Path,
    count: int,
    manifest: Mapping[str, Any],
    examined: Mapping[str, Cases],
    failed: Mapping[str, Sequence[Question]],
) -> _Taken:
    """The source's problems nearest to the failed ones, decontaminated against everything that
    was examined.
    """
    if count < 1:
        raise InputError(f"--neighbours {count}: at least 1")
    _refuse_a_test_set(source, manifest)
    copies = _Counted(
        Copies(
            samples[0].question.problem for cases in examined.values() for samples in cases.values()
        )
    )
    questions = [q for found in failed.values() for q in found]
    found = nearest([q.problem for q in questions], _opener(source), count, copies)
    rows = [
        {
            "problem": n.text,
            "answer": n.answer,
            "near": questions[n.near].id,
            "similarity": round(n.similarity, 4),
        }
        for n in found
    ]
    note = f"; {len(copies.found)} copies of evaluation problems left out" if copies.found else ""
    return _Taken(rows, f"problems of {source} near the {len(questions)}", note)


class _Counted:
    """Remembers which texts were copies."""

    def __init__(self, is_copy: Callable[[str], bool]) -> None:
        self._is_copy = is_copy
        self.found: set[str] = set()

    def __call__(self, text: str) -> bool:
        if self._is_copy(text):
            self.found.add(text)
            return True
        return False


def _refuse_a_test_set(source: Path, manifest: Mapping[str, Any]) -> None:
    """A run with a limit has seen a part of its file only: the rest of it is a test set as well."""
    for benchmark in manifest["benchmarks"]:
        if (
            not benchmark["name"].startswith(HELD_OUT)
            and Path(benchmark["origin"]).resolve() == source.resolve()
        ):
            raise InputError(
                f"--source {source}: this is what {benchmark['name']} judges on: give training"
                " problems"
            )


def _opener(source: Path) -> Callable[[], Iterable[tuple[str, str]]]:
    if source.is_dir():
        return lambda: (
            (trace.problem, trace.gold) for trace in read_traces(source) if trace.gold is not None
        )
    return lambda: _rows(source)


def _rows(path: Path) -> Iterator[tuple[str, str]]:
    """(problem, answer) of each row that has both; one without an answer would teach nothing
    that can be checked.
    """
    try:
        for place, row in read_file(path):
            problem = problem_of(row, place)
            answer = _answer_of(row)
            if answer is not None:
                yield problem, answer
    except InputError as error:
        raise InputError(f"--source {error}") from None


def _answer_of(row: Row) -> str | None:
    """The final answer of a training problem, or the last box of its solution."""
    stated = (row[name] for name in _ANSWER_FIELDS if row.get(name) not in (None, ""))
    answer = next((final_answer(value) for value in stated), "")
    if answer and len(answer) <= _LONGEST_ANSWER:
        return answer
    return last_box(str(row.get("solution") or answer)) or None
