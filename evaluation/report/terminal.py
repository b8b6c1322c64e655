"""The result on a terminal: one table, one sentence a benchmark, the warnings that belong to it."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from evaluation.stats.comparison import Entry, comparisons_of, show_p


def show(comparison: Mapping[str, Any], console: Console) -> None:
    """Print a comparison. `comparison` is comparison.json's content.

    Several models compared with one base get a heading and a table each.
    """
    tables: dict[str, dict[str, Entry]] = {}  # by tuned model ("" without one), by benchmark
    for name, benchmark in comparison["benchmarks"].items():
        for entry in comparisons_of(benchmark):
            model = entry["tuned"]["model"] if "tuned" in entry else ""
            tables.setdefault(model, {})[name] = entry
    for model, entries in tables.items():
        if len(tables) > 1:
            console.print(f"\n{model}:", soft_wrap=True, markup=False)
        console.print(_table(entries))
        for name, entry in entries.items():
            for line in lines(name, entry):
                console.print(line, soft_wrap=True, markup=False)


def _table(entries: Mapping[str, Entry]) -> Table:
    headings = ["n", "base"]
    if any("tuned" in entry for entry in entries.values()):
        headings += ["tuned", "points", "95% interval", "p"]
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column("benchmark", overflow="fold")  # on a narrow terminal names break, not numbers
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    for name, entry in entries.items():
        table.add_row(escape(name), *_cells(entry))
    return table


def _cells(entry: Entry) -> list[str]:
    cells = [str(entry["n"]), _accuracy(entry["base"])]
    if "tuned" in entry:
        low, high = entry["interval95"]
        cells += [
            _accuracy(entry["tuned"]),
            f"{100 * entry['difference']:+.1f}",
            f"{100 * low:+.1f} to {100 * high:+.1f}",
            show_p(entry["mcnemar_p"]),
        ]
    return cells


def lines(name: str, entry: Entry) -> list[str]:
    """What the table's row means, in sentences."""
    if "tuned" not in entry:
        return []
    sentences = [f"{name}: {entry['says']}"]
    if entry["fixed"]:
        sentences.append(f"  {entry['fixed']} fixed: {_causes(entry['gain'])}")
    if entry["broken"]:
        sentences.append(f"  {entry['broken']} broken: {_causes(entry['loss'])}")
    costs = [_tokens(entry[role]) for role in ("base", "tuned")]
    sentences.append(f"  tokens per right answer: {' → '.join(costs)}")
    quick = entry.get("quick")
    if quick:
        sentences.append(
            f"  stopped after {quick['asked']} of {quick['of']} problems: {quick['decision']}; a"
            f" difference is claimed wrongly with at most {quick['alpha']:.0%} probability, one of"
            f" {quick['odds']:g} to 1 missed with at most {quick['beta']:.0%}; interval and p are"
            " those of a fixed number of problems"
        )
    return sentences + [f"  note: {warning}" for warning in entry["warnings"]]


def _causes(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} by {cause}" for cause, count in counts.items() if count)


def _accuracy(summary: Entry) -> str:
    low, high = summary["wilson95"]
    return f"{100 * summary['accuracy']:.1f}% ({100 * low:.0f}–{100 * high:.0f})"


def _tokens(summary: Entry) -> str:
    tokens = summary["tokens_per_correct"]
    return "none right" if tokens is None else f"{tokens:,.0f}"
