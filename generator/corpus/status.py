"""How a corpus stands: what `status` prints, from the ledger alone, while a run is going and
after it.
"""

from pathlib import Path
from typing import Any

import orjson

from generator.corpus.ledger import Ledger
from generator.monitor.status import counts, pace
from shared.durations import duration
from shared.errors import InputError
from shared.folder_lock import holder


def standing(corpus: Path) -> str:
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
        picture = orjson.loads(ledger.noted("status") or "{}")
    finally:
        ledger.close()
    pid = holder(corpus)
    lines = [
        f"{corpus}: "
        + (f"a run is going (process {pid})" if pid is not None else "no run is going"),
        *lines,
    ]
    if picture:
        lines += _running(picture) if pid is not None else _last_run(picture)
    return "\n".join(lines)


def _totals(ledger: Ledger) -> list[str]:
    totals = ledger.totals()
    kept = sum(total.samples for total in totals if total.pile == "traces")
    rejected = {total.verdict: total.samples for total in totals if total.pile == "rejected"}
    tokens = sum(total.prompt_tokens + total.completion_tokens for total in totals)
    why = f" ({counts(rejected)})" if rejected else ""
    count = kept + sum(rejected.values())
    return [
        f"samples    {count:,} finished: {kept:,} kept, {sum(rejected.values()):,} rejected{why}",
        f"tokens     {tokens:,} in finished samples",
    ]


def _calls(ledger: Ledger) -> list[str]:
    spent, outcomes = ledger.spent(None, 0.0), ledger.outcomes()
    return [
        f"calls      {spent.calls:,}: {counts(outcomes) or 'none'}",
        f"spend      ${spent.usd:,.4f}",
    ]


def _running(picture: dict[str, Any]) -> list[str]:
    lines = [f"now        {picture['phase']}" + (f": {picture['note']}" if picture["note"] else "")]
    of = f" of {picture['total']:,}" if picture["total"] else ""
    eta = picture["eta_seconds"]
    lines.append(
        f"done       {picture['done']:,}{of}"
        + (f", ready in {duration(eta)}" if eta is not None else "")
    )
    lines.append(
        f"rate       {picture['tokens_per_second']:,.0f} tokens/s, {picture['in_flight']:,} calls"
        " in flight"
    )
    for lane in picture["lanes"]:
        now = lane["reason"] or lane["state"]
        calls = f"{lane['in_flight']:,} in flight, limit {lane['limit']:,}, {lane['calls']:,} calls"
        lines.append(f"lane       {lane['name']}: {calls}, {now}")
        if lane.get("pace_source"):  # absent in the picture of an older version
            lines.append(f"           keeps to {pace(lane['per_minute'], lane['pace_source'])}")
        lines += [
            f"           {b['name']}: {b['used']:,} of {b['limit']:,}" for b in lane["budgets"]
        ]
    return lines


def _last_run(picture: dict[str, Any]) -> list[str]:
    note = f": {picture['note']}" if picture["note"] else ""
    return [
        f"last run   {picture['phase']}{note}, at {picture['at']}, after"
        f" {duration(picture['elapsed_seconds'])}"
    ]
