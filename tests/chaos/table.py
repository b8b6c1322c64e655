"""The figures of a log: `python -m tests.chaos --table LOG… [--document docs/reliability.md]`.

A log is cumulative: a line is a story that was played. Where a kind and seed were played often, all
plays count. `--document` replaces what stands between the marks of a page.
"""

import json
import textwrap
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.chaos import kinds

BEGIN = "<!-- figures of tests.chaos: begin -->"
END = "<!-- figures of tests.chaos: end -->"
PROGRAMS = ("generator", "trainer", "evaluation")
LINE_CHARACTERS = 150


@dataclass
class Figures:
    """What one kind has come to."""

    stories: int = 0
    kills: int = 0
    starts: int = 0
    violated: int = 0
    seconds: float = 0.0
    seeds: set[int] = field(default_factory=set)

    def add(self, record: dict[str, Any]) -> None:
        self.stories += 1
        self.kills += record["kills"]
        self.starts += record["starts"]
        self.violated += bool(record["violations"] or record["error"])
        self.seconds += record["seconds"]
        self.seeds.add(record["seed"])


def main(logs: Sequence[str], document: str) -> int:
    """Print the table, or put it into a page."""
    text = "\n".join(lines(read(logs)))
    if not document:
        print(text)
        return 0
    page = Path(document)
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")
    return 0


def read(logs: Iterable[str]) -> list[dict[str, Any]]:
    """The records of logs; a torn last line is passed over."""
    records = []
    for log in logs:
        for line in Path(log).read_text(encoding="utf-8").splitlines():
            try:
                records.append(json.loads(line))
            except ValueError:
                continue
    return records


def lines(records: Sequence[dict[str, Any]]) -> list[str]:
    """The tables as Markdown: the totals, then a row a kind, then the seeds of each."""
    all_kinds = kinds.load()
    by_kind: dict[str, Figures] = defaultdict(Figures)
    for record in records:
        by_kind[record["kind"]].add(record)
    least = min(by_kind[name].stories for name in all_kinds)
    page = [
        *_totals(records),
        "",
        f"{len(all_kinds)} kinds, each played {least} times or more.",
        "",
    ]
    for program in PROGRAMS:
        page += [
            f"| {program} | what happens | stories | `kill -9` | violations |",
            "|---|---|--:|--:|--:|",
        ]
        for name, kind in all_kinds.items():
            if kind.program == program:
                page.append(_row(kind, by_kind[name]))
        page.append("")
    page += ["The seeds that were played:", ""]
    for name in all_kinds:
        seeds = f"- `{name}`: {seeds_in_words(by_kind[name].seeds)}"
        page += textwrap.wrap(seeds, LINE_CHARACTERS, subsequent_indent="  ")
    return page


def _row(kind: kinds.Kind, figures: Figures) -> str:
    return (
        f"| `{kind.name}` | {kind.sentence} | {figures.stories} | {figures.kills} |"
        f" {figures.violated} |"
    )


def _totals(records: Sequence[dict[str, Any]]) -> list[str]:
    rows = [
        "| | stories | `kill -9` | starts of a program | stories with a violation |",
        "|---|--:|--:|--:|--:|",
    ]
    for program in (*PROGRAMS, "all"):
        total = Figures()
        for record in records:
            if program in ("all", record["program"]):
                total.add(record)
        rows.append(
            f"| {program} | {total.stories:,} | {total.kills:,} | {total.starts:,} |"
            f" {total.violated:,} |"
        )
    return rows


def seeds_in_words(seeds: Iterable[int]) -> str:
    """ "0–4, 7, 2000–2003"."""
    runs: list[list[int]] = []
    for seed in sorted(seeds):
        if runs and runs[-1][-1] == seed - 1:
            runs[-1].append(seed)
        else:
            runs.append([seed])
    words = [str(run[0]) if len(run) == 1 else f"{run[0]}–{run[-1]}" for run in runs]
    return ", ".join(words)
