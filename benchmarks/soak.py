"""Does anything grow? A generator with 1,000 streams for 20 minutes: its teacher fails as often as
a bad provider, its configuration is read again every minute, its disk fills up twice.

    python -m benchmarks.soak [--seconds 1200] [--streams 1000] [--out docs/experiments]

A full disk ends the run with exit code 5, as promised; it is started again when there is room, as a
supervisor would. Every few seconds memory, descriptors, tasks, the ledger's size and the time of a
GET /status are noted from outside. `soak.svg` and `soak.jsonl` are written to --out. Exit 1 where
something grew: the last quarter of the time is compared with the second. The disk is a tmpfs, so it
needs the right to mount one.
"""

import argparse
import contextlib
import json
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.soak_plot import draw
from tests.generator.process_runs import configure, free_port, generator, rehearsal, started

FAULTS = "429=0.02,503=0.01,cut=0.02,stall=0.002,empty=0.01,wrong=0.05,error_event=0.01,length=0.01"
SAMPLE_SECONDS = 5.0
RELOAD_SECONDS = 60.0
SETTLING_SECONDS = 40.0  # after a start, before its samples count
FULL_SECONDS = 180.0  # in which a run on a full disk has to end
DISK_MEGABYTES = 1024
TASKS = re.compile(r"^stillhouse_tasks (\S+)", re.MULTILINE)
FIRST_TOKEN = re.compile(r"^stillhouse_lane_first_token_seconds\S* (\S+)", re.MULTILINE)
IN_FLIGHT = re.compile(r"^stillhouse_lane_in_flight\S* (\S+)", re.MULTILINE)
# How much larger the last quarter may be than the second. The ledger and the corpus grow with the
# rows; a row's share of the ledger may not.
MOST_GROWTH = {
    "megabytes": 1.25,
    "descriptors": 1.1,
    "tasks": 1.1,
    "ledger_bytes_a_row": 1.2,
    "status_milliseconds": 2.0,
    "first_token_seconds": 1.5,
}


@dataclass(frozen=True)
class Sample:
    """What was seen at one moment, `seconds` after the beginning."""

    seconds: float
    since_start: float
    megabytes: float
    descriptors: int
    tasks: float
    in_flight: float
    ledger_megabytes: float
    ledger_bytes_a_row: float
    rows: int
    status_milliseconds: float
    first_token_seconds: float


@dataclass(frozen=True)
class Event:
    """What was done to the run: "reload", "full disk", "room again"."""

    seconds: float
    name: str


class Soak:
    """One generator, started again after each full disk, and what was seen of it."""

    def __init__(self, config: Path, corpus: Path, port: int, disk: Path) -> None:
        self.samples: list[Sample] = []
        self.events: list[Event] = []
        self.faults: list[str] = []
        self._config = config
        self._corpus = corpus
        self._port = port
        self._disk = disk
        self._began = time.monotonic()

    @property
    def now(self) -> float:
        return time.monotonic() - self._began

    def run(self, seconds: float) -> None:
        """All of it: three lives of the generator, with a full disk between."""
        for end in (seconds / 3, 2 * seconds / 3, seconds):
            with started("run", self._config) as process:
                self._live(process, end)
                if process.poll() is not None:
                    self._fault(f"the run ended with {process.returncode}")
                    return
                if end < seconds:
                    self._fill_the_disk(process)
                else:
                    self._drain(process)

    def _live(self, process: "subprocess.Popen[str]", end: float) -> None:
        began = self.now
        reloaded = began
        while self.now < end and process.poll() is None:
            time.sleep(SAMPLE_SECONDS)
            if self.now - reloaded >= RELOAD_SECONDS:
                reloaded = self.now
                process.send_signal(signal.SIGHUP)
                self.events.append(Event(self.now, "reload"))
            with contextlib.suppress(OSError, AttributeError):
                self.samples.append(self._look(process.pid, began))

    def _look(self, pid: int, began: float) -> Sample:
        """Errors: `OSError` while the server is not up."""
        address = f"http://127.0.0.1:{self._port}"
        asked_at = time.monotonic()
        status = json.loads(_get(f"{address}/status"))
        milliseconds = 1000 * (time.monotonic() - asked_at)
        metrics = _get(f"{address}/metrics")
        resident = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
        ledger = sum(path.stat().st_size for path in self._corpus.glob("ledger.sqlite*"))
        rows = int(status["kept"]) + int(status["rejected"])
        return Sample(
            seconds=round(self.now, 1),
            since_start=round(self.now - began, 1),
            megabytes=int(resident[1]) / 1024 if resident else 0.0,
            descriptors=len(list(Path(f"/proc/{pid}/fd").iterdir())),
            tasks=_metric(TASKS, metrics),
            in_flight=_metric(IN_FLIGHT, metrics),
            ledger_megabytes=ledger / 1e6,
            ledger_bytes_a_row=ledger / max(rows, 1),
            rows=rows,
            status_milliseconds=milliseconds,
            first_token_seconds=_metric(FIRST_TOKEN, metrics),
        )

    def _fill_the_disk(self, process: "subprocess.Popen[str]") -> None:
        self.events.append(Event(self.now, "full disk"))
        hog = self._disk / "hog"
        deadline = time.monotonic() + FULL_SECONDS
        while process.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(OSError), hog.open("ab", buffering=0) as file:
                while file.write(bytes(65536)):
                    continue
            time.sleep(0.2)
        hog.unlink(missing_ok=True)
        if process.poll() != 5:
            self._fault(f"exit code {process.poll()} on a full disk")
        self.events.append(Event(self.now, "room again"))

    def _drain(self, process: "subprocess.Popen[str]") -> None:
        process.send_signal(signal.SIGTERM)
        if process.wait(timeout=180) != 0:
            self._fault(f"exit code {process.returncode} after SIGTERM")
        checked = generator("check", self._corpus)
        if checked.returncode != 0:
            self._fault(f"check: {checked.stdout[-300:]}")

    def _fault(self, text: str) -> None:
        self.faults.append(text)
        print(f"fault: {text}", file=sys.stderr, flush=True)


def _get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=20) as reply:
        return str(reply.read().decode())


def _metric(pattern: re.Pattern[str], text: str) -> float:
    match = pattern.search(text)
    return float(match[1]) if match else 0.0


def growth(samples: Sequence[Sample], seconds: float) -> dict[str, tuple[float, float]]:
    """{what: (median of the second quarter, of the last)}, starts left out."""
    settled = [sample for sample in samples if sample.since_start >= SETTLING_SECONDS]
    quarters = [
        [sample for sample in settled if low <= 4 * sample.seconds / seconds < low + 1]
        for low in (1, 3)
    ]
    if not all(quarters):
        return {}
    second, last = quarters
    return {
        name: (
            statistics.median(getattr(sample, name) for sample in second),
            statistics.median(getattr(sample, name) for sample in last),
        )
        for name in MOST_GROWTH
    }


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A file system of its own. Errors: `SystemExit` where none may be mounted."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MEGABYTES}m", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        raise SystemExit("error: a tmpfs cannot be mounted here: the disk has to fill up")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False)


def report(soak: Soak, seconds: float) -> bool:
    """The table; whether all is as promised."""
    compared = growth(soak.samples, seconds)
    in_flight = statistics.median([sample.in_flight for sample in soak.samples] or [0])
    rows = soak.samples[-1].rows if soak.samples else 0
    print(f"{rows:,} rows, {in_flight:,.0f} calls in flight (median), {len(soak.events)} events")
    print(f"{'':24}{'second quarter':>16}{'last quarter':>16}{'growth':>9}{'at most':>9}")
    flat = bool(compared)
    for name, (before, after) in compared.items():
        ratio = after / before if before else 1.0
        flat = flat and ratio <= MOST_GROWTH[name]
        words = name.replace("_", " ")
        print(f"{words:24}{before:16,.2f}{after:16,.2f}{ratio:9.2f}{MOST_GROWTH[name]:9.2f}")
    return flat and not soak.faults


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=1200)
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--tokens-per-second", default="4", help="of one stream")
    parser.add_argument("--out", type=Path, default=Path("docs/experiments"))
    wanted = parser.parse_args(argv)
    with ExitStack() as parts:
        folder = Path(parts.enter_context(tempfile.TemporaryDirectory(prefix="soak-")))
        disk = parts.enter_context(small_disk(folder / "disk"))
        speed = wanted.tokens_per_second
        teacher = parts.enter_context(rehearsal("--tokens-per-second", speed, "--faults", FAULTS))
        port = free_port()
        keys = {
            "corpus": str(disk / "corpus"),
            "problems__limit": 10_000_000,
            "lane__concurrency": wanted.streams,
            "daemon__port": port,
            "daemon__drain_seconds": 20,
            "timeouts__stall": 20,
        }
        config = configure(folder, teacher.url, **keys)
        soak = Soak(config, disk / "corpus", port, disk)
        soak.run(wanted.seconds)
    wanted.out.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(asdict(entry)) + "\n" for entry in (*soak.samples, *soak.events)]
    (wanted.out / "soak.jsonl").write_text("".join(lines))
    marks = [(event.seconds, event.name) for event in soak.events]
    picture = draw([asdict(sample) for sample in soak.samples], marks, wanted.seconds)
    (wanted.out / "soak.svg").write_text(picture)
    return 0 if report(soak, wanted.seconds) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
