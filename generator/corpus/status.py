"""How a corpus stands: what `status` prints, from the ledger alone, while a run is going and
after it.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from generator.corpus.ledger import Ledger
from generator.monitor.status import counts, pace, reset_note
from shared.durations import duration
from shared.errors import InputError
from shared.folder_lock import holder


def corpus_status(corpus: Path) -> str:
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
        lines = [*_totals(ledger), *_calls(ledger)]
        snapshot = orjson.loads(ledger.noted("status") or "{}")
    finally:
        ledger.close()
    pid = holder(corpus)
    run = f"a run is going (process {pid})" if pid is not None else "no run is going"
    lines = [f"{corpus}: {run}", *lines]
    if snapshot:
        lines += _running(snapshot) if pid is not None else _last_run(snapshot)
    return "\n".join(lines)


def _totals(ledger: Ledger) -> list[str]:
    totals = ledger.totals()
    kept_samples = sum(total.samples for total in totals if total.pile == "traces")
    by_verdict = {total.verdict: total.samples for total in totals if total.pile == "rejected"}
    rejected_samples = sum(by_verdict.values())
    tokens = sum(total.prompt_tokens + total.completion_tokens for total in totals)
    reasons = f" ({counts(by_verdict)})" if by_verdict else ""
    return [
        f"samples    {kept_samples + rejected_samples:,} finished: {kept_samples:,} kept,"
        f" {rejected_samples:,} rejected{reasons}",
        f"tokens     {tokens:,} in finished samples",
    ]


def _calls(ledger: Ledger) -> list[str]:
    expense = ledger.spent(None, 0.0)
    outcomes = ledger.outcomes()
    return [
        f"calls      {expense.calls:,}: {counts(outcomes) or 'none'}",
        f"spend      ${expense.usd:,.4f}",
    ]


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
        usage = f"{budget['used']:,} of {budget['limit']:,}"
        lines.append(f"           {budget['name']}: {usage}{resets}")
    return lines


def _last_run(snapshot: dict[str, Any]) -> list[str]:
    return [
        f"last run   {_phase(snapshot)}, at {snapshot['at']}, after"
        f" {duration(snapshot['elapsed_seconds'])}"
    ]


def _phase(snapshot: dict[str, Any]) -> str:
    note = f": {snapshot['note']}" if snapshot["note"] else ""
    return f"{snapshot['phase']}{note}"
