"""Several parts of a run as one `RunStatus`: for one page, one panel, one `status`. Pure.

Counts add up, a lane of the parts is one lane. What no longer runs has nothing in flight.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from generator.monitor.status import BudgetStatus, LaneStatus, Phase, RunStatus

PartState = Literal["running", "done", "waiting", "ended"]
WORKING_FIRST = ("ready", "full", "pacing", "probing", "cooling")


@dataclass(frozen=True, slots=True)
class PartStatus:
    """One part now. `kept` and `rejected` are in its corpus; `status` is of its latest run."""

    number: int
    state: PartState
    kept: int
    rejected: int
    status: RunStatus | None


def status_from(snapshot: Mapping[str, Any]) -> RunStatus:
    """The status of which `as_dict` made a snapshot. Errors: `TypeError` for one of another
    version.
    """
    names = {field.name for field in fields(RunStatus)}
    values = {name: value for name, value in snapshot.items() if name in names}
    values["lanes"] = [_lane_from(lane) for lane in snapshot["lanes"]]
    values["budgets"] = [BudgetStatus(**budget) for budget in snapshot.get("budgets", ())]
    return RunStatus(**values)


def merged(
    corpus: str,
    parts: Sequence[PartStatus],
    phase: Phase,
    started_at: str,
    at: str,
    elapsed_seconds: float,
    total: int = 0,
) -> RunStatus:
    """All parts as one run. Of those that ended only runs since `started_at` are this run's own.
    `total`: samples wanted in all; 0: the sum over the parts where each knows its own.
    """
    runs = [
        part.status if part.state == "running" else _at_rest(part.status)
        for part in parts
        if part.status is not None and part.status.at >= started_at
    ]
    kept_samples = sum(part.kept for part in parts)
    rejected_samples = sum(part.rejected for part in parts)
    remaining_seconds = [run.eta_seconds for run in runs if run.eta_seconds is not None]
    are_all_running = all(part.state in ("running", "done") for part in parts)
    return RunStatus(
        corpus=corpus,
        phase=phase,
        note=note_of(parts),
        started_at=started_at,
        at=at,
        elapsed_seconds=elapsed_seconds,
        total=total or _total(parts),
        done=kept_samples + rejected_samples,
        kept=kept_samples,
        rejected=rejected_samples,
        verdicts=_sums(run.verdicts for run in runs),
        in_flight=sum(run.in_flight for run in runs),
        asking=sum(run.asking for run in runs),
        grading=sum(run.grading for run in runs),
        tokens=sum(run.tokens for run in runs),
        tokens_per_second=round(sum(run.tokens_per_second for run in runs), 1),
        errors=_sums(run.errors for run in runs),
        usd=round(sum(run.usd for run in runs), 6),
        eta_seconds=max(remaining_seconds) if remaining_seconds and are_all_running else None,
        lanes=_merged_lanes(runs),
        eta_by_quota=any(run.eta_by_quota for run in runs),
        budgets=_merged_budgets([run.budgets for run in runs]),
    )


def note_of(parts: Sequence[PartStatus]) -> str:
    """ "64 parts: 16 running, 3 done, 45 waiting"."""
    states = Counter(part.state for part in parts)
    names: tuple[PartState, ...] = ("running", "done", "ended", "waiting")
    counts = ", ".join(f"{states[name]:,} {name}" for name in names if states[name])
    return f"{len(parts):,} parts: {counts}"


def _total(parts: Sequence[PartStatus]) -> int:
    totals = [part.status.total if part.status else 0 for part in parts]
    return sum(totals) if all(totals) else 0


def _lane_from(lane: Mapping[str, Any]) -> LaneStatus:
    names = {field.name for field in fields(LaneStatus)}
    values = {name: value for name, value in lane.items() if name in names}
    values["budgets"] = [BudgetStatus(**budget) for budget in lane["budgets"]]
    return LaneStatus(**values)


def _at_rest(run: RunStatus) -> RunStatus:
    lanes = [replace(lane, in_flight=0, waiting=0, limit=0, ceiling=0) for lane in run.lanes]
    return replace(
        run, in_flight=0, asking=0, grading=0, tokens_per_second=0.0, eta_seconds=None, lanes=lanes
    )


def _merged_lanes(runs: Sequence[RunStatus]) -> list[LaneStatus]:
    by_name: dict[str, list[LaneStatus]] = {}
    for run in runs:
        for lane in run.lanes:
            by_name.setdefault(lane.name, []).append(lane)
    return [_merged_lane(lanes) for lanes in by_name.values()]


def _merged_lane(lanes: Sequence[LaneStatus]) -> LaneStatus:
    """One lane of several parts: it works where it works for any of them."""
    shown = min(lanes, key=_order)
    return replace(
        shown,
        in_flight=sum(lane.in_flight for lane in lanes),
        waiting=sum(lane.waiting for lane in lanes),
        limit=sum(lane.limit for lane in lanes),
        ceiling=sum(lane.ceiling for lane in lanes),
        calls=sum(lane.calls for lane in lanes),
        errors=_sums(lane.errors for lane in lanes),
        tokens=sum(lane.tokens for lane in lanes),
        usd=sum(lane.usd for lane in lanes),
        budgets=_merged_budgets([lane.budgets for lane in lanes]),
        first_token_seconds=max(lane.first_token_seconds for lane in lanes),
        per_minute=round(sum(lane.per_minute for lane in lanes), 1),
        seconds_p95=max(lane.seconds_p95 for lane in lanes),
    )


def _order(lane: LaneStatus) -> int:
    """Lanes that work come first."""
    if lane.state in WORKING_FIRST:
        return WORKING_FIRST.index(lane.state)
    return len(WORKING_FIRST)


def _merged_budgets(parts: Iterable[Sequence[BudgetStatus]]) -> list[BudgetStatus]:
    """Each part has a share of a budget: the shares add up."""
    by_name: dict[tuple[str, str], BudgetStatus] = {}
    for budgets in parts:
        for budget in budgets:
            key = (budget.lane, budget.name)
            before = by_name.get(key)
            if before is None:
                by_name[key] = budget
            else:
                by_name[key] = replace(
                    before, used=before.used + budget.used, limit=before.limit + budget.limit
                )
    return list(by_name.values())


def _sums(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return dict(total)
