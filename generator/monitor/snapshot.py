"""One status of a run out of what the pipeline counts and what the lanes say: rates, spend,
the time that is left.
"""

import time
from collections import Counter, deque
from collections.abc import Sequence
from datetime import UTC, datetime

from generator.monitor.status import BudgetStatus, LaneStatus, Phase, RunStatus, SampleCounts

RATE_SECONDS = 10.0  # tokens a second are shown over this time


class Snapshots:
    """Keeps the little history that rates need. `progress` is counted by the pipeline."""

    def __init__(self, corpus: str, progress: SampleCounts) -> None:
        self.progress = progress
        self._corpus = corpus
        self._started_at = datetime.now(UTC).isoformat(timespec="seconds")
        self._started = time.monotonic()
        self._tokens: deque[tuple[float, int]] = deque()

    def take(
        self, phase: Phase, note: str, lanes: Sequence[LaneStatus], budgets: Sequence[BudgetStatus]
    ) -> RunStatus:
        """The run now. A running run whose lanes all wait is idle, for their reasons."""
        progress = self.progress
        now = time.monotonic()
        tokens = sum(lane.tokens for lane in lanes)
        errors: Counter[str] = Counter()
        for lane in lanes:
            errors.update(lane.errors)
        in_flight = sum(lane.in_flight for lane in lanes)
        reasons = "; ".join(dict.fromkeys(lane.reason for lane in lanes if lane.reason))
        is_waiting = not in_flight and progress.asking > progress.grading
        if phase == "running" and reasons and is_waiting:
            phase = "idle"
            note = reasons
        return RunStatus(
            corpus=self._corpus,
            phase=phase,
            note=note,
            started_at=self._started_at,
            at=datetime.now(UTC).isoformat(timespec="seconds"),
            elapsed_seconds=round(now - self._started, 1),
            total=progress.total,
            done=progress.done,
            kept=progress.settled_kept + progress.kept,
            rejected=progress.settled_rejected + progress.rejected,
            verdicts=dict(progress.verdicts),
            in_flight=in_flight,
            asking=progress.asking,
            grading=progress.grading,
            tokens=tokens,
            tokens_per_second=round(self._rate(now, tokens), 1),
            errors=dict(errors),
            usd=round(sum(lane.usd for lane in lanes), 6),
            eta_seconds=self._eta(now),
            lanes=list(lanes),
            budgets=list(budgets),
        )

    def _rate(self, now: float, tokens: int) -> float:
        # statuses are taken at any time, by the panel, the server and the ledger: what comes within
        # half a second adds no point
        history = self._tokens
        if not history or now - history[-1][0] >= 0.5:
            history.append((now, tokens))
        while len(history) > 1 and now - history[0][0] > RATE_SECONDS:
            history.popleft()
        oldest_time, oldest_tokens = history[0]
        if now <= oldest_time:
            return 0.0
        return (tokens - oldest_tokens) / (now - oldest_time)

    def _eta(self, now: float) -> float | None:
        progress = self.progress
        if not progress.total or not progress.finished:
            return None
        remaining_samples = max(0, progress.total - progress.done)
        seconds_per_sample = (now - self._started) / progress.finished
        return round(remaining_samples * seconds_per_sample, 1)
