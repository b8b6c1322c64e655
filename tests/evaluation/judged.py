"""Judged answers and whole reports made by hand, for tests of what comes after the judging."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evaluation.answer_cache import AnswerCache
from evaluation.records import Case, ModelAnswer, Question, SampleRequest
from evaluation.report import write_report
from evaluation.results.folder import COMPARISON, MANIFEST, write_json, write_verdicts
from evaluation.results.output_files import comparison_of
from shared.records import Verdict, problem_id

Results = dict[str, dict[str, dict[str, list[Case]]]]


def judged(
    problem: str,
    gold: str,
    text: str,
    *,
    correct: bool,
    tokens: int = 50,
    boxed: bool = True,
    finish: str = "stop",
    sample: int = 0,
    second: bool | None = None,
    answer: str | None = None,
    id_: str = "",
) -> Case:
    name = "correct" if correct else "truncated" if finish == "length" else "incorrect"
    verdict = Verdict(name, gold if correct else answer, "as written in the test", "exact")
    question = Question(id_ or problem_id(problem), problem, gold, ())
    return Case(
        question,
        sample,
        ModelAnswer(text, finish, 10, tokens, 1.0),
        verdict,
        boxed,
        correct if second is None else second,
    )


def by_id(cases: Sequence[Case]) -> dict[str, list[Case]]:
    cases_by_id: dict[str, list[Case]] = {}
    for case in cases:
        cases_by_id.setdefault(case.question.id, []).append(case)
    return cases_by_id


def manifest_of(results: Results, origins: Mapping[str, str] | None = None) -> dict[str, Any]:
    base_results = next(iter(results.values()))
    models = [
        {"name": name, "slug": f"model-{at}", "weights": "ab" * 16, "key": f"key-{at}"}
        for at, name in enumerate(results)
    ]
    benchmarks = [
        {
            "name": name,
            "slug": f"benchmark-{at}",
            "problems": len(cases),
            "whole": len(cases),
            "sha256": "cd" * 32,
            "origin": (origins or {}).get(name, "hub:somewhere main/test"),
        }
        for at, (name, cases) in enumerate(base_results.items())
    ]
    return {
        "schema": 1,
        "models": models,
        "benchmarks": benchmarks,
        "card": "a card",
        "python": "3.11",
        "git_commit": "",
        "generation": {"max_new_tokens": 4096, "temperature": 0.0},
        "libraries": {"torch": "2.13.0"},
        "command": "python -m evaluation run configs/x.toml",
        "finished_at": "2030-01-01",
    }


def report_of(path: Path, results: Results) -> str:
    """Write a report and give its text."""
    write_report(path, manifest_of(results), comparison_of({}, results), results)
    return path.read_text(encoding="utf-8")


def finished_run(out: Path, results: Results, origins: Mapping[str, str] | None = None) -> Path:
    """The folder of a finished evaluation, as `evaluation run` leaves it (without lighteval's
    own files).
    """
    manifest = manifest_of(results, origins)
    out.mkdir(parents=True)
    write_json(out / MANIFEST, manifest)
    write_json(out / COMPARISON, comparison_of({}, results))
    for model, cases_by_benchmark in zip(manifest["models"], results.values(), strict=True):
        for benchmark in manifest["benchmarks"]:
            folder = out / model["slug"] / benchmark["slug"]
            cache = AnswerCache(folder, model["key"])
            for group in cases_by_benchmark[benchmark["name"]].values():
                for case in group:
                    cache.write(
                        SampleRequest(case.question, case.sample),
                        case.question.problem,
                        case.answer,
                    )
            cache.close()
            write_verdicts(folder, model["key"], cases_by_benchmark[benchmark["name"]])
    return out
