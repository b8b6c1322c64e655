"""What the report counts, in one pass over a corpus' shards (open ones too). Memory: a few
dozen bytes a problem.
"""

import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import log10
from pathlib import Path
from typing import Any

import orjson

from shared.errors import InputError
from shared.records import VERDICTS, Trace
from shared.shards import PILES, Pile, open_files, sealed_files

READ_KEPT, READ_REJECTED = 8, 12  # samples to read
BINS_A_DECADE = 8
_VARIABLE = re.compile(r"'[^']*'|\"[^\"]*\"|-?\d[\d.,]*%?")


@dataclass
class LaneFigures:
    """Sums over the samples of one lane and model."""

    samples: int = 0
    kept: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float = 0.0
    priced: bool = False
    attempts: int = 0
    seconds: float = 0.0


@dataclass
class Figures:
    """Everything that the page shows."""

    corpus: str
    verdicts: Counter[str] = field(default_factory=Counter)
    by_source: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    lengths: dict[Pile, Counter[int]] = field(
        default_factory=lambda: {pile: Counter() for pile in PILES}
    )
    reasons: Counter[str] = field(default_factory=Counter)  # of what was rejected
    flags: Counter[str] = field(default_factory=Counter)
    checked_by: Counter[str] = field(default_factory=Counter)
    lanes: dict[str, LaneFigures] = field(default_factory=lambda: defaultdict(LaneFigures))
    problems: dict[str, list[int]] = field(default_factory=dict)  # id -> [correct, answered]
    first: str = ""
    last: str = ""
    kept_samples: list[Trace] = field(default_factory=list)
    rejected_samples: list[Trace] = field(default_factory=list)
    screening: dict[str, Any] | None = None
    evidence: list[dict[str, Any]] = field(default_factory=list)  # of screening
    suspects: list[dict[str, Any]] = field(default_factory=list)
    torn: int = 0  # lines that could not be read

    @property
    def rows(self) -> int:
        return self.verdicts.total()

    @property
    def kept(self) -> int:
        return self.lengths["traces"].total()

    def pass_rates(self, bins: int = 10) -> list[int]:
        """Problems by the share of their samples that were right: `bins` equal bins from 0 to
        1, and 1 itself last.
        """
        counts = [0] * (bins + 1)
        for correct, answered in self.problems.values():
            if answered:
                counts[int(bins * correct / answered)] += 1
        return counts


def collect(corpus: Path) -> Figures:
    """Read the corpus. Errors: `InputError` where there is none."""
    figures = Figures(str(corpus))
    draw = random.Random(0)
    seen: Counter[str] = Counter()
    for pile in PILES:
        for trace in _traces(corpus, pile, figures):
            _count(figures, trace, pile)
            group = (
                "kept" if pile == "traces" else trace.verdict
            )  # every kind of reject is among those to read
            seen[group] += 1
            mine, size = (
                (figures.kept_samples, READ_KEPT)
                if group == "kept"
                else (figures.rejected_samples, READ_REJECTED)
            )
            _maybe_read(mine, trace, size if group == "kept" else size // 4, seen[group], draw)
    figures.screening = _json(corpus / "screening" / "state.json", {}).get("summary")
    figures.evidence = _lines(corpus / "screening" / "excluded.jsonl", 40)
    figures.suspects = _lines(corpus / "suspect_gold.jsonl", 40)
    return figures


def length_bin(tokens: int) -> int:
    """The number of the logarithmic bin of a length, `BINS_A_DECADE` to a power of ten."""
    return int(BINS_A_DECADE * log10(max(1, tokens)))


def _count(figures: Figures, trace: Trace, pile: Pile) -> None:
    kept = pile == "traces"
    figures.verdicts[trace.verdict] += 1
    figures.by_source[trace.source][trace.verdict] += 1
    figures.lengths[pile][length_bin(trace.usage.completion_tokens)] += 1
    figures.flags.update(trace.flags)
    if kept:
        figures.checked_by[trace.checked_by or "nothing"] += 1
    else:
        figures.reasons[f"{trace.verdict}: {_kind_of_reason(trace.reason)}"] += 1
    rates = figures.problems.setdefault(trace.problem_id, [0, 0])
    rates[0] += trace.verdict == "correct"
    rates[1] += trace.verdict != "failed"
    lane = figures.lanes[f"{trace.lane or 'no lane'} · {trace.model or '–'}"]
    lane.samples += 1
    lane.kept += kept
    lane.prompt_tokens += trace.usage.prompt_tokens
    lane.completion_tokens += trace.usage.completion_tokens
    lane.cost_usd += trace.cost_usd or 0.0
    lane.priced |= trace.cost_usd is not None
    lane.attempts += trace.attempts
    lane.seconds += trace.timing.get("total_seconds") or 0.0
    figures.first = min(figures.first or trace.started_at, trace.started_at)
    figures.last = max(figures.last, trace.finished_at)


def _kind_of_reason(reason: str) -> str:
    """A reason with its own numbers and quotations left out, so that equal kinds are counted
    together.
    """
    return _VARIABLE.sub("…", reason)[:110]


def _maybe_read(
    samples: list[Trace], trace: Trace, size: int, seen: int, draw: random.Random
) -> None:
    """Reservoir sampling, one reservoir for each verdict inside `samples`."""
    mine = [at for at, one in enumerate(samples) if one.verdict == trace.verdict]
    if len(mine) < size:
        samples.append(trace)
    elif (at := draw.randrange(seen)) < size:
        samples[mine[at]] = trace


def _traces(corpus: Path, pile: Pile, figures: Figures) -> Iterator[Trace]:
    for path in [*sealed_files(corpus, pile), *open_files(corpus, pile)]:
        with path.open("rb") as lines:
            for line in lines:
                try:
                    trace = Trace.from_row(orjson.loads(line))
                except (orjson.JSONDecodeError, InputError):
                    figures.torn += (
                        1  # `check` names them; a report of the rest is still worth reading
                    )
                    continue
                if trace.verdict in VERDICTS:
                    yield trace


def _json(path: Path, default: Any) -> Any:
    try:
        return orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return default


def _lines(path: Path, most: int) -> list[dict[str, Any]]:
    """Up to `most` rows of a JSON lines file, copies of evaluation problems before what was
    only reported.
    """
    try:
        rows = [orjson.loads(line) for line in path.read_bytes().splitlines()]
    except (OSError, orjson.JSONDecodeError):
        return []
    return sorted(rows, key=lambda row: not row.get("copy", True))[:most]
