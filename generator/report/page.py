"""The report as one self-contained HTML page: no script, nothing fetched, everything from the corpus escaped."""

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from generator.report.figures import BINS_A_DECADE, Figures, LaneFigures
from generator.report.plots import bars, histogram, legend, stacked
from shared.records import VERDICTS, Trace

TEXT_CHARACTERS = 6_000  # of a sample's reasoning and response each
SOURCES, REASONS = 20, 16

STYLE = """
:root{color-scheme:light dark;--fg:#1d2126;--dim:#667080;--bg:#fff;--card:#f5f6f8;--line:#d9dde3;
--c0:#2f7d5b;--c1:#c2553f;--c2:#b8912c;--c3:#7a6bb5;--c4:#4c7fa8;--c5:#8a8f98}
@media(prefers-color-scheme:dark){:root{--fg:#e6e8eb;--dim:#9aa3b0;--bg:#15181c;--card:#1e2228;--line:#343a43;
--c0:#4fae86;--c1:#e0755d;--c2:#d9b24a;--c3:#a497df;--c4:#76a9d1;--c5:#8a8f98}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--fg);background:var(--bg);max-width:60rem;
margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem;margin-bottom:.2rem}h2{font-size:1.1rem;margin:2.2rem 0 .6rem;border-bottom:1px solid var(--line)}
p.sub,.none,figcaption{color:var(--dim)}svg text{font-size:12px;fill:var(--fg)}svg{width:100%;height:auto}
.legend svg{width:11px;height:11px;vertical-align:-1px}.legend span{margin-right:1rem;font-size:13px;white-space:nowrap}
.c0{fill:var(--c0)}.c1{fill:var(--c1)}.c2{fill:var(--c2)}.c3{fill:var(--c3)}.c4{fill:var(--c4)}.c5{fill:var(--c5)}
.axis{stroke:var(--line)}.facts{display:grid;grid-template-columns:repeat(auto-fit,minmax(9.5rem,1fr));gap:.7rem}
.facts div{background:var(--card);border-radius:6px;padding:.6rem .8rem}.facts b{display:block;font-size:1.25rem}
.facts span{color:var(--dim);font-size:13px}table{border-collapse:collapse;width:100%;font-size:14px}
.wide{overflow-x:auto}th,td{text-align:left;padding:.3rem .6rem;border-bottom:1px solid var(--line);vertical-align:top}
td.n,th.n{text-align:right;white-space:nowrap}
details{background:var(--card);border-radius:6px;margin:.5rem 0;padding:.5rem .8rem}
summary{cursor:pointer}summary i{color:var(--dim);font-style:normal}
pre{white-space:pre-wrap;overflow-wrap:anywhere;font:13px/1.45 ui-monospace,monospace;max-height:26rem;overflow:auto}
"""


def page(figures: Figures, made_at: str) -> str:
    """The whole page. `made_at`: UTC, for the heading."""
    sections = [
        _head(figures, made_at), _verdicts(figures), _lengths(figures), _pass_rates(figures), _rejects(figures),
        _flags(figures), _costs(figures), _screening(figures), _suspects(figures), _samples(figures),
    ]  # fmt: skip
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(figures.corpus)} · report</title>'
        f'<meta name="viewport" content="width=device-width,initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}"><style>{STYLE}</style></head><body>\n'
        + "\n".join(section for section in sections if section)
        + "\n</body></html>\n"
    )


def _head(figures: Figures, made_at: str) -> str:
    tokens = sum(lane.completion_tokens for lane in figures.lanes.values())
    cost = sum(lane.cost_usd for lane in figures.lanes.values())
    priced = any(lane.priced for lane in figures.lanes.values())
    answered = sum(rates[1] > 0 for rates in figures.problems.values())
    solved = sum(rates[0] > 0 for rates in figures.problems.values())
    facts = [
        (f"{figures.kept:,}", "traces kept"), (f"{_share(figures.kept, figures.rows)}", f"of {figures.rows:,} samples"),
        (f"{len(figures.problems):,}", "problems asked"), (f"{_share(solved, answered)}", "of them solved"),
        (f"{tokens:,}", "completion tokens"), (f"{tokens / max(1, figures.kept):,.0f}", "tokens a kept trace"),
        (f"${cost:,.4g}" if priced else "–", "spent" if priced else "no prices configured"),
        (f"${cost / max(1, figures.kept):,.4g}" if priced else "–", "a kept trace"),
    ]  # fmt: skip
    tiles = "".join(f"<div><b>{escape(value)}</b><span>{escape(name)}</span></div>" for value, name in facts)
    torn = f" {figures.torn:,} lines could not be read: run <code>check</code>." if figures.torn else ""
    return (
        f"<h1>{escape(figures.corpus)}</h1><p class=sub>Samples from {escape(figures.first[:19])} to "
        f"{escape(figures.last[:19])} UTC; page made {escape(made_at)}.{torn}</p><div class=facts>{tiles}</div>"
    )


def _verdicts(figures: Figures) -> str:
    colours = {verdict: f"c{number}" for number, verdict in enumerate(VERDICTS)}
    ranked = sorted(figures.by_source.items(), key=lambda item: -item[1].total())[:SOURCES]
    rows = [(source, [(colours[v], counts[v]) for v in VERDICTS]) for source, counts in ranked]
    shown = [(colours[v], f"{v} {figures.verdicts[v]:,}") for v in VERDICTS if figures.verdicts[v]]
    return f"<h2>Verdicts by source</h2>{legend(shown)}{stacked(rows, 'samples by source and verdict')}"


def _lengths(figures: Figures) -> str:
    used = [at for counts in figures.lengths.values() for at in counts]
    if not used:
        return ""
    low, high = min(used), max(used)
    series: dict[str, list[int]] = {
        pile: [counts[at] for at in range(low, high + 1)] for pile, counts in figures.lengths.items()
    }
    ticks = [
        (at - low, f"{10 ** (at / BINS_A_DECADE):,.0f}")
        for at in range(low, high + 1)
        if at % (BINS_A_DECADE // 2) == 0
    ]
    plot = histogram(series, ticks, "samples by completion tokens", "completion tokens (logarithmic)")
    return f"<h2>Lengths</h2>{legend([('c0', 'kept'), ('c1', 'rejected')])}{plot}"


def _pass_rates(figures: Figures) -> str:
    counts = figures.pass_rates()
    ticks = [(at, f"{at / 10:.0%}") for at in range(11)]
    plot = histogram(
        {"problems": counts}, ticks, "problems by pass rate", "share of a problem's samples that were right"
    )
    return f"<h2>Pass rates</h2>{plot}"


def _rejects(figures: Figures) -> str:
    total = sum(figures.reasons.values())
    if not total:
        return "<h2>Why samples were rejected</h2><p class=none>none was</p>"
    return (
        f"<h2>Why samples were rejected</h2>{bars(figures.reasons.most_common(REASONS), 'reject reasons', 'c1', total)}"
    )


def _flags(figures: Figures) -> str:
    checked = bars(figures.checked_by.most_common(), "how answers were checked", "c4", figures.kept)
    found = (
        bars(figures.flags.most_common(), "trace flags", "c2", figures.rows)
        if figures.flags
        else "<p class=none>no flags</p>"
    )
    return f"<h2>How kept answers were checked</h2>{checked}<h2>What trace screening noticed</h2>{found}"


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
    rows = [[name, *_lane(lane)] for name, lane in sorted(figures.lanes.items(), key=lambda item: -item[1].samples)]
    return f"<h2>Cost by lane</h2>{_table(header, rows)}"


def _lane(lane: LaneFigures) -> list[str]:
    cost = f"${lane.cost_usd:,.4g}" if lane.priced else "–"
    each = f"${lane.cost_usd / lane.kept:,.4g}" if lane.priced and lane.kept else "–"
    return [
        f"{lane.samples:,}", f"{lane.kept:,} ({_share(lane.kept, lane.samples)})",
        f"{lane.attempts / lane.samples:.2f}",
        f"{lane.prompt_tokens:,}", f"{lane.completion_tokens:,}", f"{lane.seconds / lane.samples:.1f}", cost, each,
    ]  # fmt: skip


def _screening(figures: Figures) -> str:
    summary = figures.screening
    if summary is None:
        return ""
    left = [(reason, count) for reason, count in sorted(summary["left_out"].items(), key=lambda i: -i[1]) if count]
    out = [
        "<h2>Screening before any call</h2>",
        f"<p>{summary['rows']:,} problems against {summary['evaluation_problems']:,} evaluation problems. Sharing "
        f"one 8-gram with any: {summary['sharing_8']:,}; one 13-gram: {summary['sharing_13']:,}; neither a copy.</p>",
        bars(left, "problems left out", "c3", summary["rows"]) if left else "<p class=none>nothing was left out</p>",
    ]
    pairs = [("copy: " + name, count) for name, count in summary["copies"].items()]
    pairs += [(f"other numbers: {name}", count) for name, count in summary["other_numbers"].items()]
    if pairs:
        ranked = sorted(pairs, key=lambda pair: -pair[1])
        out.append(f"<h3>Near evaluation problems</h3>{bars(ranked, 'near evaluation problems', 'c4')}")
        rows = [
            [e["kind"], e["evaluation"], e["problem"][:400], e["evaluation_problem"][:400]] for e in figures.evidence
        ]
        table = _table(("kind", "set", "problem", "evaluation problem"), rows, numbers=False)
        out.append(f"<details><summary>The first {len(rows)} with their evidence</summary>{table}</details>")
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
    said = "The samples agree with each other and not with the gold; all are in <code>suspect_gold.jsonl</code>."
    return f"<h2>Suspect golds</h2><p>{said}</p>{table}"


def _samples(figures: Figures) -> str:
    kept = "".join(_sample(trace) for trace in figures.kept_samples)
    rejected = "".join(_sample(trace) for trace in sorted(figures.rejected_samples, key=lambda t: t.verdict))
    return (
        f"<h2>Samples to read: kept</h2>{kept}<h2>Samples to read: rejected</h2>{rejected or '<p class=none>none</p>'}"
    )


def _sample(trace: Trace) -> str:
    flags = f"; flags: {', '.join(trace.flags)}" if trace.flags else ""
    facts = f"{trace.verdict} · {trace.usage.completion_tokens:,} tokens · {trace.source} · {trace.id}"
    answers = f"answer {trace.final_answer or '–'}, gold {trace.gold or '–'}: {trace.reason}{flags}"
    return (
        f"<details><summary>{escape(' '.join(trace.problem.split())[:160])} <i>{escape(facts)}</i></summary>"
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
            f"<{tag}{' class=n' if numbers and at else ''}>{escape(str(v))}</{tag}>" for at, v in enumerate(values)
        )

    body = "".join(f"<tr>{cells(row, 'td')}</tr>" for row in rows)
    return f"<div class=wide><table><tr>{cells(header, 'th')}</tr>{body}</table></div>"


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "–"
