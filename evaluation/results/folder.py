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
from shared.folder_lock import FolderLock
from shared.records import Verdict
from shared.shards import write_atomically

MANIFEST, COMPARISON, REPORT = "manifest.json", "comparison.json", "report.html"


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
    write_atomically(
        path, orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    )


def read_json(path: Path) -> Any:
    try:
        return orjson.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(
            f"{path}: no such file: this is not the folder of a finished evaluation"
        ) from None
    except orjson.JSONDecodeError as error:
        raise InputError(f"{path}: not JSON ({error}): run the evaluation again") from None


def read_manifest(run: Path) -> dict[str, Any]:
    """The manifest of a finished evaluation. Errors: `InputError`, also where it is another
    program's.
    """
    manifest = read_json(run / MANIFEST)
    if (
        not isinstance(manifest, dict)
        or not {"models", "benchmarks", "generation"} <= manifest.keys()
    ):
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
    rows = [
        {
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
        for group in cases.values()
        for case in group
    ]
    write_atomically(
        folder / "verdicts.jsonl",
        b"".join(orjson.dumps(r, option=orjson.OPT_APPEND_NEWLINE) for r in rows),
    )


def read_cases(folder: Path) -> dict[str, list[Case]]:
    """The judged answers of one model on one benchmark, by problem id. Errors: `InputError` for
    an unfinished run.
    """
    if not (folder / "verdicts.jsonl").exists():
        raise InputError(
            f"{folder}: no verdicts.jsonl: the evaluation has not finished: run it again, it goes"
            " on where it was"
        )
    answers = {(row["id"], row["sample"]): row for row in _rows(folder / "answers.jsonl")}
    cases: dict[str, list[Case]] = {}
    for row in _rows(folder / "verdicts.jsonl"):
        told = answers.get((row["id"], row["sample"]))
        if told is None or told["key"] != row["key"]:
            raise InputError(
                f"{folder}: answers.jsonl has changed since it was judged: run the evaluation again"
            )
        question = Question(row["id"], told["problem"], told["gold"], ())
        verdict = Verdict(row["verdict"], row["final_answer"], row["reason"], row["checked_by"])
        case = Case(
            question, row["sample"], answer_of(told), verdict, row["boxed"], row["second_opinion"]
        )
        cases.setdefault(row["id"], []).append(case)
    return cases


def read_model(
    run: Path, model: Mapping[str, Any], manifest: Mapping[str, Any]
) -> dict[str, Cases]:
    """Cases of one model of the evaluation in `run`, by benchmark name."""
    folder = run / model.get(
        "folder", model["slug"]
    )  # a comparison keeps no answers: its models lie in other runs
    return {
        benchmark["name"]: read_cases(folder / benchmark["slug"])
        for benchmark in manifest["benchmarks"]
    }


def describe(benchmark: Benchmark) -> dict[str, Any]:
    """A benchmark's entry in the manifest."""
    return {
        "name": benchmark.name,
        "slug": benchmark.slug,
        "problems": len(benchmark.questions),
        "whole": benchmark.whole,
        "origin": benchmark.origin,
        "sha256": benchmark.sha256,
    }


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
