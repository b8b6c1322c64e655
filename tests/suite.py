"""`make test`: every environment's tests on all cores, then what measures time, then what failed
once more, alone. `make test-fast`: the unit tests of all environments side by side.

    python -m tests.suite [--unit] [--coverage] [ENVIRONMENT ...]

A test that passes only when it is run again is `flaky`: named at the end with its first failure,
and three of them fail the run. The last lines are pytest's own closing lines, one for each part.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from coverage import CoverageData
from coverage.exceptions import CoverageException

ROOT = Path(__file__).parents[1]
# What each environment runs. The first has all that is not another program's; what of shared/
# depends on libraries that another environment has, or has in another version, runs there too.
TESTS = {
    "generator": ["tests", "--ignore=tests/trainer", "--ignore=tests/evaluation"],
    "trainer": ["tests/shared/test_pins.py", "tests/shared/test_start.py", "tests/trainer"],
    "evaluation": [
        "tests/shared/test_pins.py",
        "tests/shared/test_start.py",
        "tests/shared/test_rendering.py",
        "tests/shared/grading",  # another math-verify
        "tests/shared/inference",
        "tests/evaluation",
    ],
}
MEASURED_ELSEWHERE = ("tests/shared/",)  # with the same code: once is enough for a bound on time
PACKAGES = ("shared", "generator", "trainer", "evaluation")
FLAKY_ALLOWED = 2
MOST_WORKERS = 4  # each loads torch or lighteval: two gigabytes
WAITING = ("generator",)  # its tests wait for servers and clocks: two workers keep a core busy
# Unit tests run side by side: more workers would load torch or lighteval more often, for seconds.
WORKERS_OF_UNIT_TESTS = {"generator": 2, "trainer": 0, "evaluation": 0}
SHOWING = threading.Lock()  # one run's output at a time
# Exit codes of pytest; any other is a run that did not come to its end.
PASSED = 0
FAILED = 1
NO_TESTS = 5


@dataclass
class Part:
    """One run of pytest that came to an end."""

    name: str
    code: int
    closing: str  # pytest's last line
    failures: dict[str, str]  # node id: the failure's text


@dataclass
class Outcome:
    """What all runs together said."""

    parts: list[Part] = field(default_factory=list)
    flaky: dict[str, str] = field(
        default_factory=dict
    )  # environment and node id: the first failure's text
    failed: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        return not self.failed and len(self.flaky) <= FLAKY_ALLOWED


Run = Callable[[str, Sequence[str]], Part]


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.suite", description=__doc__.splitlines()[0]
    )
    parser.add_argument(
        "environments",
        nargs="*",
        metavar="ENVIRONMENT",
        help=f"of {', '.join(TESTS)}; without: all",
    )
    parser.add_argument(
        "--unit", action="store_true", help="the unit tests alone, all environments side by side"
    )
    parser.add_argument(
        "--coverage", action="store_true", help="measure which lines of the programs run"
    )
    wanted = parser.parse_args(argv)
    began = time.monotonic()
    outcome = Outcome()
    with tempfile.TemporaryDirectory(prefix="suite-") as folder:
        runs = [
            Runner(environment, Path(folder), wanted.coverage, at_once=not wanted.unit)
            for environment in wanted.environments or TESTS
        ]
        if wanted.unit:
            run_side_by_side(runs, outcome)
        else:
            for runner in runs:
                run_environment(runner.environment, runner.run, outcome)
        if wanted.coverage:
            print_coverage(Path(folder))
    print_outcome(outcome, time.monotonic() - began)
    return 0 if outcome.passed else 1


def run_side_by_side(runs: Sequence["Runner"], outcome: Outcome) -> None:
    """Run the unit tests of several environments at the same time; what failed runs once more
    when all have ended.
    """

    def unit_tests(runner: Runner) -> Part:
        count = WORKERS_OF_UNIT_TESTS[runner.environment]
        workers = ["-n", str(count), "--dist", "worksteal"]
        return runner.run("unit", [*workers, "-m", "unit", *TESTS[runner.environment]])

    with ThreadPoolExecutor(len(runs)) as threads:
        parts = list(threads.map(unit_tests, runs))
    for runner, part in zip(runs, parts, strict=True):
        conclude(runner.environment, runner.run, [part], outcome)


def run_environment(environment: str, run: Run, outcome: Outcome) -> None:
    """Run one environment's tests, and those that failed once more by themselves."""
    cores = len(os.sched_getaffinity(0))
    count = min(2 * cores if environment in WAITING else cores, MOST_WORKERS)
    workers = ["-n", str(count), "--dist", "worksteal"]
    marks = "not timing and not gpu"
    parts = [run("on all cores", [*workers, "-m", marks, *TESTS[environment]])]
    timed = timed_files(environment)
    if timed:
        parts.append(run("timing", ["-m", "timing and not gpu", *timed]))
    conclude(environment, run, parts, outcome)


def conclude(environment: str, run: Run, parts: list[Part], outcome: Outcome) -> None:
    """Run once more what failed in `parts`, and note what all of it said."""
    failures: dict[str, str] = {}
    for part in parts:
        failures |= part.failures
        if part.code not in (PASSED, FAILED) and not (
            part.code == NO_TESTS and part.name.endswith("timing")
        ):
            outcome.failed.append(f"{part.name}: pytest ended with exit code {part.code}")
        elif part.code == FAILED and not part.failures:
            outcome.failed.append(f"{part.name}: a file could not be collected")
    if failures:
        again = run("once more, alone", list(failures))
        parts.append(again)
        judge(environment, failures, again, outcome)
    outcome.parts += [part for part in parts if part.code != NO_TESTS]


def timed_files(environment: str) -> list[str]:
    """The files with a test that measures time: nothing else is collected for that part."""
    words = TESTS[environment]
    left_out = tuple(word.removeprefix("--ignore=") for word in words if word.startswith("-"))
    if environment != next(iter(TESTS)):
        left_out += MEASURED_ELSEWHERE
    return [
        name
        for word in words
        for path in sorted((ROOT / word).rglob("test_*.py"))
        if not (name := str(path.relative_to(ROOT))).startswith(left_out)
        and "mark.timing" in path.read_text(encoding="utf-8")
    ]


def judge(environment: str, failures: dict[str, str], again: Part, outcome: Outcome) -> None:
    """What failed twice has failed; what passed alone is flaky, if the second run came to its
    end at all.
    """
    if again.code not in (PASSED, FAILED):
        outcome.failed += [f"{environment}: {test}" for test in failures]
        return
    for test, text in failures.items():
        if test in again.failures:
            outcome.failed.append(f"{environment}: {test}")
        else:
            outcome.flaky[f"{environment}: {test}"] = text


class Runner:
    """Runs pytest in one environment and passes its output on: as it comes (`at_once`), or, where
    others run beside it, in one piece at the end.
    """

    def __init__(self, environment: str, folder: Path, coverage: bool, at_once: bool) -> None:
        self.environment = environment
        self._at_once = at_once
        self._folder = folder
        self._coverage = coverage

    def run(self, name: str, words: Sequence[str]) -> Part:
        failures = self._folder / f"{self.environment} {name}.jsonl"
        python = str(ROOT / ".venv" / self.environment / "bin" / "python")
        command = [
            python,
            "-m",
            "pytest",
            "-q",
            "-p",
            "tests.failures",
            "--failures",
            str(failures),
        ]
        variables = os.environ | {"PYTHONPATH": str(ROOT)}
        # Or each of a thousand processes would compile our modules, and every worker the tests.
        variables.pop("PYTHONDONTWRITEBYTECODE", None)
        if self._coverage and "timing" not in name:  # measuring makes the measured slower
            command += ["--cov", "--cov-report="]
            variables["COVERAGE_FILE"] = str(
                self._folder / f".coverage.{self.environment}-{len(name)}"
            )
        heading = f"== {self.environment}: {name}"
        code, closing = pass_on([*command, *words], variables, heading, self._at_once)
        lines = failures.read_text(encoding="utf-8").splitlines() if failures.exists() else []
        texts: dict[str, str] = {}
        for line in map(json.loads, lines):
            texts.setdefault(line["test"], line["text"])
        return Part(f"{self.environment}, {name}", code, closing, texts)


def pass_on(
    command: Sequence[str], variables: dict[str, str], heading: str, at_once: bool
) -> tuple[int, str]:
    """Run a command with its output shown as it comes or, not `at_once`, when it has ended; its
    exit code and last line.
    """
    if at_once:
        print(heading, flush=True)
    pieces: list[bytes] = []
    with subprocess.Popen(
        command, cwd=ROOT, env=variables, stdout=subprocess.PIPE, bufsize=0
    ) as process:
        assert process.stdout is not None
        while data := process.stdout.read(65536):
            pieces.append(data)
            if at_once:
                sys.stdout.buffer.write(data)
                sys.stdout.buffer.flush()
    output = b"".join(pieces)
    if not at_once:
        with SHOWING:
            print(heading, flush=True)
            sys.stdout.buffer.write(output)
            sys.stdout.buffer.flush()
    lines = output[-4096:].decode(errors="replace").split("\n")
    return process.returncode, next((line for line in reversed(lines) if line.strip()), "")


def print_coverage(folder: Path) -> None:
    """One line of the share of lines that ran, by package, over all environments and the
    processes they started.
    """
    files = sorted(folder.glob(".coverage.*"))
    if not files:
        print("== coverage: nothing was measured")
        return
    combine_coverage(files, folder / "combined")
    report = folder / "coverage.json"
    variables = os.environ | {"COVERAGE_FILE": str(folder / "combined")}
    command = [sys.executable, "-m", "coverage", "json", "-q", "-o", str(report)]
    subprocess.run(command, cwd=ROOT, env=variables, check=True)
    measured = json.loads(report.read_text(encoding="utf-8"))
    shares = []
    for package in PACKAGES:
        summaries = [
            entry["summary"]
            for path, entry in measured["files"].items()
            if path.startswith(f"{package}/")
        ]
        lines = sum(summary["num_statements"] for summary in summaries)
        covered = sum(summary["covered_lines"] for summary in summaries)
        shares.append(f"{package} {100 * covered / max(lines, 1):.1f}%")
    print(
        f"== coverage: {', '.join(shares)}; all {measured['totals']['percent_covered']:.1f}% of"
        " lines"
    )


def combine_coverage(files: Sequence[Path], destination: Path) -> None:
    """One file of them all. A process that was killed while it wrote leaves a torn one: that is
    named and left out, where `coverage combine` would end.
    """
    whole = CoverageData(basename=str(destination))
    for path in files:
        try:
            part = CoverageData(basename=str(path))
            part.read()
            whole.update(part)
        except CoverageException as error:
            print(f"== coverage: left out: {error}")


def print_outcome(outcome: Outcome, seconds: float) -> None:
    for test, text in outcome.flaky.items():
        print(f"flaky: {test}\n{text}\n")
    for line in outcome.failed:
        print(f"failed: {line}")
    if len(outcome.flaky) > FLAKY_ALLOWED:
        print(f"failed: {len(outcome.flaky)} flaky tests, of which {FLAKY_ALLOWED} are allowed")
    print(
        f"== {'passed' if outcome.passed else 'failed'} after {seconds:.0f} s, {len(outcome.flaky)}"
        " flaky"
    )
    for part in outcome.parts:
        print(f"{part.name}: {part.closing}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
