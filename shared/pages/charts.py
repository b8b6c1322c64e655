"""Charts as inline SVG: bars, histograms, line charts. No script; text is escaped here; every mark
tells its numbers.

Colours are classes of the pages' style: green, red, amber, blue, purple, teal, grey. They follow
light and dark.
"""

import math
from collections.abc import Mapping, Sequence
from html import escape

WIDTH = 460  # units of the view box; a phone's screen shows it whole, with text of 10 px
LABEL_WIDTH = 160
LABEL_CHARACTERS = 28
LARGE_CHARACTERS = 22  # what is longer is set smaller
VALUE_WIDTH = 112
BAR_HEIGHT = 18
BAR_GAP = 8
HISTOGRAM_HEIGHT = 180
HISTOGRAM_LEFT = 50  # room for the numbers of the axis
AXIS_HEIGHT = 34
SERIES_COLOURS = ("blue", "amber", "green", "purple", "teal", "red", "grey")
NOTHING = '<p class="dim">nothing to show</p>'

Points = Sequence[tuple[float, float]]


# The pieces that charts are made of


def svg_open(name: str, height: float, width: float = WIDTH) -> str:
    """The opening tag of a chart; `name` is what a screen reader says."""
    label = escape(name, quote=True)
    return (
        f'<div class="plot"><svg role="img" aria-label="{label}"'
        f' viewBox="0 0 {width:.0f} {height:.0f}">'
    )


SVG_CLOSE = "</svg></div>"


def svg_text(
    x: float,
    y: float,
    text: str,
    anchor: str = "start",
    kind: str = "",
    title: str = "",
) -> str:
    """One line of text. `anchor`: start, middle or end; `kind`: classes; `title`: shown under
    the pointer.
    """
    classes = f' class="{kind}"' if kind else ""
    hint = f"<title>{escape(title)}</title>" if title else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{classes}>{escape(text)}{hint}</text>'
    )


def svg_bar(
    x: float,
    y: float,
    width: float,
    height: float,
    colour: str,
    hint: str = "",
) -> str:
    """A filled rectangle of a colour class, with its numbers under the pointer."""
    title = f"<title>{escape(hint)}</title>" if hint else ""
    size = f'width="{max(0.0, width):.1f}" height="{max(0.0, height):.1f}"'
    return f'<rect class="{colour}" x="{x:.1f}" y="{y:.1f}" {size} rx="2">{title}</rect>'


def svg_line(
    x1: float,
    y1: float,
    x2: float,
    y2: float,
    kind: str = "grid",
) -> str:
    """A straight line of class `grid` or `axis`."""
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def legend(entries: Sequence[tuple[str, str]]) -> str:
    """(colour, label) as coloured squares."""
    items = (
        f'<span><i class="swatch {colour}"></i> {escape(label)}</span>' for colour, label in entries
    )
    return f'<p class="legend">{" ".join(items)}</p>'


def figure(title: str, drawing: str) -> str:
    """A chart with its title; "" where there is nothing to draw."""
    if not drawing:
        return ""
    return f"<figure><figcaption>{escape(title)}</figcaption>{drawing}</figure>"


# Whole charts


def bars(
    counts: Sequence[tuple[str, float]],
    name: str,
    colour: str = "green",
    share_of: float = 0.0,
) -> str:
    """Horizontal bars with their values. `share_of`: also say the percentage of this."""
    rows = [(label, [(colour, value)]) for label, value in counts]
    return stacked_bars(rows, name, share_of)


def stacked_bars(
    rows: Sequence[tuple[str, Sequence[tuple[str, float]]]],
    name: str,
    share_of: float = 0.0,
) -> str:
    """Horizontal bars of several parts, (colour, value) each; the longest fills the width."""
    if not rows:
        return NOTHING
    largest = max(sum(value for _, value in parts) for _, parts in rows) or 1
    scale = (WIDTH - LABEL_WIDTH - VALUE_WIDTH) / largest
    marks = [svg_open(name, len(rows) * (BAR_HEIGHT + BAR_GAP) + BAR_GAP)]
    for number, (label, parts) in enumerate(rows):
        y = BAR_GAP + number * (BAR_HEIGHT + BAR_GAP)
        baseline = y + BAR_HEIGHT - 5
        short_label = shorten(label, LABEL_CHARACTERS)
        size = "small" if len(short_label) > LARGE_CHARACTERS else ""
        marks.append(svg_text(LABEL_WIDTH - 8, baseline, short_label, "end", size, title=label))
        x = float(LABEL_WIDTH)
        for colour, value in parts:
            if value:
                width = max(1.0, value * scale)
                marks.append(svg_bar(x, y, width, BAR_HEIGHT, colour, f"{value:,.0f}"))
                x += width
        total = sum(value for _, value in parts)
        share = f" ({total / share_of:.1%})" if share_of else ""
        marks.append(svg_text(x + 6, baseline, f"{total:,.0f}{share}"))
    return "".join([*marks, SVG_CLOSE])


def histogram(
    series: Mapping[str, tuple[str, Sequence[float]]],
    ticks: Sequence[tuple[int, str]],
    name: str,
    axis: str,
) -> str:
    """Vertical bars, the series stacked in their order.

    Args:
        series: name to (colour, one value a bin).
        ticks: (bin, label) below the axis.
        axis: what the axis counts, in words.
    """
    bin_count = max((len(values) for _, values in series.values()), default=0)
    totals = [
        sum(values[bin_] for _, values in series.values() if bin_ < len(values))
        for bin_ in range(bin_count)
    ]
    if not any(totals):
        return NOTHING
    scale = (HISTOGRAM_HEIGHT - 20) / max(totals)
    step = (WIDTH - HISTOGRAM_LEFT - 10) / bin_count
    marks = [svg_open(name, HISTOGRAM_HEIGHT + AXIS_HEIGHT)]
    for bin_ in range(bin_count):
        x = HISTOGRAM_LEFT + bin_ * step
        marks += _stacked_bin(series, bin_, x, max(1.0, step - 2), scale)
    marks.append(svg_line(HISTOGRAM_LEFT, HISTOGRAM_HEIGHT, WIDTH - 10, HISTOGRAM_HEIGHT, "axis"))
    marks.append(svg_text(HISTOGRAM_LEFT - 6, 16, f"{max(totals):,.0f}", "end", "dim"))
    for bin_, label in ticks:
        x = HISTOGRAM_LEFT + bin_ * step
        marks.append(svg_text(x, HISTOGRAM_HEIGHT + 15, label, "middle"))
    marks.append(svg_text(WIDTH - 10, HISTOGRAM_HEIGHT + 30, axis, "end", "dim"))
    return "".join([*marks, SVG_CLOSE])


def _stacked_bin(
    series: Mapping[str, tuple[str, Sequence[float]]],
    bin_: int,
    x: float,
    width: float,
    scale: float,
) -> list[str]:
    marks = []
    y = float(HISTOGRAM_HEIGHT)
    for label, (colour, values) in series.items():
        value = values[bin_] if bin_ < len(values) else 0
        if value:
            y -= value * scale
            hint = f"{label}: {value:,.0f}"
            marks.append(svg_bar(x, y, width, value * scale, colour, hint))
    return marks


LINE_WIDTH = WIDTH
LINE_HEIGHT = 220
MARGIN_LEFT = 52
MARGIN_RIGHT = 14
MARGIN_TOP = 30
MARGIN_BOTTOM = 34
MOST_DOTS = 40  # points of a line that are still marked one by one


def line_chart(
    title: str,
    lines: Mapping[str, Points],
    *,
    unit: str = "",
    percent: bool = False,
) -> str:
    """A figure with one line for each entry of `lines`; "" where there are no points.

    Args:
        lines: name to (step, value) points; values that are not finite are left out.
        percent: values are parts of one; the axis runs from 0 to 100%.
    """
    finite = {name: [p for p in points if math.isfinite(p[1])] for name, points in lines.items()}
    drawn = {name: points for name, points in finite.items() if points}
    if not drawn:
        return ""
    every_point = [point for points in drawn.values() for point in points]
    last_step = max(1.0, *(step for step, _ in every_point))
    values = [value for _, value in every_point]
    marks = [0, 0.25, 0.5, 0.75, 1.0] if percent else round_marks(min(values), max(values))
    label = title + (f" ({unit})" if unit else "")
    parts = [svg_open(label, LINE_HEIGHT, LINE_WIDTH), *_line_grid(marks, percent)]
    parts += _step_axis(last_step)
    for (name, points), colour in zip(drawn.items(), SERIES_COLOURS, strict=False):
        places = [_place(point, last_step, marks) for point in points]
        if len(points) > 1:
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
            parts.append(f'<polyline class="line {colour}" points="{path}"/>')
        if len(points) <= MOST_DOTS:
            for (step, value), place in zip(points, places, strict=True):
                shown_value = f"{value:.0%}" if percent else f"{value:.4g}"
                parts.append(_dot(place, colour, f"{name}, step {step:g}: {shown_value}"))
    keys = [(colour, name) for name, colour in zip(drawn, SERIES_COLOURS, strict=False)]
    caption = legend(keys) if len(keys) > 1 else ""
    return figure(label, "".join([*parts, SVG_CLOSE]) + caption)


def _dot(place: tuple[float, float], colour: str, hint: str) -> str:
    x, y = place
    title = f"<title>{escape(hint)}</title>"
    return f'<circle class="{colour}" cx="{x:.1f}" cy="{y:.1f}" r="2.6">{title}</circle>'


def _place(
    point: tuple[float, float],
    last_step: float,
    marks: Sequence[float],
) -> tuple[float, float]:
    x = MARGIN_LEFT + point[0] / last_step * (LINE_WIDTH - MARGIN_LEFT - MARGIN_RIGHT)
    return x, _line_y(point[1], marks)


def _line_y(value: float, marks: Sequence[float]) -> float:
    low = marks[0]
    high = marks[-1]
    height = LINE_HEIGHT - MARGIN_TOP - MARGIN_BOTTOM
    return MARGIN_TOP + (high - value) / (high - low) * height


def _line_grid(marks: Sequence[float], percent: bool) -> list[str]:
    parts = []
    for mark in marks:
        y = _line_y(mark, marks)
        if percent:
            text = f"{mark:.0%}"
        else:
            text = f"{mark:,.4g}" if abs(mark) < 1e4 else f"{mark / 1000:,.4g}k"
        parts.append(svg_line(MARGIN_LEFT, y, LINE_WIDTH - MARGIN_RIGHT, y))
        parts.append(svg_text(MARGIN_LEFT - 6, y + 4, text, "end", "dim"))
    return parts


def _step_axis(last_step: float) -> list[str]:
    y = LINE_HEIGHT - MARGIN_BOTTOM + 18
    right = LINE_WIDTH - MARGIN_RIGHT
    return [
        svg_text(MARGIN_LEFT, y, "0", kind="dim"),
        svg_text((MARGIN_LEFT + right) / 2, y, "step", "middle", "dim"),
        svg_text(right, y, f"{last_step:g}", "end", "dim"),
    ]


def round_marks(low: float, high: float) -> list[float]:
    """About four round numbers from at or below `low` to at or above `high`."""
    span = (high - low) or abs(high) or 1.0
    size = 10 ** math.floor(math.log10(span / 3))
    size *= next(step for step in (1, 2, 5, 10) if span / (size * step) <= 4.5)
    lowest = math.floor(low / size)
    highest = max(math.ceil(high / size), lowest + 1)
    return [round(count * size, 12) for count in range(lowest, highest + 1)]


def shorten(text: str, most: int) -> str:
    """`text`, cut to `most` characters with an ellipsis."""
    if len(text) <= most:
        return text
    return text[: most - 1] + "…"
