"""The report's plots as inline SVG, drawn from comparison.json.

Text is escaped here; colours are the page's classes. The base is grey, the models compared with it
follow. Every mark carries its numbers as a tooltip.
"""

from collections.abc import Callable, Sequence
from html import escape

from evaluation.report.tables import table
from evaluation.stats.comparison import CAUSES, Entry
from evaluation.stats.paired import wilson
from shared.pages.charts import SVG_CLOSE, WIDTH, svg_bar, svg_line, svg_open, svg_text

# Pixels.
_LABEL_WIDTH = 156
_VALUE_WIDTH = 64
_ROW_HEIGHT = 34
_AXIS_HEIGHT = 26
_BAR_HEIGHT = 20
# Of the chart by length: its plot lies between the scale on the left and the spans below.
_PLOT_TOP = 12
_PLOT_HEIGHT = 170
_SCALE_WIDTH = 46
_BY_LENGTH_HEIGHT = 236
_DIGIT_WIDTH = 7  # of small text, at most

_MODEL_COLOURS = ("grey", "blue", "purple", "teal")  # the base first


def model_colour(number: int) -> str:
    """The colour of a model by its place; the base is 0."""
    return _MODEL_COLOURS[min(number, len(_MODEL_COLOURS) - 1)]


def accuracy(summaries: Sequence[Entry]) -> str:
    """A dot and its Wilson interval for each model, on 0 to 100%."""
    scale = _Scale(0.0, 1.0)
    height = _ROW_HEIGHT * len(summaries) + _AXIS_HEIGHT
    svg = [
        svg_open("accuracy with 95% Wilson intervals", height),
        *scale.grid(height, [i / 5 for i in range(6)], percent),
    ]
    for row, summary in enumerate(summaries):
        y = _ROW_HEIGHT * (row + 0.5)
        low, high = summary["wilson95"]
        share = percent(summary["accuracy"], 1)
        hint = f"{summary['model']}: {share} ({percent(low, 1)} to {percent(high, 1)})"
        svg.append(_label(y, summary["model"]))
        svg.append(scale.whisker(y, (low, summary["accuracy"], high), model_colour(row), hint))
        svg.append(_value(y, share))
    return "".join([*svg, SVG_CLOSE])


def difference(comparisons: Sequence[Entry]) -> str:
    """The difference to the base with its interval, against zero."""
    bounds = [
        abs(value) for entry in comparisons for value in (*entry["interval95"], entry["difference"])
    ]
    reach = max(0.05, _round_up(max(bounds) * 1.05))
    scale = _Scale(-reach, reach)
    height = _ROW_HEIGHT * len(comparisons) + _AXIS_HEIGHT
    marks = [-reach, -reach / 2, 0.0, reach / 2, reach]
    svg = [
        svg_open("difference in accuracy with its 95% bootstrap interval", height),
        *scale.grid(height, marks, points),
        scale.zero_line(height),
    ]
    for row, entry in enumerate(comparisons):
        y = _ROW_HEIGHT * (row + 0.5)
        low, high = entry["interval95"]
        hint = f"{points(entry['difference'])} points ({points(low)} to {points(high)})"
        name = entry["tuned"]["model"] if len(comparisons) > 1 else "tuned − base"
        colour = model_colour(row + 1)
        svg.append(_label(y, name))
        svg.append(scale.whisker(y, (low, entry["difference"], high), colour, hint))
        svg.append(_value(y, points(entry["difference"])))
    return "".join([*svg, SVG_CLOSE])


def gain(entry: Entry) -> str:
    """Problems fixed (to the right) and broken (to the left), by the failing side's fault."""
    largest = max([1, *entry["gain"].values(), *entry["loss"].values()])
    scale = _Scale(-float(largest), float(largest), left=_LABEL_WIDTH + 30)
    height = _ROW_HEIGHT * len(CAUSES) + _AXIS_HEIGHT
    svg = [svg_open("fixed and broken problems by cause", height)]
    for row, cause in enumerate(CAUSES):
        y = _ROW_HEIGHT * row + 7
        svg.append(_label(y + 10, cause))
        svg += _fixed_bar(scale, y, cause, entry["gain"][cause])
        svg += _broken_bar(scale, y, cause, entry["loss"][cause])
    svg.append(scale.zero_line(height))
    svg.append(svg_text(scale.x(0) - 8, height - 8, "← broken", "end", "dim"))
    svg.append(svg_text(scale.x(0) + 8, height - 8, "fixed →", "start", "dim"))
    return "".join([*svg, SVG_CLOSE])


def _fixed_bar(scale: "_Scale", y: float, cause: str, count: int) -> list[str]:
    x = scale.x(0)
    width = scale.x(count) - x
    return [
        svg_bar(x, y, width, _BAR_HEIGHT, "green", f"{cause}: {count} fixed"),
        svg_text(x + width + 5, y + 15, f"+{count}" if count else "0", "start"),
    ]


def _broken_bar(scale: "_Scale", y: float, cause: str, count: int) -> list[str]:
    x = scale.x(-count)
    width = scale.x(0) - x
    return [
        svg_bar(x, y, width, _BAR_HEIGHT, "red", f"{cause}: {count} broken"),
        svg_text(x - 5, y + 15, f"−{count}" if count else "0", "end"),
    ]


def by_length(summaries: Sequence[Entry]) -> str:
    """Accuracy of the answers of each length, with Wilson intervals and the number of answers."""
    spans = sorted({(b["from"], b["below"]) for summary in summaries for b in summary["by_length"]})
    if not spans:
        return '<p class="dim">no answers</p>'
    step = (WIDTH - _SCALE_WIDTH - 10) / len(spans)
    bar_width = min(46.0, (step - 10) / len(summaries))
    margin = (step - bar_width * len(summaries)) / 2
    svg = [svg_open("accuracy by length of the answer in tokens", _BY_LENGTH_HEIGHT)]
    svg += _share_lines()
    for number, summary in enumerate(summaries):
        colour = model_colour(number)
        for length_bin in summary["by_length"]:
            place = spans.index((length_bin["from"], length_bin["below"]))
            x = _SCALE_WIDTH + step * place + margin + bar_width * number
            svg += _length_bar(x, bar_width, length_bin, colour, summary["model"])
    for place, (low, below) in enumerate(spans):
        x = _SCALE_WIDTH + step * (place + 0.5)
        svg.append(svg_text(x, _BY_LENGTH_HEIGHT - 8, _span(low, below), "middle"))
    return "".join([*svg, SVG_CLOSE])


def _share_lines() -> list[str]:
    svg = []
    for share in (0, 0.25, 0.5, 0.75, 1):
        y = _share_y(share)
        svg.append(svg_line(_SCALE_WIDTH, y, WIDTH - 10, y))
        svg.append(svg_text(_SCALE_WIDTH - 6, y + 4, percent(share), "end", "dim"))
    return svg


def _share_y(share: float) -> float:
    return _PLOT_TOP + _PLOT_HEIGHT * (1 - share)


def _length_bar(x: float, width: float, length_bin: Entry, colour: str, model: str) -> list[str]:
    n = length_bin["n"]
    correct = length_bin["correct"]
    share = correct / n
    low, high = wilson(correct, n)
    middle = x + width / 2
    hint = f"{model}: {correct} of {n} right, {percent(share)} ({percent(low)} to {percent(high)})"
    interval = f"M{middle:.1f} {_share_y(low):.1f}V{_share_y(high):.1f}"
    svg = [
        svg_bar(x, _share_y(share), width - 2, _PLOT_HEIGHT * share, colour, hint),
        f'<path class="interval" d="{interval}"/>',
    ]
    if width > _DIGIT_WIDTH * len(str(n)):
        svg.append(svg_text(middle, _share_y(0) + 14, str(n), "middle", "dim small"))
    return svg


def tokens_per_correct(summaries: Sequence[Entry]) -> str:
    """Tokens generated for one right answer: shorter is cheaper."""
    largest = max([summary["tokens_per_correct"] or 0 for summary in summaries]) or 1
    svg = [svg_open("tokens per right answer", _ROW_HEIGHT * len(summaries))]
    for row, summary in enumerate(summaries):
        y = _ROW_HEIGHT * row + 6
        tokens = summary["tokens_per_correct"]
        value = "none right" if tokens is None else f"{tokens:,.0f}"
        width = (WIDTH - _LABEL_WIDTH - _VALUE_WIDTH) * (tokens or 0) / largest
        hint = f"{summary['model']}: {value}"
        svg.append(_label(y + 10, summary["model"]))
        svg.append(svg_bar(_LABEL_WIDTH, y, width, _BAR_HEIGHT, model_colour(row), hint))
        svg.append(svg_text(_LABEL_WIDTH + width + 6, y + 15, value))
    return "".join([*svg, SVG_CLOSE])


def pass_at_k(summaries: Sequence[Entry]) -> str:
    """A table rather than curves: the numbers are few and are quoted."""
    ks = list(summaries[0].get("pass_at_k", {}))
    titles = ["model", f"avg@{summaries[0]['samples']}", *(f"pass@{escape(k)}" for k in ks)]
    rows = []
    for summary in summaries:
        shares = [summary["accuracy"], *(summary["pass_at_k"][k] for k in ks)]
        rows.append([escape(summary["model"]), *(percent(share, 1) for share in shares)])
    return table(titles, rows)


def percent(share: float, digits: int = 0) -> str:
    """A share as a percentage."""
    return f"{100 * share:.{digits}f}%"


def points(share: float) -> str:
    """A difference of shares in percentage points, with its sign (a true minus)."""
    return f"{100 * share:+.1f}".replace("-", "−").replace("+0.0", "0").replace("−0.0", "0")


class _Scale:
    """A horizontal axis from `low` to `high` between the labels and the values."""

    def __init__(self, low: float, high: float, left: float = _LABEL_WIDTH) -> None:
        self._low = low
        self._high = high
        self._left = left

    def x(self, value: float) -> float:
        """The place of a value, in pixels from the left."""
        width = WIDTH - self._left - _VALUE_WIDTH
        return self._left + width * (value - self._low) / (self._high - self._low)

    def grid(
        self, height: float, values: Sequence[float], show: Callable[[float], str]
    ) -> list[str]:
        """A line and a label at each of the values."""
        svg = []
        for value in values:
            x = self.x(value)
            svg.append(svg_line(x, 0, x, height - _AXIS_HEIGHT))
            svg.append(svg_text(x, height - 8, show(value), "middle", "dim"))
        return svg

    def zero_line(self, height: float) -> str:
        """The axis itself."""
        return svg_line(self.x(0), 0, self.x(0), height - _AXIS_HEIGHT, "axis")

    def whisker(self, y: float, values: tuple[float, float, float], colour: str, hint: str) -> str:
        """A dot in its interval: `values` are low, value, high."""
        low, x, high = (self.x(value) for value in values)
        lines = f"M{low:.1f} {y}H{high:.1f}M{low:.1f} {y - 6}v12M{high:.1f} {y - 6}v12"
        return (
            f'<g class="{colour}"><title>{escape(hint)}</title>'
            f'<path class="whisker {colour}" d="{lines}"/>'
            f'<circle cx="{x:.1f}" cy="{y}" r="6"/></g>'
        )


def _value(y: float, text: str) -> str:
    return svg_text(WIDTH - _VALUE_WIDTH + 8, y + 4, text)


def _span(low: int, below: int) -> str:
    if low < 1024:
        return f"{low}–{below - 1}"
    if below > 1 << 30:  # the last one has no end
        return f"≥ {low // 1024}k"
    return f"{low // 1024}–{below // 1024}k"


def _round_up(value: float) -> float:
    return next((step for step in (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8) if step >= value), 1.0)


def _label(y: float, name: str) -> str:
    """A model's name is told from its end: the folders before it are often the same."""
    short = name if len(name) <= 22 else "…" + name[-21:]
    place = f'x="{_LABEL_WIDTH - 10}" y="{y + 4:.1f}" text-anchor="end"'
    return f"<text {place}>{escape(short)}<title>{escape(name)}</title></text>"
