"""The report as one self-contained HTML page: no script, nothing fetched, everything from the
corpus escaped.
"""

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from generator.report.figures import BINS_A_DECADE, Figures, LaneFigures
from shared.pages import document
from shared.pages.charts import bars, histogram, legend, stacked_bars
from shared.records import VERDICTS, Trace
from shared.shards import Pile

TEXT_CHARACTERS = 6_000  # of a sample's reasoning and response each
SOURCES = 20
REASONS = 16

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
    return document(
        f"{figures.corpus} · report", "\n".join(section for section in sections if section)
    )


def _head(figures: Figures, made_at: str) -> str:
    tokens = sum(lane.completion_tokens for lane in figures.lanes.values())
    cost = sum(lane.cost_usd for lane in figures.lanes.values())
    priced = any(lane.priced for lane in figures.lanes.values())
    answered = sum(rates[1] > 0 for rates in figures.problems.values())
    solved = sum(rates[0] > 0 for rates in figures.problems.values())
    facts = [
        (f"{figures.kept:,}", "traces kept"),
        (f"{_share(figures.kept, figures.rows)}", f"of {figures.rows:,} samples"),
        (f"{len(figures.problems):,}", "problems asked"),
        (f"{_share(solved, answered)}", "of them solved"),
        (f"{tokens:,}", "completion tokens"),
        (f"{tokens / max(1, figures.kept):,.0f}", "tokens a kept trace"),
        (f"${cost:,.4g}" if priced else "–", "spent" if priced else "no prices configured"),
        (f"${cost / max(1, figures.kept):,.4g}" if priced else "–", "a kept trace"),
    ]
    tiles = "".join(
        f"<div><b>{escape(value)}</b><span>{escape(name)}</span></div>" for value, name in facts
    )
    torn = (
        f" {figures.torn:,} lines could not be read: run <code>check</code>."
        if figures.torn
        else ""
    )
    return (
        f"<h1>{escape(figures.corpus)}</h1><p class=dim>Samples from {escape(figures.first[:19])}"
        f" to {escape(figures.last[:19])} UTC; page made {escape(made_at)}.{torn}</p><div"
        f" class=tiles>{tiles}</div>"
    )


def _verdicts(figures: Figures) -> str:
    ranked = sorted(figures.by_source.items(), key=lambda item: -item[1].total())[:SOURCES]
    rows = [
        (source, [(VERDICT_COLOURS[v], counts[v]) for v in VERDICTS]) for source, counts in ranked
    ]
    keys = [
        (VERDICT_COLOURS[v], f"{v} {figures.verdicts[v]:,}")
        for v in VERDICTS
        if figures.verdicts[v]
    ]
    return (
        "<h2>Verdicts by"
        f" source</h2>{legend(keys)}{stacked_bars(rows, 'samples by source and verdict')}"
    )


def _lengths(figures: Figures) -> str:
    used = [at for counts in figures.lengths.values() for at in counts]
    if not used:
        return ""
    low = min(used)
    high = max(used)
    series: dict[str, tuple[str, Sequence[float]]] = {
        pile: (PILE_COLOURS[pile], [counts[at] for at in range(low, high + 1)])
        for pile, counts in figures.lengths.items()
    }
    ticks = [
        (at - low, f"{10 ** (at / BINS_A_DECADE):,.0f}")
        for at in range(low, high + 1)
        if at % (BINS_A_DECADE // 2) == 0
    ]
    plot = histogram(
        series, ticks, "samples by completion tokens", "completion tokens (logarithmic)"
    )
    return f"<h2>Lengths</h2>{legend([('green', 'kept'), ('red', 'rejected')])}{plot}"


def _pass_rates(figures: Figures) -> str:
    counts = figures.pass_rates()
    ticks = [(at, f"{at / 10:.0%}") for at in range(11)]
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
    checked = bars(
        figures.checked_by.most_common(), "how answers were checked", "blue", figures.kept
    )
    found = (
        bars(figures.flags.most_common(), "trace flags", "amber", figures.rows)
        if figures.flags
        else "<p class=dim>no flags</p>"
    )
    return (
        f"<h2>How kept answers were checked</h2>{checked}<h2>What trace screening"
        f" noticed</h2>{found}"
    )


def _costs(figures: Figures) -> str:
    header = (
        "lane · model",
        "samples",
        "kept",
        "calls a sample",
        "tokens in",
        "tokens out",
        "seconds a sample",
        "cost",
        "a kept trace",
    )
    rows = [
        [name, *_lane(lane)]
        for name, lane in sorted(figures.lanes.items(), key=lambda item: -item[1].samples)
    ]
    return f"<h2>Cost by lane</h2>{_table(header, rows)}"


def _lane(lane: LaneFigures) -> list[str]:
    cost = f"${lane.cost_usd:,.4g}" if lane.priced else "–"
    each = f"${lane.cost_usd / lane.kept:,.4g}" if lane.priced and lane.kept else "–"
    return [
        f"{lane.samples:,}",
        f"{lane.kept:,} ({_share(lane.kept, lane.samples)})",
        f"{lane.attempts / lane.samples:.2f}",
        f"{lane.prompt_tokens:,}",
        f"{lane.completion_tokens:,}",
        f"{lane.seconds / lane.samples:.1f}",
        cost,
        each,
    ]


def _screening(figures: Figures) -> str:
    summary = figures.screening
    if summary is None:
        return ""
    left = [
        (reason, count)
        for reason, count in sorted(summary["left_out"].items(), key=lambda i: -i[1])
        if count
    ]
    out = [
        "<h2>Screening before any call</h2>",
        (
            f"<p>{summary['rows']:,} problems against {summary['evaluation_problems']:,} evaluation"
            f" problems. Sharing one 8-gram with any: {summary['sharing_8']:,}; one 13-gram:"
            f" {summary['sharing_13']:,}; neither a copy.</p>"
        ),
        (
            bars(left, "problems left out", "purple", summary["rows"])
            if left
            else "<p class=dim>nothing was left out</p>"
        ),
    ]
    pairs = [("copy: " + name, count) for name, count in summary["copies"].items()]
    pairs += [(f"other numbers: {name}", count) for name, count in summary["other_numbers"].items()]
    if pairs:
        ranked = sorted(pairs, key=lambda pair: -pair[1])
        out.append(
            f"<h3>Near evaluation problems</h3>{bars(ranked, 'near evaluation problems', 'blue')}"
        )
        rows = [
            [e["kind"], e["evaluation"], e["problem"][:400], e["evaluation_problem"][:400]]
            for e in figures.evidence
        ]
        table = _table(("kind", "set", "problem", "evaluation problem"), rows, numbers=False)
        out.append(
            f"<details><summary>The first {len(rows)} with their"
            f" evidence</summary>{table}</details>"
        )
    return "".join(out)


def _suspects(figures: Figures) -> str:
    if not figures.suspects:
        return ""
    rows = [
        [
            s["problem"][:300],
            s["gold"][:80],
            s["agreed"][:80],
            f"{s['agreeing']} of {s['samples']}",
            ", ".join(s["lanes"]),
        ]
        for s in figures.suspects
    ]
    table = _table(("problem", "gold", "agreed answer", "agreeing", "lanes"), rows, numbers=False)
    said = (
        "The samples agree with each other and not with the gold; all are in"
        " <code>suspect_gold.jsonl</code>."
    )
    return f"<h2>Suspect golds</h2><p>{said}</p>{table}"


def _samples(figures: Figures) -> str:
    kept = "".join(_sample(trace) for trace in figures.kept_samples)
    rejected = "".join(
        _sample(trace) for trace in sorted(figures.rejected_samples, key=lambda t: t.verdict)
    )
    return (
        f"<h2>Samples to read: kept</h2>{kept}<h2>Samples to read:"
        f" rejected</h2>{rejected or '<p class=dim>none</p>'}"
    )


def _sample(trace: Trace) -> str:
    flags = f"; flags: {', '.join(trace.flags)}" if trace.flags else ""
    facts = (
        f"{trace.verdict} · {trace.usage.completion_tokens:,} tokens · {trace.source} · {trace.id}"
    )
    answers = f"answer {trace.final_answer or '–'}, gold {trace.gold or '–'}: {trace.reason}{flags}"
    title = escape(" ".join(trace.problem.split())[:160])
    return (
        f"<details class=card><summary>{title} <span class=dim>{escape(facts)}</span></summary>"
        f"<p>{escape(answers)}</p><pre>{escape(trace.problem[:TEXT_CHARACTERS])}</pre>"
        f"<h4>Reasoning</h4><pre>{escape(_cut(trace.reasoning))}</pre>"
        f"<h4>Response</h4><pre>{escape(_cut(trace.response))}</pre></details>"
    )


def _cut(text: str) -> str:
    if len(text) <= TEXT_CHARACTERS:
        return text
    half = TEXT_CHARACTERS // 2
    return f"{text[:half]}\n\n[… {len(text) - 2 * half:,} characters …]\n\n{text[-half:]}"


def _table(header: Sequence[str], rows: Iterable[Sequence[Any]], numbers: bool = True) -> str:
    def cells(values: Sequence[Any], tag: str) -> str:
        return "".join(
            f"<{tag}{' class=number' if numbers and at else ''}>{escape(str(v))}</{tag}>"
            for at, v in enumerate(values)
        )

    body = "".join(f"<tr>{cells(row, 'td')}</tr>" for row in rows)
    return f"<div class=wide><table><tr>{cells(header, 'th')}</tr>{body}</table></div>"


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "–"
