"""The three files that an evaluation ends with: manifest.json, comparison.json, report.html."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evaluation.records import Results
from evaluation.report import write_report
from evaluation.results import folder as files
from evaluation.stats.comparison import compare, summary


def write_results(out: Path, manifest: Mapping[str, Any], results: Results) -> dict[str, Any]:
    """Write all three into `out`; gives comparison.json's content. Errors: `CannotWrite`."""
    comparison = comparison_of(manifest, results)
    files.write_json(out / files.MANIFEST, manifest)
    files.write_json(out / files.COMPARISON, comparison)
    write_report(out / files.REPORT, manifest, comparison, results)
    return comparison


def comparison_of(manifest: Mapping[str, Any], results: Results) -> dict[str, Any]:
    """comparison.json's content: {"benchmarks": {name: entry}}."""
    base = next(iter(results))
    entries = {name: _entry(name, manifest, results) for name in results[base]}
    return {"benchmarks": entries}


def _entry(benchmark: str, manifest: Mapping[str, Any], results: Results) -> dict[str, Any]:
    """The first model against the second; further models beside them under "others"."""
    base, *tuned_models = results
    base_cases = results[base][benchmark]
    if not tuned_models:
        return {"n": len(base_cases), "base": summary(base, base_cases)}
    comparisons = [
        compare(base, base_cases, tuned_model, results[tuned_model][benchmark])
        for tuned_model in tuned_models
    ]
    for comparison in comparisons:
        comparison["warnings"] += manifest.get("unequal", [])
    entry = comparisons[0]
    if len(comparisons) > 1:
        entry["others"] = comparisons[1:]
    decision = manifest.get("quick", {}).get(benchmark)
    if decision:
        entry["quick"] = decision
    return entry
