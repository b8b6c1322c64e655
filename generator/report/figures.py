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

READ_KEPT = 8  # samples to read
READ_A_VERDICT = 3  # rejected samples to read, of each verdict
MOST_EVIDENCE = 40
MOST_SUSPECTS = 40
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
    has_price: bool = False
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
    first_start: str = ""  # of a sample, UTC, ISO 8601
    last_end: str = ""
    kept_samples: list[Trace] = field(default_factory=list)
    rejected_samples: list[Trace] = field(default_factory=list)
    screening: dict[str, Any] | None = None
    evidence: list[dict[str, Any]] = field(default_factory=list)  # of screening
    suspects: list[dict[str, Any]] = field(default_factory=list)
    torn: int = 0  # lines that could not be read

    @property
    def rows(self) -> int:
        """Samples in all."""
        return self.verdicts.total()

    @property
    def kept(self) -> int:
        """Samples in the pile of traces."""
        return self.lengths["traces"].total()

    def pass_rates(self) -> list[int]:
        """Problems by the share of their samples that were right: ten equal bins from 0 to 1, and
        1 itself last.
        """
        counts = [0] * 11
        for correct, answers in self.problems.values():
            if answers:
                counts[int(10 * correct / answers)] += 1
        return counts


def collect(corpus: Path) -> Figures:
    """Read the corpus. Errors: `InputError` where there is none."""
    figures = Figures(str(corpus))
    draw = random.Random(0)
    kept_samples = _Reservoir(READ_KEPT, draw)
    # every kind of reject is among those to read
    rejected_samples = {verdict: _Reservoir(READ_A_VERDICT, draw) for verdict in VERDICTS}
    for pile in PILES:
        for trace in _traces(corpus, pile, figures):
            _count(figures, trace, pile)
            samples = kept_samples if pile == "traces" else rejected_samples[trace.verdict]
            samples.offer(trace)
    figures.kept_samples = kept_samples.traces
    for samples in rejected_samples.values():
        figures.rejected_samples += samples.traces
    figures.screening = _json(corpus / "screening" / "state.json", {}).get("summary")
    figures.evidence = _lines(corpus / "screening" / "excluded.jsonl", MOST_EVIDENCE)
    figures.suspects = _lines(corpus / "suspect_gold.jsonl", MOST_SUSPECTS)
    return figures


def length_bin(tokens: int) -> int:
    """The number of the logarithmic bin of a length, `BINS_A_DECADE` to a power of ten."""
    return int(BINS_A_DECADE * log10(max(1, tokens)))


def _count(figures: Figures, trace: Trace, pile: Pile) -> None:
    is_kept = pile == "traces"
    figures.verdicts[trace.verdict] += 1
    figures.by_source[trace.source][trace.verdict] += 1
    figures.lengths[pile][length_bin(trace.usage.completion_tokens)] += 1
    figures.flags.update(trace.flags)
    if is_kept:
        figures.checked_by[trace.checked_by or "nothing"] += 1
    else:
        figures.reasons[f"{trace.verdict}: {_kind_of_reason(trace.reason)}"] += 1
    rates = figures.problems.setdefault(trace.problem_id, [0, 0])
    if trace.verdict == "correct":
        rates[0] += 1
    if trace.verdict != "failed":
        rates[1] += 1
    _count_in_lane(
        figures.lanes[f"{trace.lane or 'no lane'} · {trace.model or '–'}"], trace, is_kept
    )
    figures.first_start = min(figures.first_start or trace.started_at, trace.started_at)
    figures.last_end = max(figures.last_end, trace.finished_at)


def _count_in_lane(lane: LaneFigures, trace: Trace, is_kept: bool) -> None:
    lane.samples += 1
    if is_kept:
        lane.kept += 1
    lane.prompt_tokens += trace.usage.prompt_tokens
    lane.completion_tokens += trace.usage.completion_tokens
    if trace.cost_usd:  # 0 where its lane has no prices
        lane.cost_usd += trace.cost_usd
        lane.has_price = True
    lane.attempts += trace.attempts
    seconds = trace.timing.get("total_seconds")
    if seconds is not None:
        lane.seconds += seconds


def _kind_of_reason(reason: str) -> str:
    """A reason with its own numbers and quotations left out, so that equal kinds are counted
    together.
    """
    return _VARIABLE.sub("…", reason)[:110]


class _Reservoir:
    """Up to `size` traces of a stream, each as likely as any other (reservoir sampling)."""

    def __init__(self, size: int, draw: random.Random) -> None:
        self.traces: list[Trace] = []
        self._size = size
        self._draw = draw
        self._offers = 0

    def offer(self, trace: Trace) -> None:
        """Take the next trace of the stream, perhaps."""
        self._offers += 1
        if len(self.traces) < self._size:
            self.traces.append(trace)
            return
        place = self._draw.randrange(self._offers)
        if place < self._size:
            self.traces[place] = trace


def _traces(corpus: Path, pile: Pile, figures: Figures) -> Iterator[Trace]:
    for path in [*sealed_files(corpus, pile), *open_files(corpus, pile)]:
        with path.open("rb") as lines:
            for line in lines:
                try:
                    trace = Trace.from_row(orjson.loads(line))
                except (orjson.JSONDecodeError, InputError):
                    # `check` names them; a report of the rest is still worth reading
                    figures.torn += 1
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
