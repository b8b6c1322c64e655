"""How costs grow: problems, finished samples, streams at once.

    python -m benchmarks.growth [--problems 10000 100000 1000000] [--samples 1000 10000 100000 1000000]
        [--streams 10 100 1000 5000] [--settle 10000 100000 1000000 10000000]
        [--only screening settling starting storing streaming] [--out docs/experiments]

Writes growth.md, growth.svg and growth.jsonl. CPU is that of a process and all that it starts.
Exit 1 where a promise is broken: a million finished samples resume in 5 s and 200 MB, settling
takes 80 bytes a problem.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks.growth import costs
from benchmarks.plots import Lines, draw

Point = dict[str, float]
PROMISED_SECONDS = 5.0  # until a million finished samples are resumed
PROMISED_MEGABYTES = 200.0
PROMISED_BYTES = 80.0  # of settling, a problem
CONSTANT_BYTES = 5_000_000  # of settling, whatever the size
# What is measured: the sizes, the function of (folder, size), and the words for both.
STAGES: Mapping[str, tuple[str, Callable[[Path, int], Point], str]] = {
    "screening": ("problems", costs.screening, "problems, screened before the first call"),
    "settling": ("settle", costs.settling, "problems, deciding over duplicates"),
    "starting": ("samples", costs.starting, "finished samples, a later start"),
    "storing": ("samples", costs.storing, "finished samples, one more row"),
    "streaming": ("streams", costs.streaming, "streams of 30 tokens/s at once"),
}
WORDS = {
    "cpu_seconds": "CPU s",
    "wall_seconds": "s",
    "megabytes": "peak MB",
    "bytes_a_problem": "bytes a problem",
    "left_out": "left out",
    "ledger_bytes": "ledger, bytes a sample",
    "ledger_microseconds": "ledger, µs of CPU a row",
    "shard_microseconds": "shard, µs of CPU a row",
    "cpu_milliseconds_a_call": "CPU ms a call",
    "chunks_a_cpu_second": "chunks a CPU-second",
    "peak_in_flight": "in flight",
    "server_busiest": "provider's core, busiest second",
}


def main(argv: Sequence[str]) -> int:
    args = parsed(argv)
    points: dict[str, dict[int, Point]] = {}
    for stage in args.only:
        sizes_name, measure, _ = STAGES[stage]
        points[stage] = {}
        for size in getattr(args, sizes_name):
            with tempfile.TemporaryDirectory(prefix="growth-") as name:
                points[stage][size] = measure(Path(name), size)
            print(f"{stage:<11}{size:>12,}  {said(points[stage][size])}", flush=True)
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "growth.md").write_text(page(points))
    (args.out / "growth.svg").write_text(picture(points))
    lines = [
        json.dumps({"stage": stage, "size": size, **point}) + "\n"
        for stage, line in points.items()
        for size, point in line.items()
    ]
    (args.out / "growth.jsonl").write_text("".join(lines))
    broken = faults(points)
    for fault in broken:
        print(f"broken: {fault}", file=sys.stderr)
    return 1 if broken else 0


def parsed(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m benchmarks.growth",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--problems", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    add("--samples", type=int, nargs="+", default=[1000, 10_000, 100_000, 1_000_000])
    add("--streams", type=int, nargs="+", default=[10, 100, 1000, 5000])
    add("--settle", type=int, nargs="+", default=[10_000, 100_000, 1_000_000, 10_000_000])
    add("--only", nargs="+", choices=list(STAGES), default=list(STAGES))
    add("--out", type=Path, default=Path("docs/experiments"))
    return parser.parse_args(argv)


def said(point: Point) -> str:
    """A point in words."""
    return ", ".join(f"{WORDS[name]} {value:,.4g}" for name, value in point.items())


def faults(points: Mapping[str, Mapping[int, Point]]) -> list[str]:
    """The promises that these points break."""
    broken = []
    for size, point in points.get("starting", {}).items():
        if point["wall_seconds"] > PROMISED_SECONDS:
            broken.append(f"{size:,} finished samples resume in {point['wall_seconds']:.1f} s")
        if point["megabytes"] > PROMISED_MEGABYTES:
            broken.append(f"{size:,} finished samples take {point['megabytes']:.0f} MB")
    for size, point in points.get("settling", {}).items():
        if point["bytes_a_problem"] > PROMISED_BYTES + CONSTANT_BYTES / size:
            broken.append(f"settling {size:,} takes {point['bytes_a_problem']:.0f} bytes each")
    return broken


def page(points: Mapping[str, Mapping[int, Point]]) -> str:
    """The Markdown."""
    lines = [
        "# How costs grow",
        "",
        "`python -m benchmarks.growth`, which draws this page. CPU is that of a process and all that",
        "it starts; settling's bytes are those beyond what the process had before.",
        "",
        "![how costs grow](growth.svg)",
    ]
    for stage, line in points.items():
        names = list(next(iter(line.values())))
        words = STAGES[stage][2]
        lines += ["", f"## {words[0].upper()}{words[1:]}", ""]
        lines.append("| size | " + " | ".join(WORDS[name] for name in names) + " |")
        lines.append("|---:" * (len(names) + 1) + "|")
        for size, point in line.items():
            values = " | ".join(shown(point[name]) for name in names)
            lines.append(f"| {size:,} | {values} |")
    return "\n".join([*lines, ""])


def shown(value: float) -> str:
    """A number of the tables."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def picture(points: Mapping[str, Mapping[int, Point]]) -> str:
    """The SVG: for each stage CPU and memory where it has them."""
    panels = []
    names: list[str] = []
    for stage, line in points.items():
        words = STAGES[stage][2]
        kinds = [name for name in next(iter(line.values())) if name in PLOTTED]
        for name in kinds:
            series = {WORDS[name]: [(size, point[name]) for size, point in line.items()]}
            panels.append(Lines(f"{WORDS[name]}: {words}", words.split(",")[0], series))
            if WORDS[name] not in names:
                names.append(WORDS[name])
    return draw("How costs grow", panels, names)


PLOTTED = (
    "cpu_seconds",
    "megabytes",
    "bytes_a_problem",
    "ledger_microseconds",
    "cpu_milliseconds_a_call",
)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
