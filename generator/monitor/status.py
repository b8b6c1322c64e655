"""What a run is doing, as plain data: the panel draws it, the server sends it, the ledger keeps the
last one.

The pipeline counts (`SampleCounts`), the lanes describe themselves (`LaneStatus`), `RunStatus` is
both at one moment.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Literal

from shared.durations import duration

Phase = Literal["starting", "running", "idle", "paused", "draining", "done", "stopped"]
LaneState = Literal[
    "ready",
    "full",
    "pacing",
    "cooling",
    "closed window",
    "used up",
    "budget away",
    "circuit open",
    "probing",
    "balance gone",
    "stopped",
    "paused",
]


@dataclass(frozen=True, slots=True)
class BudgetStatus:
    """One limit of one lane (or of the whole run, lane "")."""

    lane: str
    name: str  # the configuration's key: calls_per_day, usd_total, …
    used: float
    limit: float
    resets_at: str  # UTC, ISO 8601; "" where it never resets


@dataclass(frozen=True, slots=True)
class BatchStatus:
    """One file of requests at a provider, or on its way there or back."""

    name: str
    lane: str
    state: str  # prepared, uploaded, created, ended, held
    lines: int
    completed: int
    failed: int
    status: str  # the provider's word
    expires_at: float  # seconds since 1970; 0: not said
    note: str

    def in_words(self, now: float) -> str:
        """batch of 4,800 at siliconflow: 3,120 done, expires in 9 h 12 min"""
        parts = [f"{self.completed:,} done"] if self.state == "created" else [_STEPS[self.state]]
        if self.failed:
            parts.append(f"{self.failed:,} failed")
        if self.state == "created" and self.status not in ("", "in_progress"):
            parts.append(self.status.replace("_", " "))
        if self.state == "created" and self.expires_at > now:
            parts.append(f"expires in {duration(self.expires_at - now)}")
        if self.note:
            parts.append(self.note)
        return f"batch of {self.lines:,} at {self.lane}: {', '.join(parts)}"


_STEPS = {
    "prepared": "is being uploaded",
    "uploaded": "is uploaded",
    "ended": "its lines are taken over",
    "held": "held",
}


@dataclass(frozen=True, slots=True)
class LaneStatus:
    """One lane now. Counts are of this process' life, budgets of the corpus."""

    name: str
    model: str
    state: LaneState
    reason: str  # one sentence, "" where it is ready
    in_flight: int
    waiting: int  # samples that this lane keeps waiting
    limit: int  # concurrency allowed now
    ceiling: int  # concurrency configured
    calls: int
    errors: dict[str, int]  # failed calls by kind
    tokens: int  # completion tokens so far, counted as they stream
    usd: float
    budgets: list[BudgetStatus] = field(default_factory=list)
    first_token_seconds: float = 0.0  # median of the last calls
    per_minute: float = 0.0  # calls a minute in force; 0: no such limit
    pace_source: str = ""  # "configured", "named by the provider" or "learnt from 429s"
    warning: str = ""  # what a user should know while the lane works
    seconds_p95: float = 0.0  # 95th percentile of a call's duration; 0: not known yet
    batches: list[BatchStatus] = field(default_factory=list)  # of a batch lane


def pace(per_minute: float, source: str) -> str:
    """ "285 calls a minute (learnt from 429s)"; "" where none is kept."""
    return f"{per_minute:,.0f} calls a minute ({source})" if per_minute else ""


@dataclass(slots=True)
class SampleCounts:
    """The pipeline's own counts. `settled_*` were finished before this run began."""

    total: int = 0  # samples wanted in all; 0: not known
    settled_kept: int = 0
    settled_rejected: int = 0
    kept: int = 0
    rejected: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)  # of this run
    # of this run's rejected samples, by finish reason or verdict
    reasons: Counter[str] = field(default_factory=Counter)
    asking: int = 0  # samples that workers hold now
    grading: int = 0

    @property
    def finished(self) -> int:
        """Samples finished by this run."""
        return self.kept + self.rejected

    @property
    def done(self) -> int:
        """Samples finished in the corpus."""
        return self.settled_kept + self.settled_rejected + self.finished


@dataclass(frozen=True, slots=True)
class RunStatus:
    """A run at one moment: JSON through `as_dict`."""

    corpus: str
    phase: Phase
    note: str  # why idle, what is waited for, what ended the run
    started_at: str  # UTC, ISO 8601
    at: str
    elapsed_seconds: float
    total: int
    done: int
    kept: int  # in the corpus
    rejected: int
    verdicts: dict[str, int]  # of this run
    in_flight: int
    asking: int
    grading: int
    tokens: int  # of this run
    tokens_per_second: float
    errors: dict[str, int]  # failed calls by kind
    usd: float
    eta_seconds: float | None
    lanes: list[LaneStatus]
    eta_by_quota: bool = False  # quotas say how long it will be, not the present rate
    budgets: list[BudgetStatus] = field(default_factory=list)  # of the whole run

    def as_dict(self) -> dict[str, Any]:
        """What GET /status sends and the ledger keeps."""
        return asdict(self)


def counts(by_name: Mapping[str, int]) -> str:
    """{"cut": 3, "stalled": 1} -> "3 cut, 1 stalled"."""
    by_count = sorted(by_name.items(), key=lambda item: -item[1])
    return ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in by_count)


def usage(name: str, used: float, limit: float) -> str:
    """ "230 of 500 calls per day", "$0.02 of $5.00 per day", "$0.02 of $60.00 in total"; `name`:
    the budget's key.
    """
    unit, _, span = name.partition("_")
    words = span.replace("_", " ").replace("total", "in total")
    if unit == "usd":
        return f"${used:,.2f} of ${limit:,.2f} {words}"
    return f"{used:,.0f} of {limit:,.0f} {unit} {words}"


def reset_note(resets_at: str, now: datetime) -> str:
    """What follows a budget's count: ", resets in 39 h 00 min", "" where it never resets.

    A budget is counted anew with the first call after its reset, so a status may still show the
    old count when `resets_at` (ISO 8601) has passed: ", reset is due".
    """
    if not resets_at:
        return ""
    seconds = (datetime.fromisoformat(resets_at) - now).total_seconds()
    return f", resets in {duration(seconds)}" if seconds > 0 else ", reset is due"
