"""Panels of bars and of lines on logarithmic axes, as one SVG file that a Markdown page shows."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

WIDTH = 760
LEFT = 150  # room for the labels of groups
RIGHT = 90  # and for the numbers at the bars' ends
TOP = 70
BAR = 11
GROUP_GAP = 8
PANEL_GAP = 44
LINES_HEIGHT = 150
LINES_LEFT = 70
STYLE = "font-family:system-ui,sans-serif;font-size:12px;fill:#24292f"
COLOURS = ("#1f6feb", "#d4a72c", "#8250df", "#2a9d5c", "#d1495b", "#57606a")


@dataclass(frozen=True, slots=True)
class Bars:
    """A panel of horizontal bars: {group: {series: value}}; a missing value has no bar."""

    title: str
    groups: Mapping[str, Mapping[str, float]]

    @property
    def height(self) -> float:
        marks = sum(len(values) * BAR + GROUP_GAP for values in self.groups.values())
        return marks + PANEL_GAP

    def draw(self, top: float, colours: Mapping[str, str]) -> list[str]:
        """The marks of the panel, from `top` down."""
        values = [value for group in self.groups.values() for value in group.values()]
        scale = (WIDTH - LEFT - RIGHT) / (max(values, default=0.0) or 1.0)
        marks = [text(20, top, self.title, weight=600)]
        y = top + 12
        for label, group in self.groups.items():
            marks.append(text(LEFT - 8, y + BAR, label, "end"))
            for series, value in group.items():
                width = max(1.0, value * scale)
                marks.append(
                    f'<rect x="{LEFT}" y="{y:.1f}" width="{width:.1f}" height="{BAR - 2}"'
                    f' fill="{colours[series]}"><title>{escape(series)}: {value:,.4g}</title></rect>'
                )
                marks.append(text(LEFT + width + 5, y + BAR - 2, short(value), size=10))
                y += BAR
            y += GROUP_GAP
        return marks


@dataclass(frozen=True, slots=True)
class Lines:
    """A panel of lines on two logarithmic axes: {series: [(x, y), …]}, all above 0."""

    title: str
    axis: str
    series: Mapping[str, Sequence[tuple[float, float]]]

    @property
    def height(self) -> float:
        return LINES_HEIGHT + PANEL_GAP + 20

    def draw(self, top: float, colours: Mapping[str, str]) -> list[str]:
        """The marks of the panel, from `top` down."""
        points = [point for line in self.series.values() for point in line]
        if not points:
            return []
        across = _scale([x for x, _ in points], LINES_LEFT, WIDTH - 30)
        up = _scale([y for _, y in points], top + 14 + LINES_HEIGHT, top + 14)
        marks = [text(20, top, self.title, weight=600)]
        for value in up.marks:
            y = up.place(value)
            marks.append(f'<path d="M{LINES_LEFT} {y:.1f}H{WIDTH - 30}" stroke="#eaeef2"/>')
            marks.append(text(LINES_LEFT - 6, y + 4, short(value), "end", size=10))
        bottom = top + 14 + LINES_HEIGHT
        marks += [
            text(across.place(value), bottom + 14, short(value), "middle", size=10)
            for value in across.marks
        ]
        marks.append(text(WIDTH - 30, bottom + 28, self.axis, "end", size=10))
        for name, line in self.series.items():
            places = [(across.place(x), up.place(y), x, y) for x, y in line]
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y, _, _ in places)
            colour = colours[name]
            marks.append(f'<polyline points="{path}" fill="none" stroke="{colour}"/>')
            for x, y, at, value in places:
                hint = f"{escape(name)}: {value:,.4g} at {at:,.0f}"
                marks.append(
                    f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}">'
                    f"<title>{hint}</title></circle>"
                )
        return marks


@dataclass(frozen=True, slots=True)
class _Scale:
    """From values to places, by their logarithms."""

    low: int  # powers of ten
    high: int
    begin: float
    end: float

    @property
    def marks(self) -> list[float]:
        return [10.0**power for power in range(self.low, self.high + 1)]

    def place(self, value: float) -> float:
        share = (math.log10(value) - self.low) / (self.high - self.low)
        return self.begin + share * (self.end - self.begin)


def _scale(values: Sequence[float], begin: float, end: float) -> _Scale:
    low = math.floor(math.log10(min(values)))
    high = math.ceil(math.log10(max(values)))
    return _Scale(low, max(high, low + 1), begin, end)


def draw(title: str, panels: Sequence[Bars | Lines], names: Sequence[str]) -> str:
    """The SVG of all panels, with a legend of `names`, the series in order of their colours."""
    colours = dict(zip(names, COLOURS, strict=False))
    marks = []
    top = float(TOP)
    for panel in panels:
        marks += panel.draw(top, colours)
        top += panel.height
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top:.0f}" width="{WIDTH}"'
        f' height="{top:.0f}" role="img" aria-label="{escape(title)}" style="{STYLE}">',
        f'<rect width="{WIDTH}" height="{top:.0f}" fill="#fff"/>',
        text(20, 24, title, size=15, weight=600),
    ]
    x = 20.0
    for name in names:
        head.append(f'<rect x="{x:.0f}" y="36" width="10" height="10" fill="{colours[name]}"/>')
        head.append(text(x + 15, 45, name))
        x += 40 + 7 * len(name)
    return "\n".join([*head, *marks, "</svg>\n"])


def text(
    x: float, y: float, words: str, anchor: str = "start", size: int = 12, weight: int = 400
) -> str:
    """One line of text."""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
        f' style="font-size:{size}px;font-weight:{weight}">{escape(words)}</text>'
    )


def short(value: float) -> str:
    """A number in few characters: 1.2M, 34k, 5.6."""
    for size, letter in ((1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            unit = 1e6 if letter == "M" else 1e3
            return f"{value / unit:.3g}{letter}"
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
