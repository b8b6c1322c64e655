"""A `RunStatus` of a run that goes on, for tests of whatever shows one."""

from typing import Any

from generator.monitor.status import LaneStatus, RunStatus


def run_status(*lanes: LaneStatus, **values: Any) -> RunStatus:
    """Nothing is done yet, but for `values`."""
    nothing: dict[str, Any] = {
        "corpus": "data/x",
        "phase": "running",
        "note": "",
        "started_at": "2026-11-27T00:00:00+00:00",
        "at": "2026-11-27T00:00:00+00:00",
        "elapsed_seconds": 1.0,
        "total": 5000,
        "done": 0,
        "kept": 0,
        "rejected": 0,
        "verdicts": {},
        "in_flight": 0,
        "asking": 0,
        "grading": 0,
        "tokens": 0,
        "tokens_per_second": 0.0,
        "errors": {},
        "usd": 0.0,
        "eta_seconds": None,
    }
    return RunStatus(**nothing | values, lanes=list(lanes))
