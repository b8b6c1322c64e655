"""Plots as inline SVG: bars, stacked bars, histograms. Text is escaped here; colours are the page's classes."""

from collections.abc import Mapping, Sequence
from html import escape

WIDTH = 760
LABEL, VALUE, BAR, GAP = 290, 120, 18, 8
PLOT_HEIGHT, AXIS = 180, 34


def bars(counts: Sequence[tuple[str, float]], name: str, colour: str = "c0", share_of: float = 0.0) -> str:
    """Horizontal bars with their values, the longest filling the width. `share_of`: also say the percentage of this."""
    rows = [(label, [(colour, value)]) for label, value in counts]
    return stacked(rows, name, share_of)


def stacked(rows: Sequence[tuple[str, Sequence[tuple[str, float]]]], name: str, share_of: float = 0.0) -> str:
    """Horizontal bars of several parts, (class, value) each."""
    if not rows:
        return '<p class="none">nothing to show</p>'
    largest = max(sum(value for _, value in parts) for _, parts in rows) or 1
    scale = (WIDTH - LABEL - VALUE) / largest
    height = len(rows) * (BAR + GAP) + GAP
    out = [_open(name, height)]
    for number, (label, parts) in enumerate(rows):
        y = GAP + number * (BAR + GAP)
        total = sum(value for _, value in parts)
        out.append(_text(LABEL - 8, y + BAR - 5, _short(label, 44), "end", label))
        x = float(LABEL)
        for colour, value in parts:
            if value:
                width = max(1.0, value * scale)
                out.append(f'<rect class="{colour}" x="{x:.1f}" y="{y}" width="{width:.1f}" height="{BAR}"/>')
                x += width
        said = f"{total:,.0f}" + (f" ({total / share_of:.1%})" if share_of else "")
        out.append(_text(x + 6, y + BAR - 5, said))
    return "".join([*out, "</svg>"])


def histogram(series: Mapping[str, Sequence[float]], ticks: Sequence[tuple[int, str]], name: str, axis: str) -> str:
    """Vertical bars, series stacked in their order (class c0, c1, …). `ticks`: (bin, label) below the axis."""
    bins = max((len(values) for values in series.values()), default=0)
    if not bins or not any(any(values) for values in series.values()):
        return '<p class="none">nothing to show</p>'
    totals = [sum(values[at] if at < len(values) else 0 for values in series.values()) for at in range(bins)]
    scale, step = (PLOT_HEIGHT - 20) / max(totals), (WIDTH - 60) / bins
    out = [_open(name, PLOT_HEIGHT + AXIS)]
    for at in range(bins):
        y = float(PLOT_HEIGHT)
        for number, values in enumerate(series.values()):
            height = (values[at] if at < len(values) else 0) * scale
            if height:
                y -= height
                box = f'x="{50 + at * step:.1f}" y="{y:.1f}" width="{max(1, step - 2):.1f}" height="{height:.1f}"'
                out.append(f'<rect class="c{number}" {box}/>')
    out.append(f'<line class="axis" x1="50" x2="{WIDTH - 10}" y1="{PLOT_HEIGHT}" y2="{PLOT_HEIGHT}"/>')
    out.append(_text(44, 16, f"{max(totals):,.0f}", "end"))
    out += [_text(50 + at * step, PLOT_HEIGHT + 15, label, "middle") for at, label in ticks]
    out.append(_text(WIDTH - 10, PLOT_HEIGHT + 30, axis, "end"))
    return "".join([*out, "</svg>"])


def legend(entries: Sequence[tuple[str, str]]) -> str:
    """(class, label) as coloured squares."""
    items = (
        f'<span><svg width="11" height="11"><rect class="{c}" width="11" height="11"/></svg> {escape(t)}</span>'
        for c, t in entries
    )
    return f'<p class="legend">{" ".join(items)}</p>'


def _open(name: str, height: float) -> str:
    return f'<svg role="img" aria-label="{escape(name, quote=True)}" viewBox="0 0 {WIDTH} {height}">'


def _text(x: float, y: float, text: str, anchor: str = "start", title: str = "") -> str:
    hint = f"<title>{escape(title)}</title>" if title else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}{hint}</text>'


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
