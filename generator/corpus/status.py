"""How a corpus stands: what `status` prints, from the ledger alone, while a run is going and
after it.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from generator.corpus.batch_table import batch_status
from generator.corpus.ledger import Ledger
from generator.monitor.status import counts, pace, reset_note, usage
from shared.durations import duration
from shared.errors import InputError
from shared.folder_lock import holder

NAMED_STATES = ("running", "ended")  # of parts that somebody may want to look at


@dataclass(frozen=True, slots=True)
class CorpusStatus:
    """A corpus at one moment. Counts are of its whole life."""

    corpus: str
    running_pid: int | None  # the process that fills it now
    kept: int  # samples in traces/
    rejected: int
    rejected_by_verdict: dict[str, int]
    tokens: int  # prompt and completion, in finished samples
    calls: int
    calls_by_outcome: dict[str, int]
    usd: float
    batches: list[str]  # files of requests that are at a provider, in words
    run: dict[str, Any]  # the `RunStatus` of the run that goes on, or of the last one; {}: none

    # of a corpus in parts: number, state, kept and rejected of each
    parts: list[dict[str, Any]] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """What `status --json` prints."""
        return asdict(self)

    def text(self) -> str:
        """What `status` prints."""
        is_running = self.running_pid is not None
        state = f"a run is going (process {self.running_pid})" if is_running else "no run is going"
        reasons = f" ({counts(self.rejected_by_verdict)})" if self.rejected_by_verdict else ""
        lines = [
            f"{self.corpus}: {state}",
            f"samples    {self.kept + self.rejected:,} finished: {self.kept:,} kept,"
            f" {self.rejected:,} rejected{reasons}",
            f"tokens     {self.tokens:,} in finished samples",
            f"calls      {self.calls:,}: {counts(self.calls_by_outcome) or 'none'}",
            f"spend      ${self.usd:,.4f}",
            *(f"batch      {batch}" for batch in self.batches),
        ]
        if self.parts:
            lines.append(f"parts      {_parts(self.parts)}")
        if self.run:
            lines += _running(self.run) if is_running else _last_run(self.run)
        return "\n".join(lines)


def corpus_status(corpus: Path) -> CorpusStatus:
    """Progress, spend and, while a run is going, its rates and why it waits. Errors:
    `InputError` without a corpus.
    """
    path = corpus / "ledger.sqlite"
    if not path.exists():
        hint = (
            "run `python -m generator reindex` first"
            if (corpus / "traces").is_dir()
            else "correct the path"
        )
        raise InputError(f"{corpus}: no ledger.sqlite there: {hint}")
    ledger = Ledger(path, read_only=True)
    try:
        totals = ledger.totals()
        expense = ledger.spent(None, 0.0)
        outcomes = dict(ledger.outcomes())
        run = orjson.loads(ledger.noted("status") or "{}")
        now = time.time()
        batches = [batch_status(row).in_words(now) for row in ledger.batches()]
    finally:
        ledger.close()
    by_verdict = {total.verdict: total.samples for total in totals if total.pile == "rejected"}
    return CorpusStatus(
        corpus=str(corpus),
        running_pid=holder(corpus),
        kept=sum(total.samples for total in totals if total.pile == "traces"),
        rejected=sum(by_verdict.values()),
        rejected_by_verdict=by_verdict,
        tokens=sum(total.prompt_tokens + total.completion_tokens for total in totals),
        calls=expense.calls,
        calls_by_outcome=outcomes,
        usd=expense.usd,
        batches=batches,
        run=run,
    )


def _parts(parts: Sequence[dict[str, Any]]) -> str:
    """ "4: 2 running (0, 1), 1 done, 1 waiting"."""
    texts = []
    for state in ("running", "ended", "done", "waiting"):
        numbers = [part["part"] for part in parts if part["state"] == state]
        if numbers:
            number_list = f" ({', '.join(map(str, numbers))})" if state in NAMED_STATES else ""
            texts.append(f"{len(numbers):,} {state}{number_list}")
    return f"{len(parts):,}: {', '.join(texts)}"


def _running(snapshot: dict[str, Any]) -> list[str]:
    total = f" of {snapshot['total']:,}" if snapshot["total"] else ""
    seconds = snapshot["eta_seconds"]
    eta = f", ready in {duration(seconds)}" if seconds is not None else ""
    lines = [
        f"now        {_phase(snapshot)}",
        f"done       {snapshot['done']:,}{total}{eta}",
        f"rate       {snapshot['tokens_per_second']:,.0f} tokens/s, {snapshot['in_flight']:,} calls"
        " in flight",
    ]
    for lane in snapshot["lanes"]:
        lines += _lane(lane)
    return lines


def _lane(lane: dict[str, Any]) -> list[str]:
    state = lane["reason"] or lane["state"]
    calls = f"{lane['in_flight']:,} in flight, limit {lane['limit']:,}, {lane['calls']:,} calls"
    lines = [f"lane       {lane['name']}: {calls}, {state}"]
    if lane.get("pace_source"):  # absent in the snapshot of an older version
        lines.append(f"           keeps to {pace(lane['per_minute'], lane['pace_source'])}")
    now = datetime.now(UTC)
    for budget in lane["budgets"]:
        resets = reset_note(budget["resets_at"], now)
        amount = usage(budget["name"], budget["used"], budget["limit"])
        lines.append(f"           {amount}{resets}")
    return lines


def _last_run(snapshot: dict[str, Any]) -> list[str]:
    return [
        f"last run   {_phase(snapshot)}, at {snapshot['at']}, after"
        f" {duration(snapshot['elapsed_seconds'])}"
    ]


def _phase(snapshot: dict[str, Any]) -> str:
    note = f": {snapshot['note']}" if snapshot["note"] else ""
    return f"{snapshot['phase']}{note}"
