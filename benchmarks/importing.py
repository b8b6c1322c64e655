"""Does the memory of an import grow with its rows? A file of OpenR1-Math's shape, imported by the command.

    .venv/generator/bin/python -m benchmarks.importing                     # 20,000 rows
    .venv/generator/bin/python -m benchmarks.importing --rows 1000000      # writes 1.2 GB, twice

Prints rows a second, CPU seconds (workers that grade included), and the resident memory of the
command at each tenth of its time. Exit 1 where the last is more than a fifth above the sixth.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

THOUGHT = "We add the first number to the second and look at the sum again. " * 12
GROWTH = 1.2
TENTHS = 10


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--folder", type=Path, help="default: a temporary one")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        source = Path(folder) / "rows.jsonl"
        write_rows(source, given.rows)
        return measure(source, Path(folder) / "corpus", given.rows)


def write_rows(path: Path, count: int) -> None:
    """Rows of OpenR1-Math-220k's columns, every twentieth answer wrong."""
    with path.open("w", encoding="utf-8") as file:
        for number in range(count):
            gold = 3 * number
            stated = gold + (number % 20 == 3)
            row = {
                "problem": f"What is {number} plus {2 * number}, of box {number}?",
                "solution": f"It is \\boxed{{{gold}}}.",
                "answer": str(gold),
                "generations": [f"<think>\n{THOUGHT}\n</think>\n\nIt is \\boxed{{{stated}}}."],
            }
            file.write(json.dumps(row) + "\n")


def measure(source: Path, corpus: Path, rows: int) -> int:
    """Import `source`, and watch the process meanwhile."""
    began = time.monotonic()
    command = [sys.executable, "-m", "generator", "import", str(source), str(corpus)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    samples: list[tuple[float, float]] = []  # (seconds, resident MiB)
    while process.poll() is None:
        resident = resident_mib(process.pid)
        if resident:
            samples.append((time.monotonic() - began, resident))
        time.sleep(0.2)
    seconds = time.monotonic() - began
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_seconds = usage.ru_utime + usage.ru_stime
    speed = f"{rows:,} rows, {rows / seconds:,.0f} a second"
    if process.returncode:
        speed = f"not imported to the end (exit {process.returncode})"
    print(f"{speed}, {seconds:,.0f} s, {cpu_seconds:,.0f} CPU seconds")
    tenths = [
        max(mib for at, mib in samples if tenth <= at / seconds * TENTHS <= tenth + 1)
        for tenth in range(TENTHS)
    ]
    print("MiB at each tenth:", ", ".join(f"{mib:,.0f}" for mib in tenths))
    return int(process.returncode != 0 or tenths[-1] > GROWTH * tenths[TENTHS // 2])


def resident_mib(pid: int) -> float:
    """Resident memory of a process; 0 where it is gone."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


if __name__ == "__main__":
    sys.exit(main())
