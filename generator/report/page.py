"""The report as one self-contained HTML page: nothing fetched, everything from the corpus escaped.
Samples have addresses of their own (`#sample-ID`) and can be searched.
"""

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from generator.report.figures import BINS_A_DECADE, Figures, LaneFigures
from shared.pages import asset, document
from shared.pages.charts import bars, histogram, legend, stacked_bars
from shared.records import VERDICTS, Trace
from shared.shards import Pile

TEXT_CHARACTERS = 6_000  # of a sample's reasoning and response each
SOURCES = 20
REASONS = 16

MOST_TICKS = 8  # below a histogram
SEARCH = (
    '<p><input id=search type=search placeholder="search the samples below"'
    ' aria-label="search the samples below"> <span id=matches class=dim role=status></span></p>'
)
STYLE = """
#search { font: inherit; width: min(100%, 28rem); padding: .3rem .6rem; border: 1px solid var(--line);
  border-radius: 6px; color: var(--fg); background: var(--card); }
details:target { outline: 2px solid var(--focus); }
"""

PILE_COLOURS: dict[Pile, str] = {"traces": "green", "rejected": "red"}
VERDICT_COLOURS = dict(
    zip(VERDICTS, ("green", "red", "amber", "purple", "blue", "grey"), strict=True)
)


def page(figures: Figures, made_at: str) -> str:
    """The whole page. `made_at`: UTC, for the heading."""
    sections = [
        _head(figures, made_at),
        _verdicts(figures),
        _lengths(figures),
        _pass_rates(figures),
        _rejects(figures),
        _flags(figures),
        _costs(figures),
        _screening(figures),
        _suspects(figures),
        _samples(figures),
    ]
    body = "\n".join(section for section in sections if section)
    title = f"{figures.corpus} · report"
    return document(title, body, style=STYLE, script=asset(__package__, "samples.js"))


def _head(figures: Figures, made_at: str) -> str:
    tokens = sum(lane.completion_tokens for lane in figures.lanes.values())
    cost = sum(lane.cost_usd for lane in figures.lanes.values())
    has_price = any(lane.has_price for lane in figures.lanes.values())
    answered_problems = sum(1 for _, answers in figures.problems.values() if answers)
    solved_problems = sum(1 for correct, _ in figures.problems.values() if correct)
    trace_cost = _dollars(cost / max(1, figures.kept))
    facts = [
        (f"{figures.kept:,}", "traces kept"),
        (f"{_share(figures.kept, figures.rows)}", f"of {figures.rows:,} samples"),
        (f"{len(figures.problems):,}", "problems asked"),
        (f"{_share(solved_problems, answered_problems)}", "of them solved"),
        (f"{tokens:,}", "completion tokens"),
        (f"{tokens / max(1, figures.kept):,.0f}", "tokens per kept trace"),
    ]
    if has_price:
        facts += [(_dollars(cost), "spent"), (trace_cost, "per kept trace")]
    else:
        facts.append(("–", "no prices configured"))
    tiles = "".join(
        f"<div><b>{escape(value)}</b><span>{escape(name)}</span></div>" for value, name in facts
    )
    torn = (
        f" {figures.torn:,} lines could not be read: run <code>check</code>."
        if figures.torn
        else ""
    )
    return (
        f"<h1 translate=no>{escape(figures.corpus)}</h1><p class=dim>Samples from {_minute(figures.first_start)}"
        f" to {_minute(figures.last_end)} UTC; page made {escape(made_at)}.{torn}</p><div"
        f" class=tiles>{tiles}</div>"
    )


def _verdicts(figures: Figures) -> str:
    sources = sorted(figures.by_source.items(), key=lambda item: -item[1].total())[:SOURCES]
    rows = [
        (source, [(VERDICT_COLOURS[verdict], counts[verdict]) for verdict in VERDICTS])
        for source, counts in sources
    ]
    keys = [
        (VERDICT_COLOURS[verdict], f"{verdict} {figures.verdicts[verdict]:,}")
        for verdict in VERDICTS
        if figures.verdicts[verdict]
    ]
    chart = stacked_bars(rows, "samples by source and verdict")
    return f"<h2>Verdicts by source</h2>{legend(keys)}{chart}"


def _lengths(figures: Figures) -> str:
    used_bins = [number for counts in figures.lengths.values() for number in counts]
    if not used_bins:
        return ""
    lowest_bin = min(used_bins)
    bins = range(lowest_bin, max(used_bins) + 1)
    series: dict[str, tuple[str, Sequence[float]]] = {
        pile: (PILE_COLOURS[pile], [counts[number] for number in bins])
        for pile, counts in figures.lengths.items()
    }
    every = max(1, len(bins) // MOST_TICKS)
    ticks = [
        (number - lowest_bin, f"{10 ** (number / BINS_A_DECADE):,.0f}")
        for number in bins
        if number % every == 0
    ]
    plot = histogram(
        series, ticks, "samples by completion tokens", "completion tokens (logarithmic)"
    )
    return f"<h2>Lengths</h2>{legend([('green', 'kept'), ('red', 'rejected')])}{plot}"


def _pass_rates(figures: Figures) -> str:
    counts = figures.pass_rates()
    ticks = [(number, f"{number / 10:.0%}") for number in range(11)]
    plot = histogram(
        {"problems": ("green", counts)},
        ticks,
        "problems by pass rate",
        "share of a problem's samples that were right",
    )
    return f"<h2>Pass rates</h2>{plot}"


def _rejects(figures: Figures) -> str:
    total = sum(figures.reasons.values())
    if not total:
        return "<h2>Why samples were rejected</h2><p class=dim>none was</p>"
    chart = bars(figures.reasons.most_common(REASONS), "reject reasons", "red", total)
    return f"<h2>Why samples were rejected</h2>{chart}"


def _flags(figures: Figures) -> str:
    checks = figures.checked_by.most_common()
    check_chart = bars(checks, "how answers were checked", "blue", figures.kept)
    flag_chart = "<p class=dim>no flags</p>"
    if figures.flags:
        flag_chart = bars(figures.flags.most_common(), "trace flags", "amber", figures.rows)
    return (
        f"<h2>How kept answers were checked</h2>{check_chart}"
        f"<h2>What trace screening noticed</h2>{flag_chart}"
    )


def _costs(figures: Figures) -> str:
    header = (
        "lane · model",
        "samples",
        "kept",
        "calls per sample",
        "tokens in",
        "tokens out",
        "seconds per sample",
        "cost",
        "per kept trace",
    )
    rows = [
        [name, *_lane(lane)]
        for name, lane in sorted(figures.lanes.items(), key=lambda item: -item[1].samples)
    ]
    return f"<h2>Cost by lane</h2>{_table(header, rows)}"


def _lane(lane: LaneFigures) -> list[str]:
    cost = _dollars(lane.cost_usd) if lane.has_price else "–"
    trace_cost = "–"
    if lane.has_price and lane.kept:
        trace_cost = _dollars(lane.cost_usd / lane.kept)
    return [
        f"{lane.samples:,}",
        f"{lane.kept:,} ({_share(lane.kept, lane.samples)})",
        f"{lane.attempts / lane.samples:.2f}",
        f"{lane.prompt_tokens:,}",
        f"{lane.completion_tokens:,}",
        f"{lane.seconds / lane.samples:.1f}",
        cost,
        trace_cost,
    ]


def _screening(figures: Figures) -> str:
    summary = figures.screening
    if summary is None:
        return ""
    reasons = [(reason, count) for reason, count in summary["left_out"].items() if count]
    reasons.sort(key=lambda pair: -pair[1])
    chart = "<p class=dim>nothing was left out</p>"
    if reasons:
        chart = bars(reasons, "problems left out", "purple", summary["rows"])
    return (
        "<h2>Screening before any call</h2>"
        f"<p>{summary['rows']:,} problems against {summary['evaluation_problems']:,} evaluation"
        f" problems. Sharing one 8-gram with any: {summary['sharing_8']:,}; one 13-gram:"
        f" {summary['sharing_13']:,}; neither a copy.</p>{chart}"
        f"{_near_evaluation_problems(summary, figures.evidence)}"
    )


def _near_evaluation_problems(summary: dict[str, Any], evidence: Sequence[dict[str, Any]]) -> str:
    pairs = [(f"copy: {name}", count) for name, count in summary["copies"].items()]
    pairs += [(f"other numbers: {name}", count) for name, count in summary["other_numbers"].items()]
    if not pairs:
        return ""
    pairs.sort(key=lambda pair: -pair[1])
    chart = bars(pairs, "near evaluation problems", "blue")
    rows = [
        [
            row["kind"],
            row["evaluation"],
            row["problem"][:400],
            row["evaluation_problem"][:400],
        ]
        for row in evidence
    ]
    table = _table(("kind", "set", "problem", "evaluation problem"), rows, numbers=False)
    return (
        f"<h3>Near evaluation problems</h3>{chart}"
        f"<details><summary>The first {len(rows)} with their evidence</summary>{table}</details>"
    )


def _suspects(figures: Figures) -> str:
    if not figures.suspects:
        return ""
    rows = [
        [
            suspect["problem"][:300],
            suspect["gold"][:80],
            suspect["agreed"][:80],
            f"{suspect['agreeing']} of {suspect['samples']}",
            ", ".join(suspect["lanes"]),
        ]
        for suspect in figures.suspects
    ]
    table = _table(("problem", "gold", "agreed answer", "agreeing", "lanes"), rows, numbers=False)
    explanation = (
        "The samples agree with each other and not with the gold; all are in"
        " <code>suspect_gold.jsonl</code>."
    )
    return f"<h2>Suspect golds</h2><p>{explanation}</p>{table}"


def _samples(figures: Figures) -> str:
    rejected_traces = sorted(figures.rejected_samples, key=lambda trace: trace.verdict)
    kept_samples = "".join(_sample(trace) for trace in figures.kept_samples)
    rejected_samples = "".join(_sample(trace) for trace in rejected_traces)
    return (
        f"{SEARCH}<h2>Samples to read: kept</h2>{kept_samples}"
        f"<h2>Samples to read: rejected</h2>{rejected_samples or '<p class=dim>none</p>'}"
    )


def _sample(trace: Trace) -> str:
    flags = f"; flags: {', '.join(trace.flags)}" if trace.flags else ""
    tokens = f"{trace.usage.completion_tokens:,} tokens"
    answers = f"answer {trace.final_answer or '–'}, gold {trace.gold or '–'}: {trace.reason}{flags}"
    title = escape(" ".join(trace.problem.split())[:160])
    return (
        f'<details class=card id="sample-{escape(trace.id)}">'
        f"<summary><span translate=no>{title}</span> <span class=dim><span>{trace.verdict}</span> ·"
        f" <span>{tokens}</span> · <span translate=no>{escape(trace.source)} ·"
        f" {escape(trace.id)}</span></span></summary>"
        f"<p translate=no>{escape(answers)}</p><pre>{escape(trace.problem[:TEXT_CHARACTERS])}</pre>"
        f"<h4>Reasoning</h4><pre>{escape(_cut(trace.reasoning))}</pre>"
        f"<h4>Response</h4><pre>{escape(_cut(trace.response))}</pre></details>"
    )


def _minute(moment: str) -> str:
    """ "2026-11-28T01:02:34…" -> "2026-11-28 01:02"."""
    return escape(moment[:16].replace("T", " "))


def _cut(text: str) -> str:
    if len(text) <= TEXT_CHARACTERS:
        return text
    half = TEXT_CHARACTERS // 2
    return f"{text[:half]}\n\n[… {len(text) - 2 * half:,} characters …]\n\n{text[-half:]}"


def _table(header: Sequence[str], rows: Iterable[Sequence[Any]], numbers: bool = True) -> str:
    head = _cells(header, "th", numbers)
    body = "".join(f"<tr>{_cells(row, 'td', numbers)}</tr>" for row in rows)
    return f"<div class=wide><table><tr>{head}</tr>{body}</table></div>"


def _cells(values: Sequence[Any], tag: str, numbers: bool) -> str:
    """With `numbers`, all cells but the first are set as numbers."""
    cells = []
    for column, value in enumerate(values):
        attribute = " class=number" if numbers and column else ""
        cells.append(f"<{tag}{attribute}>{escape(str(value))}</{tag}>")
    return "".join(cells)


def _dollars(amount: float) -> str:
    return f"${amount:,.4g}"


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "–"
