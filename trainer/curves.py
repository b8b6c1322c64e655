"""Curves as inline SVG: no script, no library, readable in light and dark."""

import math
from collections.abc import Mapping, Sequence
from html import escape

WIDTH, HEIGHT = 460, 220
LEFT, RIGHT, TOP, BOTTOM = 52, 14, 30, 34
COLOURS = ("#2a7fd4", "#d9632a", "#2f9e5b", "#9a4fc9")

Points = Sequence[tuple[float, float]]


def chart(title: str, lines: Mapping[str, Points], *, unit: str = "", share: bool = False) -> str:
    """One figure with a line for each entry of `lines` (name to (step, value) points); "" where there are no points.

    `share`: values are parts of one; the axis runs from 0 to 100%.
    """
    lines = {name: [p for p in points if math.isfinite(p[1])] for name, points in lines.items()}
    lines = {name: points for name, points in lines.items() if points}
    if not lines:
        return ""
    every = [point for points in lines.values() for point in points]
    right = max(1.0, *(x for x, _ in every))
    marks = [0, 0.25, 0.5, 0.75, 1.0] if share else _marks(min(y for _, y in every), max(y for _, y in every))
    low, high = marks[0], marks[-1]

    def place(point: tuple[float, float]) -> str:
        x = LEFT + point[0] / right * (WIDTH - LEFT - RIGHT)
        return f"{x:.1f},{_y(point[1], low, high):.1f}"

    drawn = [_grid(marks, share), _steps(right)]
    for (name, points), colour in zip(lines.items(), COLOURS, strict=False):
        if len(points) > 1:
            drawn.append(f'<polyline fill="none" stroke="{colour}" points="{" ".join(map(place, points))}"/>')
        if len(points) <= 40:
            for point in points:
                x, y = place(point).split(",")
                value = f"{point[1]:.0%}" if share else f"{point[1]:.4g}"
                told = f"{escape(name)}, step {point[0]:g}: {value}"
                drawn.append(f'<circle cx="{x}" cy="{y}" r="2.6" fill="{colour}"><title>{told}</title></circle>')
    legend = "".join(
        f'<tspan fill="{colour}" dx="{10 if i else 0}">● {escape(name)}</tspan>'
        for i, (name, colour) in enumerate(zip(lines, COLOURS, strict=False))
    )
    head = f'<text x="{LEFT}" y="18">{legend}</text>'
    label = escape(title + (f" ({unit})" if unit else ""))
    return (
        f'<figure><figcaption>{label}</figcaption><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{label}" stroke-width="1.8">{head}{"".join(drawn)}</svg></figure>'
    )


def _grid(marks: Sequence[float], share: bool) -> str:
    drawn = []
    for mark in marks:
        y = _y(mark, marks[0], marks[-1])
        text = f"{mark:.0%}" if share else f"{mark:,.4g}" if abs(mark) < 1e5 else f"{mark / 1000:,.0f}k"
        drawn.append(
            f'<line class="g" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text class="n" x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{text}</text>'
        )
    return "".join(drawn)


def _steps(right: float) -> str:
    y, end = HEIGHT - BOTTOM + 18, WIDTH - RIGHT
    return (
        f'<text class="n" x="{LEFT}" y="{y}">0</text><text class="n" x="{(LEFT + end) / 2}" y="{y}" '
        f'text-anchor="middle">step</text><text class="n" x="{end}" y="{y}" text-anchor="end">{right:g}</text>'
    )


def _y(value: float, low: float, high: float) -> float:
    return TOP + (high - value) / (high - low) * (HEIGHT - TOP - BOTTOM)


def _marks(low: float, high: float) -> list[float]:
    """About four round numbers around low and high."""
    span = (high - low) or abs(high) or 1.0
    size = 10 ** math.floor(math.log10(span / 3))
    size *= next(step for step in (1, 2, 5, 10) if span / (size * step) <= 4.5)
    first, last = math.floor(low / size), math.ceil(high / size)
    return [round(i * size, 12) for i in range(first, max(last, first + 1) + 1)]
