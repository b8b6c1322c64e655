"""What the user sees: a live panel on a terminal, a plain line every 30 seconds elsewhere, a
summary at the end.
"""

import asyncio
import contextlib
import sys
import time
from collections.abc import Callable
from datetime import datetime
from typing import TextIO

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.panel import Panel as Frame
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from generator.monitor.status import LaneStatus, RunStatus, counts, pace, reset_note, usage
from shared.durations import duration

FRAME_SECONDS = 0.5
LINE_SECONDS = 30.0
WIDE_COLUMNS = 88  # from which the table of lanes fits


async def show(status: Callable[[], RunStatus], out: TextIO = sys.stdout) -> None:
    """Show the run until cancelled, or until nobody can see it any more: a pipe or a terminal
    that is gone.
    """
    with contextlib.suppress(OSError):
        if out.isatty():
            await _live(status, Console(file=out))
        else:
            await _lines(status, out)


async def _live(status: Callable[[], RunStatus], console: Console) -> None:
    with Live(panel(status()), console=console, auto_refresh=False, transient=True) as live:
        while True:
            live.update(panel(status()), refresh=True)
            await asyncio.sleep(FRAME_SECONDS)


async def _lines(status: Callable[[], RunStatus], out: TextIO) -> None:
    while True:
        await asyncio.sleep(LINE_SECONDS)
        print(line(status()), file=out, flush=True)


def line(status: RunStatus) -> str:
    """A status in one line, for logs."""
    total = f" of {status.total:,}" if status.total else ""
    parts = [
        f"{status.done:,}{total} done",
        f"{status.kept:,} kept",
        f"{status.rejected:,} rejected",
        f"{status.in_flight:,} in flight",
        f"{status.tokens_per_second:,.0f} tokens/s",
    ]
    if status.errors:
        parts.append("failed calls: " + counts(status.errors))
    parts += [
        f"{lane.name} keeps to {pace(lane.per_minute, lane.pace_source)}"
        for lane in status.lanes
        if lane.per_minute
    ]
    now = time.time()
    parts += [batch.in_words(now) for lane in status.lanes for batch in lane.batches]
    if status.usd:
        parts.append(f"${status.usd:,.2f}")
    if status.eta_seconds is not None and status.phase == "running":
        parts.append(f"ready in {duration(status.eta_seconds)}")
    if status.phase != "running":
        parts.append(_phase(status))
    return f"{status.at[11:19]} " + ", ".join(parts)


def _phase(status: RunStatus) -> str:
    return f"{status.phase}: {status.note}" if status.note else status.phase


def panel(status: RunStatus) -> RenderableType:
    """A status as a panel some ten lines high."""
    parts: list[RenderableType] = [_numbers(status)]
    if len(status.lanes) > 1 or any(lane.reason or lane.per_minute for lane in status.lanes):
        parts.append(_Lanes(status.lanes))
    now = time.time()
    parts += [Text(batch.in_words(now)) for lane in status.lanes for batch in lane.batches]
    parts += _budgets(status)
    if status.phase != "running":
        parts.append(Text(_phase(status), style="bold yellow"))
    return Frame(
        Group(*parts),
        title=Text(f"stillhouse · {status.corpus}"),
        title_align="left",
        border_style="dim",
    )


def _numbers(status: RunStatus) -> Table:
    rows = Table.grid(padding=(0, 2))
    rows.add_column(style="dim", justify="right")
    rows.add_column()
    total = f" of {status.total:,}" if status.total else ""
    eta = f", ready in {duration(status.eta_seconds)}" if status.eta_seconds is not None else ""
    rows.add_row("done", f"{status.done:,}{total} in {duration(status.elapsed_seconds)}{eta}")
    if status.total:
        rows.add_row("", _bar(status))
    share = f" ({status.kept / status.done:.0%})" if status.done else ""
    rows.add_row("kept", Text.assemble((f"{status.kept:,}", "green"), share))
    rejections = _rejections(status)
    reasons = f" ({counts(rejections)})" if rejections else ""
    rows.add_row("rejected", f"{status.rejected:,}{reasons}")
    rows.add_row("in flight", f"{status.in_flight:,} calls, {status.grading:,} being graded")
    rows.add_row(
        "tokens", f"{status.tokens:,} at {status.tokens_per_second:,.0f}/s, ${status.usd:,.2f}"
    )
    if status.errors:
        rows.add_row("failed calls", Text(counts(status.errors), style="yellow"))
    return rows


def _bar(status: RunStatus) -> ProgressBar:
    """Green: a run that goes well must not look like an alarm."""
    return ProgressBar(
        total=status.total,
        completed=min(status.done, status.total),
        width=48,
        complete_style="green",
        finished_style="green",
    )


def _rejections(status: RunStatus) -> dict[str, int]:
    """Rejected samples of this run by verdict."""
    return {name: count for name, count in status.verdicts.items() if name != "correct"}


class _Lanes:
    """The lanes as a table; on a narrow terminal two lines each."""

    def __init__(self, lanes: list[LaneStatus]) -> None:
        self._lanes = lanes

    def __rich_console__(self, _: Console, options: ConsoleOptions) -> RenderResult:
        if options.max_width >= WIDE_COLUMNS:
            yield _lane_table(self._lanes)
            return
        for lane in self._lanes:
            yield from _lane_lines(lane)


def _lane_table(lanes: list[LaneStatus]) -> Table:
    table = Table(box=None, padding=(0, 2), header_style="dim")
    for heading in ("lane", "in flight", "limit", "calls", "now", "pace"):
        table.add_column(heading, justify="left" if heading in ("lane", "now", "pace") else "right")
    for lane in lanes:
        numbers = (f"{lane.in_flight:,}", f"{lane.limit:,}", f"{lane.calls:,}")
        lane_pace = pace(lane.per_minute, lane.pace_source)
        table.add_row(Text(lane.name), *numbers, _state(lane), lane_pace)
    return table


def _lane_lines(lane: LaneStatus) -> list[Text]:
    """A lane's name, state and numbers; then why it waits, or its pace. Cut at the edge."""
    calls = f"{lane.in_flight:,} of {lane.limit:,} in flight, {lane.calls:,} calls"
    lines = [Text.assemble((lane.name, "bold"), " ", (lane.state, _state(lane).style), f" {calls}")]
    detail = lane.reason or pace(lane.per_minute, lane.pace_source)
    if detail:
        lines.append(Text(f"  {detail}", style="dim"))
    return [_cut(line) for line in lines]


def _state(lane: LaneStatus) -> Text:
    is_waiting = lane.reason or lane.state == "paused"
    return Text(lane.reason or lane.state, style="yellow" if is_waiting else "green")


def _budgets(status: RunStatus) -> list[Text]:
    """What is used of each limit, of the lanes and of the whole run; a line each."""
    now = datetime.fromisoformat(status.at)
    budgets = [*(budget for lane in status.lanes for budget in lane.budgets), *status.budgets]
    lines = []
    for budget in budgets:
        amount = usage(budget.name, budget.used, budget.limit)
        reset = reset_note(budget.resets_at, now)
        text = Text(f"{budget.lane or 'whole run'}: {amount}{reset}", style="dim")
        lines.append(_cut(text))
    return lines


def _cut(line: Text) -> Text:
    line.no_wrap = True
    line.overflow = "ellipsis"
    return line


def summary(status: RunStatus, next_command: str, traces: str = "traces/*.jsonl") -> str:
    """What a run that ended leaves behind, in a few lines. `traces`: where in the corpus."""
    rejections = _rejections(status)
    reasons = f" (this run: {counts(rejections)})" if rejections else ""
    lines = [
        f"{status.done:,} samples: {status.kept:,} kept, {status.rejected:,} rejected{reasons}"
    ]
    samples = sum(status.verdicts.values())
    spend = f", ${status.usd:,.2f}" if status.usd else ""
    failures = f"; failed calls: {counts(status.errors)}" if status.errors else ""
    if samples:
        lines.append(
            f"this run: {samples:,} in {duration(status.elapsed_seconds)}, {status.tokens:,}"
            f" tokens{spend}{failures}"
        )
    elif status.phase == "done":
        lines.append("this run: nothing was left to ask, no call was made")
    else:
        lines.append(
            f"this run: no sample was finished in {duration(status.elapsed_seconds)}{spend}"
            f"{failures}"
        )
    if status.kept:
        lines += [f"traces: {status.corpus}/{traces}", f"next: {next_command}"]
    return "\n".join(lines)
