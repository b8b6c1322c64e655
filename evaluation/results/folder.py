"""An evaluation's folder: where results are written and how they are read back.

OUT/manifest.json  comparison.json  report.html  benchmarks.json
OUT/<model>/<benchmark>/answers.jsonl    the answer cache
OUT/<model>/<benchmark>/verdicts.jsonl   what became of each answer
OUT/<model>/lighteval/                   lighteval's own results and details
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

from evaluation.answer_cache import answer_of
from evaluation.records import Benchmark, Case, Cases, Question
from shared.errors import CannotWrite, InputError
from shared.file_writing import write_atomically
from shared.folder_lock import FolderLock
from shared.records import Verdict

MANIFEST = "manifest.json"
COMPARISON = "comparison.json"
REPORT = "report.html"


@contextmanager
def held(out: Path) -> Iterator[None]:
    """Hold a folder against a second process; the lock dies with its holder.

    Errors: `InputError` for a path that is no folder, or one whose manifest is a training run's or
    a corpus's; `CannotWrite` where the folder refuses.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        _refuse_foreign(out)
    except (FileExistsError, NotADirectoryError) as error:
        raise InputError(
            f"out = {str(out)!r}: {error.strerror}: give a folder that can be made"
        ) from None
    except OSError as error:
        raise CannotWrite(
            f"{out}: {error.strerror}: correct `out` or the folder's permissions"
        ) from None
    with FolderLock(out, key="out"):
        yield


def write_json(path: Path, value: Any) -> None:
    """Write a value as indented JSON, whole or not at all. Errors: `CannotWrite`."""
    write_atomically(
        path, orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    )


def read_json(path: Path) -> Any:
    """The value in a file. Errors: `InputError` where there is none, or where it is no JSON."""
    try:
        return orjson.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(
            f"{path}: no such file: this is not the folder of a finished evaluation"
        ) from None
    except orjson.JSONDecodeError as error:
        raise InputError(f"{path}: not JSON ({error}): run the evaluation again") from None


def read_manifest(run: Path) -> dict[str, Any]:
    """The manifest of a finished evaluation. Errors: `InputError`, also for a foreign manifest."""
    manifest = read_json(run / MANIFEST)
    keys = {"models", "benchmarks", "generation"}
    if not isinstance(manifest, dict) or not keys <= manifest.keys():
        raise InputError(
            f"{run / MANIFEST}: not an evaluation's: give the `out` folder of an evaluation, or a"
            " new one"
        )
    return manifest


def _refuse_foreign(out: Path) -> None:
    try:
        read_json(out / MANIFEST)
    except InputError:  # none yet, or a damaged one: the run writes it anew
        return
    read_manifest(out)


def write_verdicts(folder: Path, key: str, cases: Cases) -> None:
    """All cases of one model on one benchmark, in the benchmark's order."""
    rows = [_verdict_row(key, case) for group in cases.values() for case in group]
    lines = [orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows]
    write_atomically(folder / "verdicts.jsonl", b"".join(lines))


def _verdict_row(key: str, case: Case) -> dict[str, Any]:
    row = {
        "key": key,
        "id": case.question.id,
        "sample": case.sample,
        "verdict": case.verdict.verdict,
        "final_answer": case.verdict.final_answer,
        "reason": case.verdict.reason,
        "checked_by": case.verdict.checked_by,
        "boxed": case.boxed,
        "second_opinion": case.second_opinion,
    }
    if case.score is not None:
        row |= {"score": case.score, "scores": dict(case.scores)}
    return row


def read_cases(folder: Path) -> dict[str, list[Case]]:
    """The judged answers of one model on one benchmark, by problem id.

    Errors: `InputError` for an unfinished run, or answers that changed after the verdicts.
    """
    if not (folder / "verdicts.jsonl").exists():
        raise InputError(
            f"{folder}: no verdicts.jsonl: the evaluation has not finished: run it again, it goes"
            " on where it was"
        )
    answer_rows = {(row["id"], row["sample"]): row for row in _rows(folder / "answers.jsonl")}
    cases: dict[str, list[Case]] = {}
    for row in _rows(folder / "verdicts.jsonl"):
        answer_row = answer_rows.get((row["id"], row["sample"]))
        if answer_row is None or answer_row["key"] != row["key"]:
            raise InputError(
                f"{folder}: answers.jsonl has changed since it was judged: run the evaluation again"
            )
        cases.setdefault(row["id"], []).append(_case(answer_row, row))
    return cases


def _case(answer_row: Mapping[str, Any], verdict_row: Mapping[str, Any]) -> Case:
    return Case(
        Question(
            answer_row["id"],
            answer_row["problem"],
            answer_row["gold"],
            (),
            tuple(answer_row.get("other_golds", ())),
        ),
        answer_row["sample"],
        answer_of(answer_row),
        Verdict(
            verdict_row["verdict"],
            verdict_row["final_answer"],
            verdict_row["reason"],
            verdict_row["checked_by"],
        ),
        verdict_row["boxed"],
        verdict_row["second_opinion"],
        verdict_row.get("score"),
        verdict_row.get("scores", {}),
    )


def read_model(
    run: Path, model: Mapping[str, Any], manifest: Mapping[str, Any]
) -> dict[str, Cases]:
    """Cases of one model of the evaluation in `run`, by benchmark name."""
    # A comparison keeps no answers: its models lie in other runs, where "folder" points.
    folder = run / model.get("folder", model["slug"])
    return {
        benchmark["name"]: read_cases(folder / benchmark["slug"])
        for benchmark in manifest["benchmarks"]
    }


def describe(benchmark: Benchmark) -> dict[str, Any]:
    """A benchmark's entry in the manifest."""
    entry = {
        "name": benchmark.name,
        "slug": benchmark.slug,
        "problems": len(benchmark.questions),
        "whole": benchmark.whole,
        "origin": benchmark.origin,
        "sha256": benchmark.sha256,
    }
    if benchmark.option_seed is not None:
        entry["option_seed"] = benchmark.option_seed
    return entry


def _rows(path: Path) -> Iterator[Any]:
    try:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                yield _parsed(line, f"{path}:{number}")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}: run the evaluation again") from None


def _parsed(line: bytes, place: str) -> Any:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        raise InputError(f"{place}: torn: run the evaluation again, it mends its cache") from None
