"""The daemon's promises measured with real processes: limits found by itself, limits kept, and what
watching costs.

    python -m benchmarks.daemon [--seconds 180]

Three generators run side by side against rehearsal teachers: one has to find a limit of 60 calls in
flight, which the server only shows by 429; one is told that limit; one is paced at 230 calls a
minute under a limit of 240. Then a generator with 1,000 streams (of 8 tokens/s, so that the
rehearsal's short answers last) is watched by a dashboard and a metrics scraper that ask twenty
times as often as they do; a twentieth of the CPU time that this adds is what watching costs.
"""

import argparse
import os
import signal
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.generator.process_runs import Rehearsal, configure, free_port, rehearsal, started

OFTEN = 20  # the watchers ask so many times as often as they do
DASHBOARD_SECONDS, SCRAPE_SECONDS = 2.0, 15.0
TICKS = os.sysconf("SC_CLK_TCK")


class Watched:
    """A generator against its own teacher, and the teacher's counts second by second."""

    def __init__(
        self, name: str, folder: Path, teacher: Rehearsal, process: "subprocess.Popen[str]"
    ) -> None:
        self.name, self.folder, self.teacher, self.process = name, folder, teacher, process
        self.seen: list[tuple[float, dict[str, Any]]] = []

    def look(self, now: float) -> None:
        self.seen.append((now, self.teacher.stats()))

    def between(self, begin: float, end: float) -> tuple[int, int, float]:
        """(good calls, calls answered 429, mean in flight) in a stretch of seconds."""
        stretch = [stats for now, stats in self.seen if begin <= now <= end]
        first, last = stretch[0]["by_status"], stretch[-1]["by_status"]
        good, refused = (last.get(code, 0) - first.get(code, 0) for code in ("200", "429"))
        return good, refused, sum(stats["in_flight"] for stats in stretch) / len(stretch)


@contextmanager
def watched(name: str, flags: tuple[str, ...], **keys: Any) -> Iterator[Watched]:
    with ExitStack() as parts:
        folder = Path(parts.enter_context(tempfile.TemporaryDirectory()))
        teacher = parts.enter_context(rehearsal("--tokens-per-second", "60", *flags))
        config = configure(folder, teacher.url, **{"problems__limit": 40_000, **keys})
        process = parts.enter_context(started("run", config))
        yield Watched(name, folder, teacher, process)


def limits(seconds: float) -> list[tuple[str, str, str]]:
    """Rows of (what, measured, promised)."""
    at_most_60 = ("--max-in-flight", "60", "--no-retry-after")
    with (
        watched("found", at_most_60, lane__concurrency=0) as found,
        watched("told", at_most_60, lane__concurrency=60) as told,
        watched(
            "paced",
            ("--requests-per-minute", "240"),
            lane__concurrency=64,
            lane__requests_per_minute=230,
        ) as paced,
    ):
        begun = time.monotonic()
        while (now := time.monotonic() - begun) < seconds:
            for each in (found, told, paced):
                each.look(now)
            time.sleep(1)
        for each in (found, told, paced):
            each.process.send_signal(signal.SIGINT)
            each.process.wait()
    good, refused, level = found.between(60, seconds)
    by_hand = told.between(60, seconds)[0]
    whole = paced.between(0, seconds)
    return [
        ("in flight after the first minute, limit 60 not told", f"{level:.1f}", "48 to 72"),
        (
            "calls answered 429 after the first minute",
            f"{refused / (good + refused):.2%} of {good + refused:,}",
            "< 3%",
        ),
        ("calls answered 429 in the first minute", f"{found.between(0, 60)[1]:,}", ""),
        (
            "throughput against a limit set to 60 by hand",
            f"{good / by_hand:.1%} of {by_hand:,}",
            "> 90%",
        ),
        (
            "calls answered 429 at 230 a minute under 240",
            f"{whole[1]:,} of {sum(whole[:2]):,}",
            "<= 3",
        ),
    ]


def watching(streams: int, seconds: float = 12.0) -> list[tuple[str, str, str]]:
    port = free_port()
    keys = {"lane__concurrency": streams, "daemon__port": port, "sampling__samples": 1}
    with watched("streams", ("--tokens-per-second", "8"), **keys) as run:
        patience = (
            time.monotonic() + 180
        )  # a slow machine may carry fewer: the table says how many there were
        while run.teacher.stats()["in_flight"] < 0.9 * streams and time.monotonic() < patience:
            time.sleep(1)
        alone, asked = 0.0, 0.0
        for _ in range(3):  # by turns, so that what drifts falls on both
            alone += _cpu_share(run.process.pid, seconds, lambda: time.sleep(0.1))
            asked += _cpu_share(run.process.pid, seconds, lambda: _watch_once(port))
        in_flight = run.teacher.stats()["in_flight"]
        run.process.kill()
    cost = max(0.0, (asked - alone) / 3 / OFTEN)
    return [
        (
            f"CPU of the generator at {in_flight:,} streams of 8 tokens/s",
            f"{alone / 3:.1%} of a core",
            "",
        ),
        ("CPU added by a dashboard and a metrics scraper", f"{cost:.2%} of a core", "< 2%"),
    ]


def _cpu_share(pid: int, seconds: float, meanwhile: Any) -> float:
    """CPU seconds a second of a process while `meanwhile` is called again and again."""
    begun, cpu = time.monotonic(), _cpu_seconds(pid)
    while time.monotonic() - begun < seconds:
        meanwhile()
    return (_cpu_seconds(pid) - cpu) / (time.monotonic() - begun)


_last: dict[str, float] = {}


def _watch_once(port: int) -> None:
    """Ask what a dashboard (status, history, traces) and a scraper ask, each `OFTEN` times as
    often as they do.
    """
    wanted = [("/status", DASHBOARD_SECONDS), ("/history?since=9999999999", DASHBOARD_SECONDS)]
    wanted += [("/traces", DASHBOARD_SECONDS), ("/metrics", SCRAPE_SECONDS)]
    for path, every in wanted:
        if time.monotonic() - _last.get(path, 0.0) >= every / OFTEN:
            _last[path] = time.monotonic()
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as reply:
                reply.read()
    time.sleep(0.01)


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--seconds", type=float, default=180, help="of the run against limits; 0: leave it out"
    )
    parser.add_argument("--streams", type=int, default=1000, help="0: leave the watching out")
    args = parser.parse_args()
    table = Table(title="The daemon: limits found, limits kept, watching")
    for heading in ("what", "measured", "promised"):
        table.add_column(heading)
    for row in (limits(args.seconds) if args.seconds else []) + (
        watching(args.streams) if args.streams else []
    ):
        table.add_row(*row)
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
