"""The static part of the report, and the frame that the script fills with cases."""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from evaluation.report import plots
from evaluation.report.headline import header
from evaluation.report.provenance import provenance
from evaluation.report.tables import table
from evaluation.stats.comparison import Entry, comparisons_of
from shared.pages.charts import legend
from shared.pages.frame import asset, document_opening, math_script

_SCRIPTS = ("blocks.js", "case_view.js", "cases.js")
_LISTED_DISAGREEMENTS = 12
_CAUSES_EXPLAINED = (
    "format: no box before; finishing: cut off or thinking unclosed before; reasoning: both boxed"
)


def opening(manifest: Mapping[str, Any], comparison: Mapping[str, Any]) -> str:
    """Everything before the data blocks, as HTML."""
    benchmarks = comparison["benchmarks"]
    sections = [
        header(manifest, benchmarks),
        *(_benchmark(name, entry) for name, entry in benchmarks.items()),
        _CASES,
        provenance(manifest),
    ]
    style = asset(__package__, "page.css")
    return document_opening("Evaluation report", "\n".join(sections), style=style, script=_script())


def _script() -> str:
    """All scripts as one, so that the policy names one hash."""
    parts = [math_script(), *(asset(__package__, name) for name in _SCRIPTS)]
    return '"use strict";\n(() => {\n' + "\n".join(parts) + "\n})();\n"


def _benchmark(name: str, entry: Entry) -> str:
    comparisons = [comparison for comparison in comparisons_of(entry) if "tuned" in comparison]
    summaries = [entry["base"], *(comparison["tuned"] for comparison in comparisons)]
    figures = "".join(
        _figure(title, explanation, drawing)
        for title, explanation, drawing in _figures(comparisons, summaries)
    )
    models = [(plots.model_colour(at), summary["model"]) for at, summary in enumerate(summaries)]
    return (
        f"<section><h2>{escape(name)}</h2>{legend(models)}<div class=figures>{figures}</div>"
        f"{_opinions(name, summaries)}</section>"
    )


def _figures(
    comparisons: Sequence[Entry], summaries: Sequence[Entry]
) -> Iterator[tuple[str, str, str]]:
    """(title, explanation, SVG or table) of a benchmark's figures."""
    yield "Accuracy", "share of right answers, with 95% Wilson intervals", plots.accuracy(summaries)
    if comparisons:
        drawing = plots.difference(comparisons)
        yield "Difference to the base", "percentage points, 95% paired bootstrap", drawing
    for comparison in comparisons:
        title = "What the gain is made of"
        if len(comparisons) > 1:
            title += f": {comparison['tuned']['model']}"
        yield title, _CAUSES_EXPLAINED, plots.gain(comparison)
    yield (
        "Accuracy by length",
        "by tokens of the answer, thinking included; below each bar its number of answers",
        plots.by_length(summaries),
    )
    yield (
        "Tokens per right answer",
        "all tokens generated, divided by right answers",
        plots.tokens_per_correct(summaries),
    )
    if "pass_at_k" in summaries[0]:
        yield "Several samples a problem", "", plots.pass_at_k(summaries)


def _figure(title: str, explanation: str, drawing: str) -> str:
    caption = f"<b>{escape(title)}</b> <span class=dim>{escape(explanation)}</span>"
    return f"<figure><figcaption>{caption}</figcaption>{drawing}</figure>"


def _opinions(name: str, summaries: Sequence[Entry]) -> str:
    """lighteval's own metric beside our grading, and where they differ."""
    titles = (
        "model",
        "right",
        "right to lighteval",
        "they disagree on",
        "unfinished",
        "without a box",
        "mean tokens",
    )
    return table(titles, [_opinion_cells(name, summary) for summary in summaries])


def _opinion_cells(name: str, summary: Entry) -> list[str]:
    opinion = summary["second_opinion"]
    # As problems, like the column before it: with several samples, the mean over them.
    opinion_correct = opinion["correct"] / summary.get("samples", 1)
    return [
        escape(summary["model"]),
        f"{summary['correct']:g}",
        f"{round(opinion_correct, 6):g}",
        _links(name, opinion["disagreements"]),
        str(summary["unfinished"]),
        str(summary["no_box"]),
        f"{summary['mean_tokens']:,.0f}",
    ]


def _links(name: str, disagreements: Sequence[str]) -> str:
    """Links to the cases of `disagreements`, each of which is "id:sample"."""
    ids = list(dict.fromkeys(entry.rpartition(":")[0] for entry in disagreements))
    if not ids:
        return "nothing"
    links = " ".join(
        f'<a href="#case" data-benchmark="{escape(name)}"'
        f' data-case="{escape(id_)}">{escape(id_[:6])}</a>'
        for id_ in ids[:_LISTED_DISAGREEMENTS]
    )
    unlisted_count = len(ids) - _LISTED_DISAGREEMENTS
    return f"{links} and {unlisted_count} more" if unlisted_count > 0 else links


_CASES = """<section id=cases><h2>Every case</h2>
<noscript><p>Reading the cases needs JavaScript; the page loads nothing from anywhere.</p></noscript>
<div class=controls>
<select id=benchmark aria-label="benchmark"></select>
<select id=against aria-label="model compared with the base"></select>
<span id=outcomes role=group aria-label="outcome"></span>
<select id=order aria-label="order"><option value=given>in the benchmark's order</option>
<option value=longest>longest answers first</option><option value=grown>grown most first</option></select>
<label class=check><input type=checkbox id=disagree> lighteval disagrees</label>
<input id=search type=search placeholder="search problem, id, gold, answers given" aria-label="search">
<label class=check><input type=checkbox id=deep> also in full texts</label>
<label class=check><input type=checkbox id=math checked> math</label>
<span id=count class=dim aria-live=polite></span></div>
<div class=browser><div id=list tabindex=0 role=listbox aria-label="cases"><div id=rows></div></div>
<div id=detail tabindex=0 aria-label="case"><p class=dim>Choose a case; the arrow keys go on from it.</p></div></div>
</section>"""
