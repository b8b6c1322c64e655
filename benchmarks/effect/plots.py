"""Tables and plots of what `python -m benchmarks.effect` wrote.

    python -m benchmarks.effect.plots effect.jsonl docs/pictures > tables.md

One Markdown table a group on stdout, `effect-*.svg` in the folder. Whiskers are 95% Wilson
intervals.
"""

import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

Line = Mapping[str, Any]
COLOURS = ("#1f6feb", "#d1495b", "#2a9d5c", "#8a5cf6")
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 720, 360, 60, 190, 44, 48
ARMS = {
    "no more": "no more traces",
    "at random": "600 at random",
    "near what it failed": "600 near what it failed",
}
STYLE = "font-family:system-ui,sans-serif;font-size:13px;fill:#24292f"


@dataclass(frozen=True, slots=True)
class Point:
    """A place on the x axis and the answers that were right there."""

    x: float
    right: int
    asked: int

    @property
    def share(self) -> float:
        return self.right / self.asked

    @property
    def interval(self) -> tuple[float, float]:
        return wilson(self.right, self.asked)


def wilson(right: int, asked: int, z: float = 1.96) -> tuple[float, float]:
    """95% score interval of a share (Wilson 1927)."""
    share, square = right / asked, z * z / asked
    middle = (share + square / 2) / (1 + square)
    reach = z / (1 + square) * math.sqrt(share * (1 - share) / asked + square / (4 * asked))
    return max(0.0, middle - reach), min(1.0, middle + reach)


def table(lines: Sequence[Line]) -> str:
    """One group as Markdown."""
    head = ["| setting | traces | tokens | steps | loss | right | 95% | boxed | finished | data |"]
    head.append("|---|---:|---:|---:|---:|---:|---:|---:|---:|---|")
    for line in lines:
        low, high = wilson(line["right"], line["asked"])
        trained = line["steps"] > 0
        numbers = [f"{line[name]:,}" if trained else "" for name in ("rows", "tokens", "steps")]
        head.append(
            f"| {line['setting']['name']} | {' | '.join(numbers)} |"
            f" {line['loss'] if trained else ''} | {line['right']} of {line['asked']} | {low:.0%}"
            f" to {high:.0%} | {line['boxed']} | {line['finished']} |"
            f" {line['data'] if trained else ''} |"
        )
    return "\n".join(head)


def curves(title: str, axis: str, series: Mapping[str, Sequence[Point]]) -> str:
    """Share right over a logarithmic x axis, one line a series, with whiskers."""
    places = sorted({point.x for points in series.values() for point in points})
    low, high = math.log(places[0]), math.log(places[-1])
    inner = WIDTH - LEFT - RIGHT

    def at(x: float) -> float:
        return LEFT + (math.log(x) - low) / ((high - low) or 1) * inner

    out = [_open(title, HEIGHT), *_shares(inner)]
    out += [_text(at(x), HEIGHT - BOTTOM + 18, f"{x:,g}", "middle") for x in _spread(places, at)]
    out.append(_text(LEFT + inner / 2, HEIGHT - 8, axis, "middle"))
    for number, (name, points) in enumerate(series.items()):
        colour = COLOURS[number % len(COLOURS)]
        path = " ".join(f"{at(p.x):.1f},{_up(p.share):.1f}" for p in points)
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for point in points:
            bottom, top = (_up(share) for share in point.interval)
            out.append(
                f'<path d="M{at(point.x):.1f} {bottom:.1f}V{top:.1f}" stroke="{colour}"'
                ' opacity=".5"/>'
            )
            out.append(
                f'<circle cx="{at(point.x):.1f}" cy="{_up(point.share):.1f}" r="3.5"'
                f' fill="{colour}"/>'
            )
        y = TOP + 12 + 20 * number
        out.append(
            f'<rect x="{WIDTH - RIGHT + 14}" y="{y - 9}" width="10" height="10" fill="{colour}"/>'
        )
        out.append(_text(WIDTH - RIGHT + 30, y, name))
    return "\n".join([*out, "</svg>\n"])


def bars(title: str, named: Sequence[tuple[str, Point]]) -> str:
    """Share right of each setting, with whiskers and numbers."""
    label, row = 250, 26
    inner, height = WIDTH - label - 90, TOP + row * len(named) + 12
    out = [_open(title, height)]
    for number, (name, point) in enumerate(named):
        y = TOP + row * number
        low, high = (label + share * inner for share in point.interval)
        out.append(_text(label - 8, y + 14, name, "end"))
        out.append(
            f'<rect x="{label}" y="{y}" width="{point.share * inner:.1f}" height="18" '
            f'fill="{COLOURS[0]}" opacity=".75"/>'
        )
        out.append(f'<path d="M{low:.1f} {y + 9}H{high:.1f}" stroke="#24292f" stroke-width="1.5"/>')
        out.append(_text(high + 8, y + 14, f"{point.right} of {point.asked}"))
    return "\n".join([*out, "</svg>\n"])


def pictures(groups: Mapping[str, Sequence[Line]]) -> dict[str, str]:
    """File stem to SVG, of the groups that are there."""
    drawn: dict[str, str] = {}
    rates = {
        name: _by(groups[group], "learning_rate", trained_only=True)
        for group, name in (("rate", "LoRA r=16"), ("full", "full fine-tuning"))
        if group in groups
    }
    if rates:
        drawn["effect-rate"] = curves(
            "Learning rate: problems right after 2,000 traces", "learning rate", rates
        )
    if "rank" in groups:
        ranks = sorted({line["setting"]["rank"] for line in groups["rank"]})
        series = {
            f"r={r}": _by([x for x in groups["rank"] if x["setting"]["rank"] == r], "learning_rate")
            for r in ranks
        }
        drawn["effect-rank"] = curves("Rank and learning rate", "learning rate", series)
    if "size" in groups:
        long = [
            line for line in groups["size"] if line["setting"]["epochs"] > 1 or line["rows"] >= 7000
        ]
        once = [line for line in groups["size"] if line["setting"]["epochs"] == 1]
        series = {"one epoch": _by_size(once), "500 steps": _by_size(long)}
        drawn["effect-size"] = curves("Size of the corpus", "problems asked", series)
    for stem, title, members in (
        ("corpus", "What is in the corpus", ["corpus"]),
        (
            "filter",
            "The teacher's errors, with and without the filter (three trainings each)",
            ["filter"],
        ),
        ("voice", "Brief and long traces (three trainings each)", ["voice", "filter"]),
        (
            "cpu-filter",
            "The teacher's errors, with and without the filter (two cores)",
            ["cpu-filter"],
        ),
        ("cpu-samples", "One sample a problem, or several", ["cpu-samples"]),
        ("gsm8k", "GSM8K test after training", ["gsm8k", "gsm8k-epochs", "gsm8k-full"]),
    ):
        if members[0] in groups:
            lines = [line for group in members for line in groups.get(group, ())]
            named = _over_seeds(lines)
            if stem == "voice":  # the filter's group has the long traces
                named = [
                    (name.replace("teacher right", "long traces"), p)
                    for name, p in named
                    if "wrong" not in name
                ]
            drawn[f"effect-{stem}"] = bars(
                title, sorted(named) if stem in ("filter", "voice") else named
            )
    for group in ("demo-8", "demo-16"):
        if group in groups:
            trained = [line for line in groups[group] if line["steps"]]
            sizes = sorted({line["setting"]["corpus"]["problems"] for line in trained})
            series = {
                f"{size:,} traces": _by(
                    [x for x in trained if x["setting"]["corpus"]["problems"] == size],
                    "learning_rate",
                )
                for size in sizes
            }
            title = f"First steps, brief traces, batch {group.removeprefix('demo-')}"
            drawn[f"effect-{group}"] = curves(title, "learning rate", series)
    return drawn


def main(argv: Sequence[str]) -> int:
    source, folder = Path(argv[0]), Path(argv[1])
    groups: dict[str, list[Line]] = {}
    for text in source.read_text().splitlines():
        line = json.loads(text)
        groups.setdefault(line["group"], []).append(line)
    for name, lines in groups.items():
        first = lines[0]
        print(f"### Group `{name}`\n")
        print(
            f"Judge: {first['asked']} held-out problems of `{first['judge']}`, {first['device']}.\n"
        )
        print(table(lines) + "\n")
    folder.mkdir(parents=True, exist_ok=True)
    weak = source.with_name("weak-kinds.jsonl")
    if weak.exists():
        lines = [json.loads(text) for text in weak.read_text().splitlines()]
        (folder / "effect-weak-kinds.svg").write_text(weak_kinds(lines))
    for stem, svg in pictures(groups).items():
        (folder / f"{stem}.svg").write_text(svg)
    return 0


def _over_seeds(lines: Sequence[Line]) -> list[tuple[str, Point]]:
    """Each setting once, its trainings with different seeds put together."""
    found: dict[str, list[Line]] = {}
    for line in lines:
        found.setdefault(line["setting"]["name"].partition(", seed ")[0], []).append(line)
    return [
        (name, Point(0, sum(line["right"] for line in own), sum(line["asked"] for line in own)))
        for name, own in found.items()
    ]


def weak_kinds(lines: Sequence[Line]) -> str:
    """What `benchmarks.effect.weak_kinds` wrote: the share right of each arm, all seeds
    together.
    """
    named = []
    for what, right, asked in (
        ("", "right", "asked"),
        (", rare kinds", "right_rare", "asked_rare"),
    ):
        for arm, name in ARMS.items():
            own = [line for line in lines if line["arm"] == arm]
            named.append(
                (name + what, Point(0, sum(x[right] for x in own), sum(x[asked] for x in own)))
            )
    return bars("The next 600 calls, where a few kinds of problem are rare", named)


def _by(lines: Sequence[Line], key: str, *, trained_only: bool = False) -> list[Point]:
    kept = [line for line in lines if line["steps"] or not trained_only]
    return sorted((_point(line["setting"][key], line) for line in kept), key=lambda point: point.x)


def _by_size(lines: Sequence[Line]) -> list[Point]:
    return sorted(
        (_point(line["setting"]["corpus"]["problems"], line) for line in lines),
        key=lambda point: point.x,
    )


def _point(x: float, line: Line) -> Point:
    return Point(x, line["right"], line["asked"])


def _open(title: str, height: int) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}"'
        f' height="{height}" role="img" aria-label="{escape(title)}" style="{STYLE}">\n<rect'
        f' width="{WIDTH}" height="{height}" fill="#fff"/>\n<text x="{LEFT - 44}" y="24"'
        f' style="font-size:15px;font-weight:600">{escape(title)}</text>'
    )


def _shares(inner: int) -> list[str]:
    """The y axis: 0 to 100%."""
    out = []
    for share in (0, 0.25, 0.5, 0.75, 1):
        out.append(f'<path d="M{LEFT} {_up(share):.1f}h{inner}" stroke="#d0d7de"/>')
        out.append(_text(LEFT - 8, _up(share) + 4, f"{share:.0%}", "end"))
    return out


def _spread(places: Sequence[float], at: Any) -> list[float]:
    """The labels that do not run into one another."""
    kept: list[float] = []
    for place in places:
        if not kept or at(place) - at(kept[-1]) >= 44:
            kept.append(place)
    return kept


def _up(share: float) -> float:
    return TOP + (1 - share) * (HEIGHT - TOP - BOTTOM)


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
