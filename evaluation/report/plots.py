"""The report's plots as inline SVG, drawn from comparison.json. Text is escaped here; colours are
the page's classes.

The base is grey, the models compared with it follow. Every mark carries its numbers as a tooltip.
"""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from evaluation.stats.paired import wilson
from shared.pages.charts import WIDTH, svg_bar, svg_line, svg_open, svg_text

Found = Mapping[str, Any]

_LABEL, _VALUE = 186, 76
_ROW, _AXIS = 34, 26
_MODEL_COLOURS = ("grey", "blue", "purple", "teal")  # the base first
_CAUSES = ("format", "finishing", "reasoning")


def model_colour(number: int) -> str:
    """The colour of a model by its place; the base is 0."""
    return _MODEL_COLOURS[min(number, len(_MODEL_COLOURS) - 1)]


def accuracy(summaries: Sequence[Found]) -> str:
    """A dot and its Wilson interval for each model, on 0 to 100%."""
    scale = _Scale(0.0, 1.0)
    height = _ROW * len(summaries) + _AXIS
    out = [
        svg_open("accuracy with 95% Wilson intervals", height),
        *scale.grid(height, [i / 5 for i in range(6)], percent),
    ]
    for row, told in enumerate(summaries):
        y = _ROW * row + _ROW / 2
        low, high = told["wilson95"]
        hint = (
            f"{told['model']}: {percent(told['accuracy'], 1)} ({percent(low, 1)} to"
            f" {percent(high, 1)})"
        )
        out += [
            _label(y, told["model"]),
            *scale.whisker(y, told["accuracy"], low, high, model_colour(row), hint),
        ]
        out.append(svg_text(WIDTH - _VALUE + 8, y + 4, percent(told["accuracy"], 1)))
    return "".join([*out, "</svg>"])


def difference(entries: Sequence[Found]) -> str:
    """The difference to the base with its interval, against zero."""
    bounds = [abs(b) for e in entries for b in (*e["interval95"], e["difference"])]
    reach = max(0.05, _round_up(max(bounds) * 1.05))
    scale = _Scale(-reach, reach)
    height = _ROW * len(entries) + _AXIS
    steps = [-reach, -reach / 2, 0.0, reach / 2, reach]
    out = [
        svg_open("difference in accuracy with its 95% bootstrap interval", height),
        *scale.grid(height, steps, points),
    ]
    out.append(svg_line(scale.x(0), 0, scale.x(0), height - _AXIS, "axis"))
    for row, entry in enumerate(entries):
        y = _ROW * row + _ROW / 2
        low, high = entry["interval95"]
        hint = f"{points(entry['difference'])} points ({points(low)} to {points(high)})"
        name = entry["tuned"]["model"] if len(entries) > 1 else "tuned − base"
        out += [
            _label(y, name),
            *scale.whisker(y, entry["difference"], low, high, model_colour(row + 1), hint),
        ]
        out.append(svg_text(WIDTH - _VALUE + 8, y + 4, points(entry["difference"])))
    return "".join([*out, "</svg>"])


def gain(entry: Found) -> str:
    """Problems fixed (to the right) and broken (to the left), by what was wrong on the failing
    side.
    """
    most = max([1, *entry["gain"].values(), *entry["loss"].values()])
    scale = _Scale(-float(most), float(most), left=_LABEL + 30)
    height = _ROW * len(_CAUSES) + _AXIS
    out = [svg_open("fixed and broken problems by cause", height)]
    for row, cause in enumerate(_CAUSES):
        y = _ROW * row + 7
        out.append(_label(y + 10, cause))
        for count, sign, kind in (
            (entry["gain"][cause], 1, "green"),
            (entry["loss"][cause], -1, "red"),
        ):
            width = abs(scale.x(count) - scale.x(0))
            x = scale.x(0) if sign > 0 else scale.x(0) - width
            said = f"{cause}: {count} {'fixed' if sign > 0 else 'broken'}"
            out.append(svg_bar(x, y, width, 20, kind, said))
            at = x + width + 5 if sign > 0 else x - 5
            out.append(
                svg_text(
                    at,
                    y + 15,
                    f"{sign * count:+d}" if count else "0",
                    "start" if sign > 0 else "end",
                )
            )
    out.append(svg_line(scale.x(0), 0, scale.x(0), height - _AXIS, "axis"))
    out.append(svg_text(scale.x(0) - 8, height - 8, "← broken", "end", "dim"))
    out.append(svg_text(scale.x(0) + 8, height - 8, "fixed →", "start", "dim"))
    return "".join([*out, "</svg>"])


def by_length(summaries: Sequence[Found]) -> str:
    """Accuracy of the answers of each length, with Wilson intervals and the number of answers."""
    bins = sorted({(b["from"], b["below"]) for told in summaries for b in told["by_length"]})
    if not bins:
        return '<p class="dim">no answers</p>'
    left, plot, height = 46, 170, 236
    step = (WIDTH - left - 10) / len(bins)
    out = [svg_open("accuracy by length of the answer in tokens", height)]
    for share in (0, 0.25, 0.5, 0.75, 1):
        y = 12 + plot * (1 - share)
        out.append(svg_line(left, y, WIDTH - 10, y))
        out.append(svg_text(left - 6, y + 4, percent(share), "end", "dim"))
    width = min(46.0, (step - 10) / len(summaries))
    for number, telling in enumerate(summaries):
        told = {(b["from"], b["below"]): b for b in telling["by_length"]}
        for at, span in enumerate(bins):
            if span in told:
                x = left + step * at + (step - width * len(summaries)) / 2 + width * number
                out += _length_bar(
                    x, width, plot, told[span], model_colour(number), telling["model"]
                )
    for at, (low, below) in enumerate(bins):
        out.append(svg_text(left + step * (at + 0.5), height - 8, _span(low, below), "middle"))
    return "".join([*out, "</svg>"])


def tokens_per_correct(summaries: Sequence[Found]) -> str:
    """Tokens generated for one right answer: shorter is cheaper."""
    most = max([told["tokens_per_correct"] or 0 for told in summaries]) or 1
    height = _ROW * len(summaries)
    out = [svg_open("tokens per right answer", height)]
    for row, told in enumerate(summaries):
        y, value = _ROW * row + 6, told["tokens_per_correct"]
        width = (WIDTH - _LABEL - _VALUE) * (value or 0) / most
        said = "none right" if value is None else f"{value:,.0f}"
        out += [
            _label(y + 10, told["model"]),
            svg_bar(_LABEL, y, width, 20, model_colour(row), f"{told['model']}: {said}"),
        ]
        out.append(svg_text(_LABEL + width + 6, y + 15, said))
    return "".join([*out, "</svg>"])


def pass_at_k(summaries: Sequence[Found]) -> str:
    """A table rather than curves: the numbers are few and are quoted."""
    ks = list(summaries[0].get("pass_at_k", {}))
    head = "".join(f"<th>pass@{escape(k)}</th>" for k in ks)
    rows = "".join(
        f"<tr><td>{escape(told['model'])}</td><td>{percent(told['accuracy'], 1)}</td>"
        + "".join(f"<td>{percent(told['pass_at_k'][k], 1)}</td>" for k in ks)
        + "</tr>"
        for told in summaries
    )
    return (
        f"<table><tr><th>model</th><th>avg@{summaries[0]['samples']}</th>{head}</tr>{rows}</table>"
    )


def percent(share: float, digits: int = 0) -> str:
    return f"{100 * share:.{digits}f}%"


def points(share: float) -> str:
    """A difference of shares in percentage points, with its sign (a true minus)."""
    return f"{100 * share:+.1f}".replace("-", "−").replace("+0.0", "0").replace("−0.0", "0")


class _Scale:
    """A horizontal axis from `low` to `high` between the labels and the values."""

    def __init__(self, low: float, high: float, left: float = _LABEL) -> None:
        self._low, self._high, self._left = low, high, left

    def x(self, value: float) -> float:
        return self._left + (WIDTH - self._left - _VALUE) * (value - self._low) / (
            self._high - self._low
        )

    def grid(self, height: float, values: Sequence[float], show: Any) -> list[str]:
        out = []
        for value in values:
            x = self.x(value)
            out.append(svg_line(x, 0, x, height - _AXIS))
            out.append(svg_text(x, height - 8, show(value), "middle", "dim"))
        return out

    def whisker(
        self, y: float, value: float, low: float, high: float, kind: str, hint: str
    ) -> list[str]:
        x1, x2, x = self.x(low), self.x(high), self.x(value)
        return [
            f'<g class="{kind}"><title>{escape(hint)}</title><path class="whisker {kind}"'
            f' d="M{x1:.1f} {y}H{x2:.1f}M{x1:.1f} {y - 6}v12M{x2:.1f} {y - 6}v12"/><circle'
            f' cx="{x:.1f}" cy="{y}" r="6"/></g>'
        ]


def _length_bar(
    x: float, width: float, plot: float, told: Found, kind: str, model: str
) -> list[str]:
    share = told["correct"] / told["n"]
    low, high = wilson(told["correct"], told["n"])
    top, middle = 12 + plot * (1 - share), x + width / 2
    hint = (
        f"{model}: {told['correct']} of {told['n']} right, {percent(share)} ({percent(low)} to"
        f" {percent(high)})"
    )
    lines = f"M{middle:.1f} {12 + plot * (1 - low):.1f}V{12 + plot * (1 - high):.1f}"
    marks = [
        svg_bar(x, top, width - 2, plot * share, kind, hint),
        f'<path class="interval" d="{lines}"/>',
    ]
    return (
        [*marks, svg_text(middle, 12 + plot + 14, str(told["n"]), "middle", "dim small")]
        if width > 14
        else marks
    )


def _span(low: int, below: int) -> str:
    if low < 1024:
        return f"{low}–{below - 1}"
    return f"≥ {low // 1024}k" if below > 1 << 30 else f"{low // 1024}–{below // 1024}k"


def _round_up(value: float) -> float:
    return next((step for step in (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8) if step >= value), 1.0)


def _label(y: float, name: str) -> str:
    """A model's name is told from its end: the folders before it are often the same."""
    short = name if len(name) <= 24 else "…" + name[-23:]
    place = f'x="{_LABEL - 10}" y="{y + 4:.1f}" text-anchor="end"'
    return f"<text {place}>{escape(short)}<title>{escape(name)}</title></text>"
