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

from evaluation.neighbours import nearest
from evaluation.records import Cases, Question
from evaluation.results import folder as files
from evaluation.stats.comparison import right
from shared.benchmarks.names import HELD_OUT
from shared.benchmarks.rows import Row, final_answer, problem_of, read_file
from shared.contamination import EvaluationIndex
from shared.destinations import note_ours
from shared.errors import InputError
from shared.file_writing import write_atomically
from shared.grading.extract import last_box
from shared.records import read_traces

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
    record = _model_record(run, manifest, model)
    cases_by_model = files.read_model(run, record, manifest)
    failed_questions = {name: _failed_questions(cases) for name, cases in cases_by_model.items()}
    if not any(failed_questions.values()):
        return f"{record['name']} fails no problem of this run: nothing was written"
    if source is None:
        selection = _failed_themselves(failed_questions)
    else:
        selection = _near(source, neighbours, manifest, cases_by_model, failed_questions)
    if not selection.rows:
        raise InputError(
            f"{source}: no problem in it is near a failed one{selection.note}: give another"
            " --source"
        )
    path = out or run / WEAK
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = (orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in selection.rows)
    write_atomically(path, b"".join(lines))
    note_ours(path)
    return (
        f"{path}: {len(selection.rows)} {selection.what} that {record['name']} fails"
        f" ({_counts(failed_questions)}){selection.note}\n"
        "next: .venv/generator/bin/python -m generator run"
        f" CONFIG.toml --set problems.source={path} --set corpus=FOLDER"
    )


@dataclass(frozen=True, slots=True)
class _MinedProblems:
    """The rows to write, what they are, and what else is to be said of them."""

    rows: list[dict[str, Any]]
    what: str
    note: str


def _model_record(run: Path, manifest: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The manifest's record of the model of that name or slug; of the last one for ""."""
    models: list[Mapping[str, Any]] = manifest["models"]
    if not name:
        return models[-1]
    for model in models:
        if name in (model["name"], model["slug"]):
            return model
    names = ", ".join(model["name"] for model in models)
    raise InputError(f"--model {name}: {run} examined {names}: name one of them")


def _failed_questions(cases: Cases) -> list[Question]:
    return [samples[0].question for samples in cases.values() if not right(samples)]


def _counts(failed: Mapping[str, Sequence[Question]]) -> str:
    return ", ".join(f"{name} {len(questions)}" for name, questions in failed.items())


def _failed_themselves(failed: Mapping[str, Sequence[Question]]) -> _MinedProblems:
    """The failed problems, where they were held out of a corpus."""
    test_sets = [name for name in failed if not name.startswith(HELD_OUT)]
    held_out = [name for name in failed if name.startswith(HELD_OUT)]
    questions = [question for name in held_out for question in failed[name]]
    if not questions:
        raise InputError(
            f"{', '.join(test_sets)}: what a model is judged on is never made into training"
            " material: give --source FILE, a .jsonl of training problems, and those near the"
            " failed ones are written"
        )
    rows = [
        {"problem": each.problem, "answer": each.gold, "near": each.id, "similarity": 1.0}
        for each in questions
    ]
    left_out = f"; {', '.join(test_sets)} left out: a test set" if test_sets else ""
    note = f"{left_out}; once trained on, they judge nothing: hold out others"
    return _MinedProblems(rows, "held-out problems", note)


def _near(
    source: Path,
    count: int,
    manifest: Mapping[str, Any],
    examined: Mapping[str, Cases],
    failed: Mapping[str, Sequence[Question]],
) -> _MinedProblems:
    """The source's problems nearest to the failed ones, decontaminated against everything that
    was examined.
    """
    if count < 1:
        raise InputError(f"--neighbours {count}: at least 1")
    _refuse_a_test_set(source, manifest)
    copies = _CopyFilter(examined)
    questions = [question for group in failed.values() for question in group]
    problems = [question.problem for question in questions]
    rows = [
        {
            "problem": neighbour.text,
            "answer": neighbour.answer,
            "near": questions[neighbour.near].id,
            "similarity": round(neighbour.similarity, 4),
        }
        for neighbour in nearest(problems, _opener(source), count, copies)
    ]
    count_left_out = len(copies.texts)
    note = f"; {count_left_out} copies of evaluation problems left out" if count_left_out else ""
    return _MinedProblems(rows, f"problems of {source} near the {len(questions)}", note)


class _CopyFilter:
    """Whether a text is a copy of an examined problem, by decontamination's rule. Remembers those
    that were.
    """

    def __init__(self, examined: Mapping[str, Cases]) -> None:
        self._index = EvaluationIndex(
            {
                name: [samples[0].question.problem for samples in cases.values()]
                for name, cases in examined.items()
            }
        )
        self.texts: set[str] = set()

    def __call__(self, text: str) -> bool:
        is_copy = self._index.has_copy_of(text)
        if is_copy:
            self.texts.add(text)
        return is_copy


def _refuse_a_test_set(source: Path, manifest: Mapping[str, Any]) -> None:
    """A run with a limit has seen a part of its file only: all else in it is a test set as well."""
    for benchmark in manifest["benchmarks"]:
        is_held_out = benchmark["name"].startswith(HELD_OUT)
        if not is_held_out and Path(benchmark["origin"]).resolve() == source.resolve():
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
    values = (row[name] for name in _ANSWER_FIELDS if row.get(name) not in (None, ""))
    answer = next(map(final_answer, values), "")
    if answer and len(answer) <= _LONGEST_ANSWER:
        return answer
    return last_box(str(row.get("solution") or answer)) or None
