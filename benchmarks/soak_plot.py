"""The soak as a picture: what was sampled over time, a panel each, and what was done to the run."""

from collections.abc import Mapping, Sequence
from html import escape

WIDTH = 760
PANEL = 96  # height of one
GAP = 34  # between two
LEFT = 64
RIGHT = 20
TOP = 72
STYLE = "font-family:system-ui,sans-serif;font-size:13px;fill:#24292f"
COLOURS = {"reload": "#8c959f", "full disk": "#d1495b", "room again": "#2a9d5c"}
PANELS = (
    ("megabytes", "memory of the process, MB"),
    ("descriptors", "open descriptors"),
    ("tasks", "tasks of the event loop"),
    ("ledger_megabytes", "the ledger, MB"),
    ("status_milliseconds", "GET /status, ms"),
    ("first_token_seconds", "first token, s (median, lately)"),
)


def draw(
    samples: Sequence[Mapping[str, float]], events: Sequence[tuple[float, str]], seconds: float
) -> str:
    """The SVG. `events`: (seconds, name)."""
    height = TOP + len(PANELS) * (PANEL + GAP) + 10
    title = f"A soak of {seconds / 60:.0f} minutes: faults, a reload a minute, a full disk twice"
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}"'
        f' height="{height}" role="img" aria-label="{escape(title)}" style="{STYLE}">',
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        f'<text x="20" y="24" style="font-size:15px;font-weight:600">{escape(title)}</text>',
    ]
    for place, (kind, colour) in enumerate(COLOURS.items()):
        x = 20 + 90 * place
        lines.append(f'<path d="M{x} 41h14" stroke="{colour}" stroke-width="2"/>')
        lines.append(_text(x + 18, 45, kind))
    for place, (name, label) in enumerate(PANELS):
        top = TOP + place * (PANEL + GAP)
        lines += _panel(samples, events, seconds, name, label, top)
    return "\n".join([*lines, "</svg>\n"])


def _panel(
    samples: Sequence[Mapping[str, float]],
    events: Sequence[tuple[float, str]],
    seconds: float,
    name: str,
    label: str,
    top: float,
) -> list[str]:
    inner = WIDTH - LEFT - RIGHT
    most = max((sample[name] for sample in samples), default=1.0) or 1.0
    bottom = top + PANEL

    def across(moment: float) -> float:
        return LEFT + inner * min(moment / seconds, 1.0)

    lines = [_text(LEFT, top - 6, label)]
    for share in (0.0, 0.5, 1.0):
        y = bottom - PANEL * share
        lines.append(f'<path d="M{LEFT} {y:.1f}h{inner}" stroke="#eaeef2"/>')
        lines.append(_text(LEFT - 8, y + 4, f"{most * share:,.4g}", "end"))
    for moment, kind in events:
        x = across(moment)
        dashes = ' stroke-dasharray="2 3"' if kind == "reload" else ""
        lines.append(f'<path d="M{x:.1f} {top}V{bottom}" stroke="{COLOURS[kind]}"{dashes}/>')
    for life in _lives(samples):
        points = " ".join(
            f"{across(sample['seconds']):.1f},{bottom - PANEL * sample[name] / most:.1f}"
            for sample in life
        )
        lines.append(f'<polyline points="{points}" fill="none" stroke="#1f6feb"/>')
    minutes = [seconds * share for share in (0, 0.25, 0.5, 0.75, 1)]
    lines += [_text(across(x), bottom + 15, f"{x / 60:.3g} min", "middle") for x in minutes]
    return lines


def _lives(samples: Sequence[Mapping[str, float]]) -> list[list[Mapping[str, float]]]:
    """The samples of each start of the program, for a line of their own."""
    lives: list[list[Mapping[str, float]]] = []
    for sample in samples:
        if not lives or sample["since_start"] < lives[-1][-1]["since_start"]:
            lives.append([])
        lives[-1].append(sample)
    return lives


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" style="font-size:11px">'
        f"{escape(text)}</text>"
    )
