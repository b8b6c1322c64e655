"""What the lines of a batch lane take from its account: reserved when a file is sent, settled line
by line when its output comes.
"""

import asyncio
from collections.abc import Callable, Sequence
from math import inf

from generator.config import LaneConfig
from generator.corpus.batch_table import BatchRow
from generator.lanes.accounting import Accounting
from generator.lanes.clock import Clock
from generator.lanes.describe import sentence
from generator.lanes.gate import Gate
from generator.lanes.reasoning_check import REMEDY
from generator.lanes.stop_conditions import OUT_SECONDS
from shared.records import Completion, Usage, is_cut

# Of what a line is expected to take: a file is thousands of calls in flight, and their mean is
# known only roughly.
MARGIN = 1.2
LOOK_SECONDS = 0.1  # between two looks whether a shared budget's block has come


class LineBudget:
    """Of one lane."""

    def __init__(
        self,
        gate: Gate,
        accounting: Accounting,
        clock: Clock,
        is_run_paused: Callable[[], bool],
    ) -> None:
        self._gate = gate
        self._is_run_paused = is_run_paused
        self._accounting = accounting
        self._clock = clock

    @property
    def config(self) -> LaneConfig:
        """The lane as it is configured now."""
        return self._gate.lane

    @property
    def stopped(self) -> str:
        """Why no file can be sent any more, "" where one can."""
        circuit = self._gate.circuit
        return circuit.why if not circuit.closed and circuit.retry_at == inf else ""

    def waits(self) -> tuple[str, str]:
        """(state, sentence) of why no file may be sent now, two "" where one may."""
        now = self._clock.now()
        if self._is_run_paused():
            return "paused", "the run is paused"
        wait = self._gate.wait(now)
        if wait is None or wait.state == "pacing":
            return "", ""
        away_since = self._gate.allowance.away_since
        is_just_away = away_since is not None and now - away_since < OUT_SECONDS
        if wait.state == "budget away" and is_just_away:
            return "waiting", wait.reason
        return wait.state, sentence(wait, now, self._clock)

    async def most_lines(self, wanted: int) -> int:
        """How many lines the budgets allow now, at most `wanted`."""
        while True:
            lines = self._lines_now(wanted)
            if lines is not None:
                return lines
            if any(share.away for share in self._gate.allowance.shares):
                return 0
            await asyncio.sleep(LOOK_SECONDS)

    def _lines_now(self, wanted: int) -> int | None:
        """None: a block of a shared budget is being asked for."""
        gate = self._gate
        tokens = self._line_tokens()
        usd = self._line_usd()
        now = self._clock.now()
        today = self._clock.calendar(now)
        budgets = (gate.account.budget, gate.run_budget)
        rooms = [budget.calls_left(today, tokens, usd) for budget in budgets]
        count = int(min(wanted, *rooms))
        if not count and not any(budget.used_up(today) for budget in budgets):
            count = 1  # the rest of a budget is less than a line is expected to take
        for share in gate.allowance.shares:
            lines = share.lines(now, today, count, tokens, usd)
            if lines is None:
                return None
            count = min(count, lines)
        return count

    async def reserve(self, name: str, sample_ids: Sequence[str]) -> BatchRow | None:
        """Take so many lines, before their file is sent; None where the budgets have not so many
        any more. Errors: `CannotWrite`.
        """
        gate = self._gate
        if gate.account.budget.limits or gate.run_budget.limits:
            await self._accounting.mark(gate, len(sample_ids), MARGIN)
        if (self._lines_now(len(sample_ids)) or 0) < len(sample_ids):
            return None  # others took from them meanwhile
        return self.book_again(name, sample_ids)

    def book_again(self, name: str, sample_ids: Sequence[str]) -> BatchRow:
        """Take the lines of a batch that may have been sent, whatever the budgets have: the
        ledger has lost it. Errors: `CannotWrite`.
        """
        gate = self._gate
        tokens = self._line_tokens()
        usd = self._line_usd()
        row = self._accounting.reserve_lines(gate, name, sample_ids, tokens, usd)
        gate.counts.calls += row.lines
        gate.in_flight += row.lines
        return row

    def resume(self, open_lines: int) -> None:
        """Lines of an earlier run that are not settled."""
        self._gate.in_flight += open_lines

    def usd(self, usage: Usage) -> float:
        """Dollars for a line that took so much."""
        return self._gate.usd(usage)

    def answered(self, row: BatchRow, line: int, completion: Completion) -> None:
        """A line brought a whole answer. Errors: `CannotWrite`."""
        gate = self._gate
        usage = completion.usage
        if not is_cut(completion.finish_reason):
            does_not_think = gate.reasoning.answered(completion.reasoning)
            if does_not_think and gate.lane.require_reasoning:
                self.stop(REMEDY)
        gate.counts.answers += 1
        gate.counts.tokens += usage.completion_tokens
        gate.expected.add(usage, 0.0)
        self._settle(row, line, "ok", usage)

    def failed(self, row: BatchRow, line: int, kind: str, usage: Usage) -> None:
        """A line brought none, and took so much. Errors: `CannotWrite`."""
        self._gate.counts.errors[kind] += 1
        self._settle(row, line, kind, usage)

    def lost(self, row: BatchRow, line: int, kind: str) -> None:
        """Nobody knows what a line took: what was reserved for it is taken as spent. Errors:
        `CannotWrite`.
        """
        self._gate.counts.errors[kind] += 1
        self._end_line(row, line, kind, row.tokens, row.usd)

    def stop(self, why: str) -> None:
        """No file is sent any more."""
        self._gate.circuit.stop(self._clock.now(), why)

    def _settle(self, row: BatchRow, line: int, outcome: str, usage: Usage) -> None:
        tokens = usage.prompt_tokens + usage.completion_tokens
        self._end_line(row, line, outcome, tokens, self._gate.usd(usage))

    def _end_line(self, row: BatchRow, line: int, outcome: str, tokens: int, usd: float) -> None:
        self._gate.in_flight -= 1
        self._gate.counts.usd += usd
        self._accounting.settle_line(self._gate, row, line, outcome, tokens, usd)

    def _line_tokens(self) -> int:
        return int(MARGIN * self._gate.expected.tokens)

    def _line_usd(self) -> float:
        return MARGIN * self._gate.expected_usd(self._gate.expected.tokens)
