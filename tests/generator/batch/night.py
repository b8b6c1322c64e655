"""A night of batches for tests and benchmarks: batch and live lanes on one rehearsal teacher, every
fault at a set rate, processes killed.
"""

import random
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.generator.process_runs import LONG, Rehearsal, command, environment, generator

FAULTS = "wrong=0.05,length=0.02,empty=0.01,500=0.03"
BATCH_FAULTS = (
    "slow=0.1,expired=0.1,partial=0.15,failed=0.05,vanished=0.05,scrambled=0.2,lost_reply=0.2"
)


@dataclass(frozen=True)
class Night:
    """What is asked, and how often the generator is killed."""

    problems: int
    lines: int  # of a file
    calls_per_day: int  # lines of the batch lane
    kills: int
    poll_seconds: float = 0.2
    batch_seconds: float = 3600.0
    clock_speed: float = 3600.0
    samples: int = 1

    def teacher_flags(self) -> list[str]:
        return [
            "--faults",
            FAULTS,
            "--batch-faults",
            BATCH_FAULTS,
            "--batch-seconds",
            str(self.batch_seconds),
            "--clock-speed",
            str(self.clock_speed),
            "--tokens-per-second",
            "400",
        ]

    def configuration(self, folder: Path, url: str) -> Path:
        path = folder / "night.toml"
        path.write_text(
            f"""
corpus = "{folder}/corpus"
[problems]
source = "synthetic:arithmetic"
limit = {self.problems}
[sampling]
samples = {self.samples}
[shards]
rows = 100
[[lane]]
name = "files"
mode = "batch"
base_url = "{url}"
model = "rehearsal-r1"
calls_per_day = {self.calls_per_day}
price_in = 0.15
price_out = 0.6
[lane.batch]
lines = {self.lines}
files = 3
window_hours = 2
poll_seconds = {self.poll_seconds}
gather_seconds = 0.3
[[lane]]
name = "live"
base_url = "{url}"
model = "rehearsal-r1"
concurrency = 4
price_in = 0.3
price_out = 1.2
[daemon]
port = 0
wait = false
[grading]
workers = 1
"""
        )
        return path


def run_with_kills(night: Night, config: Path, teacher: Rehearsal, seed: int = 3) -> int:
    """Start and kill -9 as often as asked, then run to the end; the exit code of that run."""
    draw = random.Random(seed)
    log = config.with_name("night.log")
    for kill in range(night.kills):
        paid_lines = teacher.stats()["batch"]["lines_paid"]
        more = draw.randrange(night.problems // (night.kills + 2)) if kill else 0
        with log.open("ab") as output:
            run = subprocess.Popen(
                command("run", config), env=environment(), stdout=output, stderr=output
            )
            deadline = time.monotonic() + LONG
            while run.poll() is None and time.monotonic() < deadline:
                if teacher.stats()["batch"]["lines_paid"] > paid_lines + more:
                    break
                time.sleep(0.02)
            time.sleep(draw.random() * 0.5)
            run.send_signal(signal.SIGKILL)
            run.wait()
    with log.open("ab") as output:
        return subprocess.run(
            command("run", config), env=environment(), stdout=output, stderr=output, check=False
        ).returncode


def checked(config: Path) -> subprocess.CompletedProcess[str]:
    return generator("check", config.with_name("corpus"))


def paid(teacher: Rehearsal) -> dict[str, Any]:
    return dict(teacher.stats()["batch"])
