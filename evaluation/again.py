"""Finished evaluations once more: any two compared, a report written anew. Nothing is asked."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evaluation import folder as files
from evaluation.pipeline import compared, write_results
from shared.exits import InputError


def report_again(run: Path) -> Path:
    """comparison.json and report.html of a finished run, from its answers and verdicts."""
    manifest = files.read_json(run / files.MANIFEST)
    results = {m["name"]: files.read_model(run / m["slug"], manifest) for m in manifest["models"]}
    write_results(run, manifest, results)
    return run / files.REPORT


def compare_runs(a: Path, b: Path, out: Path | None) -> dict[str, Any]:
    """The model of run A as base against the model of run B, over the benchmarks and problems that both have."""
    (base, base_manifest), (tuned, tuned_manifest) = _find(a), _find(b)
    told = files.read_model(base_manifest["folder"], base_manifest), files.read_model(tuned_manifest["folder"], tuned_manifest)
    common = [name for name in told[0] if name in told[1]]
    if not common:
        raise InputError(f"{a} and {b} have no benchmark in common: {', '.join(told[0])} against {', '.join(told[1])}")
    names = (base, tuned) if base != tuned else (f"{base} ({a})", f"{tuned} ({b})")
    results: dict[str, dict[str, Any]] = {names[0]: {}, names[1]: {}}
    for name in common:
        shared = [id_ for id_ in told[0][name] if id_ in told[1][name]]
        if not shared:
            raise InputError(f"{name}: {a} and {b} have no problem in common: they were evaluated on different data")
        for side, cases in zip(names, told, strict=True):
            results[side][name] = {id_: cases[name][id_] for id_ in shared}
    if out is None:
        return compared({}, results)
    out.mkdir(parents=True, exist_ok=True)
    return write_results(out, _joined(names, base_manifest, tuned_manifest, common, (a, b)), results)


def _find(run: Path) -> tuple[str, dict[str, Any]]:
    """(model, manifest with its folder) of a run's folder (its last model: the tuned one) or of one model's folder in it."""
    if (run / files.MANIFEST).exists():
        manifest = files.read_json(run / files.MANIFEST)
        model = manifest["models"][-1]
        return model["name"], manifest | {"folder": run / model["slug"], "model": model}
    manifest = files.read_json(run.resolve().parent / files.MANIFEST)
    for model in manifest["models"]:
        if model["slug"] == run.resolve().name:
            return model["name"], manifest | {"folder": run, "model": model}
    raise InputError(f"{run}: neither an evaluation's folder nor one model's folder in it")


def _joined(
    names: tuple[str, str], a: Mapping[str, Any], b: Mapping[str, Any], common: list[str], runs: tuple[Path, Path]
) -> dict[str, Any]:
    """The manifest of a comparison across runs: the base run's, with both models; differences in settings are kept."""
    kept = {key: value for key, value in a.items() if key not in ("folder", "model", "quick")}
    models = [{**a["model"], "name": names[0]}, {**b["model"], "name": names[1]}]
    benchmarks = [entry for entry in a["benchmarks"] if entry["name"] in common]
    command = f"python -m evaluation compare {runs[0]} {runs[1]}"
    return {**kept, "models": models, "benchmarks": benchmarks, "generation_tuned": b["generation"], "command": command}
