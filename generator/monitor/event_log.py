"""The run's log: one line for each thing that changed, for people and machines (`key=value` lines,
structlog).

Reads the status every few seconds and says what is different: the run's phase, a lane that stops,
cools or works again, a limit that was found, new kinds of failed calls. Lines go to stderr; their
rotation is the system's business.
"""

import contextlib
import sys
from collections import Counter
from typing import Any, TextIO, cast

import structlog

from generator.monitor.status import LaneStatus, RunStatus

# a lane at its work, with its short pauses
BUSY = ("ready", "full", "pacing", "cooling", "probing")
CALM = ("works", "closed window", "paused")  # states that need nobody's attention
LIMIT_CHANGE = 0.25  # a concurrency limit is worth a line when it moved by so much


def open_log() -> "structlog.stdlib.BoundLogger":
    """A logger of its own; colours and columns on a terminal, logfmt elsewhere."""
    terminal = sys.stderr.isatty()
    render: Any = (
        structlog.dev.ConsoleRenderer()
        if terminal
        else structlog.processors.LogfmtRenderer(key_order=["at", "level", "event"])
    )
    stamp = structlog.processors.TimeStamper(fmt="iso", utc=not terminal, key="at")
    if terminal:
        stamp = structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False)
    log: structlog.stdlib.BoundLogger = structlog.wrap_logger(
        structlog.PrintLogger(cast(TextIO, _CurrentStderr())),
        processors=[structlog.processors.add_log_level, stamp, render],
        wrapper_class=structlog.make_filtering_bound_logger(0),
        cache_logger_on_first_use=False,
    )
    return log


class _CurrentStderr:
    """stderr as it is now: a live panel puts itself in between while it is shown. Gone, it ends
    no run.
    """

    def write(self, text: str) -> int:
        """Write what can be written; the length is that of all of it."""
        with contextlib.suppress(OSError):
            sys.stderr.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush stderr if it is still there."""
        with contextlib.suppress(OSError):
            sys.stderr.flush()


class EventLog:
    """Remembers the last status to tell what changed."""

    def __init__(self, log: "structlog.stdlib.BoundLogger | None" = None) -> None:
        self.log = log or open_log()
        self._phase = ""
        self._note = ""
        self._lanes: dict[str, str] = {}
        self._warnings: dict[str, str] = {}
        self._limits: dict[str, int] = {}
        self._errors: dict[str, Counter[str]] = {}

    def record(self, status: RunStatus) -> None:
        """Write a line for whatever changed since the last call."""
        if status.phase != self._phase:
            note = {"note": status.note} if status.note else {}
            self.log.info(
                f"run is {status.phase}",
                done=status.done,
                kept=status.kept,
                in_flight=status.in_flight,
                **note,
            )
            self._phase = status.phase
        for lane in status.lanes:
            self._lane(lane)

    def _lane(self, lane: LaneStatus) -> None:
        state = "works" if lane.state in BUSY else lane.state
        before = self._lanes.get(lane.name, "works")
        if state != before:
            write = self.log.info if state in CALM else self.log.warning
            reason = {"why": lane.reason} if lane.reason else {}
            write(f"lane {state}", lane=lane.name, **reason)
        self._lanes[lane.name] = state
        if lane.warning and lane.warning != self._warnings.get(lane.name):
            self.log.warning("lane warns", lane=lane.name, why=lane.warning)
            self._warnings[lane.name] = lane.warning
        self._limit(lane)
        self._failures(lane)

    def _limit(self, lane: LaneStatus) -> None:
        before = self._limits.get(lane.name)
        if before is None:
            self._limits[lane.name] = lane.limit
        elif abs(lane.limit - before) > max(2, LIMIT_CHANGE * before):
            self.log.info("concurrency limit moved", lane=lane.name, limit=lane.limit, was=before)
            self._limits[lane.name] = lane.limit

    def _failures(self, lane: LaneStatus) -> None:
        """The first failed call of each kind, then each tenth, hundredth, thousandth: a flood
        is no flood of lines.
        """
        last_counts = self._errors.setdefault(lane.name, Counter())
        for kind, count in lane.errors.items():
            if _magnitude(count) > _magnitude(last_counts[kind]):
                self.log.warning("failed calls", lane=lane.name, kind=kind, count=count)
            last_counts[kind] = count


def _magnitude(count: int) -> int:
    return len(str(count)) if count else 0
