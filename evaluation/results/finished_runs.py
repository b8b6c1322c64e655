"""Finished evaluations once more: any two compared, a report written anew. Nothing is asked."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluation.records import Cases
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

    run: Path
    manifest: Mapping[str, Any]
    model: Mapping[str, Any]

    @property
    def folder(self) -> Path:
        return self.run / str(self.model.get("folder", self.model["slug"]))

    def cases(self) -> dict[str, Cases]:
        return files.read_model(self.run, self.model, self.manifest)


def compare_runs(a: Path, b: Path, out: Path | None) -> dict[str, Any]:
    """The model of run A as base against the model of run B, over the benchmarks and problems
    that both have.
    """
    base, tuned = _find(a), _find(b)
    told = base.cases(), tuned.cases()
    common = [name for name in told[0] if name in told[1]]
    if not common:
        raise InputError(
            f"{a} and {b} have no benchmark in common: {', '.join(told[0])} against"
            f" {', '.join(told[1])}"
        )
    names = [base.model["name"], tuned.model["name"]]
    if names[0] == names[1]:
        names = [f"{names[0]} ({a})", f"{names[1]} ({b}{', again' if a == b else ''})"]
    results: dict[str, dict[str, Cases]] = {name: {} for name in names}
    for name in common:
        shared = [id_ for id_ in told[0][name] if id_ in told[1][name]]
        if not shared:
            raise InputError(
                f"{name}: {a} and {b} have no problem in common: they were evaluated on different"
                " data"
            )
        for side, cases in zip(names, told, strict=True):
            results[side][name] = {id_: cases[name][id_] for id_ in shared}
    manifest = _joined(names, base, tuned, common, out)
    if out is None:
        return comparison_of(manifest, results)
    out.mkdir(parents=True, exist_ok=True)
    return write_results(out, manifest, results)


def _find(run: Path) -> _Side:
    """The model meant by a run's folder (its last one: the tuned) or by one model's folder in
    it.
    """
    if (run / files.MANIFEST).exists():
        manifest = files.read_manifest(run)
        return _Side(run, manifest, manifest["models"][-1])
    whole = run.resolve().parent
    if (whole / files.MANIFEST).exists():
        manifest = files.read_manifest(whole)
        for model in manifest["models"]:
            if model["slug"] == run.resolve().name:
                return _Side(whole, manifest, model)
    raise InputError(
        f"{run}: neither the folder of a finished evaluation nor one model's folder in it"
    )


def _joined(
    names: Sequence[str], base: _Side, tuned: _Side, common: list[str], out: Path | None
) -> dict[str, Any]:
    """The manifest of a comparison across runs: the base run's, with both models and what was
    asked differently.
    """
    kept = {key: value for key, value in base.manifest.items() if key != "quick"}
    models = [
        {**side.model, "name": name, "folder": os.path.relpath(side.folder, out or ".")}
        for name, side in zip(names, (base, tuned), strict=True)
    ]
    benchmarks = [entry for entry in base.manifest["benchmarks"] if entry["name"] in common]
    ours, theirs = base.manifest["generation"], tuned.manifest["generation"]
    differing = [key for key in ours if ours[key] != theirs.get(key)]
    unequal = [
        f"the two were asked with different {key}: {ours[key]!r} and {theirs.get(key)!r}"
        for key in differing
    ]
    command = f"{typed('evaluation')} compare {base.folder} {tuned.folder}"
    return {
        **kept,
        "models": models,
        "benchmarks": benchmarks,
        "unequal": unequal,
        "command": command,
    }
