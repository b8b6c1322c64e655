"""Finished evaluations once more: any two compared, a report written anew. Nothing is asked."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluation.records import Cases, Results
from evaluation.results import folder as files
from evaluation.results.output_files import comparison_of, write_results
from shared.errors import InputError, typed


def report_again(run: Path) -> Path:
    """comparison.json and report.html of a finished run, from its answers and verdicts."""
    manifest = files.read_manifest(run)
    results = {
        model["name"]: files.read_model(run, model, manifest) for model in manifest["models"]
    }
    write_results(run, manifest, results)
    return run / files.REPORT


@dataclass(frozen=True, slots=True)
class _Side:
    """One model of one finished run."""

    place: Path  # as the user named it
    run: Path
    manifest: Mapping[str, Any]
    model: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The model's name as its run's manifest has it."""
        return str(self.model["name"])

    @property
    def folder(self) -> Path:
        """Where the model's answers lie."""
        return self.run / str(self.model.get("folder", self.model["slug"]))

    def cases(self) -> dict[str, Cases]:
        """The model's cases by benchmark. Errors: `InputError` for an unfinished run."""
        return files.read_model(self.run, self.model, self.manifest)


def compare_runs(base_run: Path, tuned_run: Path, out: Path | None) -> dict[str, Any]:
    """The model of one run as base against that of another; gives comparison.json's content.

    Only the benchmarks and problems that both have are compared; written where `out` is given.
    Errors: `InputError` for a folder that is no finished run, or where nothing is common.
    """
    base = _find(base_run)
    tuned_model = _find(tuned_run)
    results = _common_results(base, tuned_model, _distinct_names(base, tuned_model))
    manifest = _manifest(base, tuned_model, results, out)
    if out is None:
        return comparison_of(manifest, results)
    out.mkdir(parents=True, exist_ok=True)
    return write_results(out, manifest, results)


def _distinct_names(base: _Side, tuned: _Side) -> tuple[str, str]:
    """The two models' names, followed by their runs where the names are the same."""
    if base.name != tuned.name:
        return base.name, tuned.name
    again = ", again" if base.place == tuned.place else ""
    return f"{base.name} ({base.place})", f"{tuned.name} ({tuned.place}{again})"


def _common_results(base: _Side, tuned: _Side, names: tuple[str, str]) -> Results:
    """The cases of both models on the problems that both were asked."""
    base_cases = base.cases()
    tuned_cases = tuned.cases()
    benchmarks = [name for name in base_cases if name in tuned_cases]
    if not benchmarks:
        raise InputError(
            f"{base.place} and {tuned.place} have no benchmark in common:"
            f" {', '.join(base_cases)} against {', '.join(tuned_cases)}"
        )
    results: dict[str, dict[str, Cases]] = {name: {} for name in names}
    for benchmark in benchmarks:
        ids = [id_ for id_ in base_cases[benchmark] if id_ in tuned_cases[benchmark]]
        if not ids:
            raise InputError(
                f"{benchmark}: {base.place} and {tuned.place} have no problem in common: they"
                " were evaluated on different data"
            )
        for name, cases in zip(names, (base_cases, tuned_cases), strict=True):
            results[name][benchmark] = {id_: cases[benchmark][id_] for id_ in ids}
    return results


def _find(run: Path) -> _Side:
    """The model meant by a run's folder (its last one: the tuned), or by its own folder there."""
    if (run / files.MANIFEST).exists():
        manifest = files.read_manifest(run)
        return _Side(run, run, manifest, manifest["models"][-1])
    parent = run.resolve().parent
    if (parent / files.MANIFEST).exists():
        manifest = files.read_manifest(parent)
        for model in manifest["models"]:
            if model["slug"] == run.resolve().name:
                return _Side(run, parent, manifest, model)
    raise InputError(
        f"{run}: neither the folder of a finished evaluation nor one model's folder in it"
    )


def _manifest(base: _Side, tuned: _Side, results: Results, out: Path | None) -> dict[str, Any]:
    """The manifest of a comparison across runs.

    It is the base run's, with both models and with what the two were asked differently.
    """
    models = [
        {**side.model, "name": name, "folder": os.path.relpath(side.folder, out or ".")}
        for name, side in zip(results, (base, tuned), strict=True)
    ]
    common_names = next(iter(results.values())).keys()
    benchmarks = [entry for entry in base.manifest["benchmarks"] if entry["name"] in common_names]
    base_settings = base.manifest["generation"]
    tuned_settings = tuned.manifest["generation"]
    unequal = [
        f"the two were asked with different {key}: {value!r} and {tuned_settings.get(key)!r}"
        for key, value in base_settings.items()
        if key != "preset" and value != tuned_settings.get(key)
    ]
    manifest = {
        **base.manifest,
        "models": models,
        "benchmarks": benchmarks,
        "unequal": unequal,
        "command": f"{typed('evaluation')} compare {base.folder} {tuned.folder}",
    }
    manifest.pop("quick", None)  # the sequential test was another comparison's
    return manifest
