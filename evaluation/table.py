"""The result on a terminal: one table, one sentence a benchmark, the warnings that belong to it."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from evaluation.comparison import show_p


def show(comparison: Mapping[str, Any], console: Console) -> None:
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    for heading in ("benchmark", "n", "base", "tuned", "points", "95% interval", "p"):
        table.add_column(heading, justify="left" if heading == "benchmark" else "right")
    for name, found in comparison["benchmarks"].items():
        for entry in (found, *found.get("others", ())):
            table.add_row(name, *_cells(entry))
    console.print(table)
    for name, found in comparison["benchmarks"].items():
        for entry in (found, *found.get("others", ())):
            for line in lines(name, entry):
                console.print(line, soft_wrap=True, markup=False)


def _cells(found: Mapping[str, Any]) -> list[str]:
    base = _accuracy(found["base"])
    if "tuned" not in found:
        return [str(found["n"]), base, *[""] * 4]
    low, high = found["interval95"]
    return [
        str(found["n"]), base, _accuracy(found["tuned"]), f"{100 * found['difference']:+.1f}",
        f"{100 * low:+.1f} to {100 * high:+.1f}", show_p(found["mcnemar_p"]),
    ]  # fmt: skip


def lines(name: str, found: Mapping[str, Any]) -> list[str]:
    """What the table's row means, in sentences."""
    if "tuned" not in found:
        return []
    told = [f"{name}: {found['says']}"]
    if found["fixed"]:
        told.append(f"  {found['fixed']} fixed: {_causes(found['gain'])}")
    if found["broken"]:
        told.append(f"  {found['broken']} broken: {_causes(found['loss'])}")
    told.append("  tokens per right answer: " + " → ".join(_tokens(found[role]) for role in ("base", "tuned")))
    if quick := found.get("quick"):
        told.append(
            f"  stopped after {quick['asked']} of {quick['of']} problems: {quick['decision']}; a difference is claimed "
            f"wrongly with at most {quick['alpha']:.0%} probability, one of {quick['odds']:g} to 1 missed with at most "
            f"{quick['beta']:.0%}; interval and p are those of a fixed number of problems"
        )
    return told + [f"  note: {warning}" for warning in found["warnings"]]


def _causes(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} by {cause}" for cause, count in counts.items() if count)


def _accuracy(summary: Mapping[str, Any]) -> str:
    low, high = summary["wilson95"]
    return f"{100 * summary['accuracy']:.1f}% ({100 * low:.0f}–{100 * high:.0f})"


def _tokens(summary: Mapping[str, Any]) -> str:
    return "none right" if summary["tokens_per_correct"] is None else f"{summary['tokens_per_correct']:,.0f}"
