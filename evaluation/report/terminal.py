"""The result on a terminal: one table, one sentence a benchmark, the warnings that belong to it."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from evaluation.stats.comparison import show_p


def show(comparison: Mapping[str, Any], console: Console) -> None:
    rows = [
        (name, e)
        for name, found in comparison["benchmarks"].items()
        for e in (found, *found.get("others", ()))
    ]
    compared = any("tuned" in entry for _, entry in rows)
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    for heading in (
        "benchmark",
        "n",
        "base",
        *(("tuned", "points", "95% interval", "p") if compared else ()),
    ):
        table.add_column(heading, justify="left" if heading == "benchmark" else "right")
    for name, entry in rows:
        table.add_row(name, *_cells(entry))
    console.print(table)
    for name, entry in rows:
        for line in lines(name, entry):
            console.print(line, soft_wrap=True, markup=False)


def _cells(found: Mapping[str, Any]) -> list[str]:
    single = [str(found["n"]), _accuracy(found["base"])]
    if "tuned" not in found:
        return single
    low, high = found["interval95"]
    points, interval = f"{100 * found['difference']:+.1f}", f"{100 * low:+.1f} to {100 * high:+.1f}"
    return [*single, _accuracy(found["tuned"]), points, interval, show_p(found["mcnemar_p"])]


def lines(name: str, found: Mapping[str, Any]) -> list[str]:
    """What the table's row means, in sentences."""
    if "tuned" not in found:
        return []
    told = [f"{name}: {found['says']}"]
    if found["fixed"]:
        told.append(f"  {found['fixed']} fixed: {_causes(found['gain'])}")
    if found["broken"]:
        told.append(f"  {found['broken']} broken: {_causes(found['loss'])}")
    told.append(
        "  tokens per right answer: "
        + " → ".join(_tokens(found[role]) for role in ("base", "tuned"))
    )
    if quick := found.get("quick"):
        told.append(
            f"  stopped after {quick['asked']} of {quick['of']} problems: {quick['decision']}; a"
            f" difference is claimed wrongly with at most {quick['alpha']:.0%} probability, one of"
            f" {quick['odds']:g} to 1 missed with at most {quick['beta']:.0%}; interval and p are"
            " those of a fixed number of problems"
        )
    return told + [f"  note: {warning}" for warning in found["warnings"]]


def _causes(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} by {cause}" for cause, count in counts.items() if count)


def _accuracy(summary: Mapping[str, Any]) -> str:
    low, high = summary["wilson95"]
    return f"{100 * summary['accuracy']:.1f}% ({100 * low:.0f}–{100 * high:.0f})"


def _tokens(summary: Mapping[str, Any]) -> str:
    return (
        "none right"
        if summary["tokens_per_correct"] is None
        else f"{summary['tokens_per_correct']:,.0f}"
    )
