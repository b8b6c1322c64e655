"""The table and the picture of a comparison."""

from collections.abc import Sequence
from html import escape
from math import inf

from benchmarks.controller.trial import LEAST_SHARE, MOST_REFUSED, Outcome, misses
from benchmarks.controller.worlds import World

Rows = Sequence[tuple[World, dict[str, Outcome]]]

ROW = 17  # height of a world
LEFT = 330
PANEL = 300
GAP = 40
TOP = 64
COLOURS = ("#1f6feb", "#8c959f", "#d1495b", "#e0a030", "#2a9d5c")
STYLE = "font-family:system-ui,sans-serif;font-size:11px;fill:#24292f"
MOST_SHARE = 1.2  # at the right end of a panel
MOST_REFUSALS = 0.3


def table(rows: Rows, names: Sequence[str]) -> str:
    """Markdown: throughput, and after a slash the 429 of a limit, after another the seconds to
    unlearn; in bold what misses a bound.
    """
    lines = ["| world | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for world, outcomes in rows:
        cells = [_cell(world, outcomes[name]) for name in names]
        lines.append(f"| {world.name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _cell(world: World, result: Outcome) -> str:
    text = f"{result.share:.0%}"
    if world.is_limited:
        text += f" / {result.refused:.1%}"
    if world.lesson_ends:
        seconds = "never" if result.unlearnt == inf else f"{result.unlearnt:.0f} s"
        text += f" / {seconds}"
    return f"**{text}**" if misses(world, result) else text


def draw(rows: Rows, names: Sequence[str]) -> str:
    """SVG: a line a world, a dot a controller; throughput left, 429 right."""
    height = TOP + ROW * len(rows) + 30
    width = LEFT + 2 * PANEL + GAP + 30
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}"'
        f' height="{height}" role="img" aria-label="Controllers in worlds" style="{STYLE}">',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
    ]
    for place, name in enumerate(names):
        x = LEFT + 110 * place
        lines.append(f'<circle cx="{x}" cy="18" r="4" fill="{COLOURS[place]}"/>')
        lines.append(_text(x + 9, 22, name))
    right = LEFT + PANEL + GAP
    lines.append(_text(LEFT, 46, "throughput, of the best fixed setting (line: 90%)"))
    lines.append(_text(right, 46, "429 of a real limit, of all calls (line: 3%)"))
    bottom = TOP + ROW * len(rows)
    for left, share in ((LEFT, LEAST_SHARE / MOST_SHARE), (right, MOST_REFUSED / MOST_REFUSALS)):
        x = left + PANEL * share
        lines.append(f'<path d="M{x:.1f} {TOP - 10}V{bottom}" stroke="#d1495b"/>')
    for number, (world, outcomes) in enumerate(rows):
        y = float(TOP + ROW * number)
        lines.append(_text(LEFT - 10, y + 4, world.name, "end"))
        lines.append(f'<path d="M{LEFT} {y}h{PANEL}M{right} {y}h{PANEL}" stroke="#eaeef2"/>')
        for place in reversed(range(len(names))):
            result = outcomes[names[place]]
            lines.append(_dot(LEFT, y, result.share / MOST_SHARE, COLOURS[place]))
            if world.is_limited:
                lines.append(_dot(right, y, result.refused / MOST_REFUSALS, COLOURS[place]))
    return "\n".join([*lines, "</svg>\n"])


def _dot(left: float, y: float, share: float, colour: str) -> str:
    x = left + PANEL * min(share, 1.0)
    return f'<circle cx="{x:.1f}" cy="{y}" r="4" fill="{colour}" fill-opacity="0.85"/>'


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
