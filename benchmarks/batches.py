"""A night of batches: 5,000 problems through batch and live lanes together, every fault at a set
rate, twelve kill -9.

    python -m benchmarks.batches

Promised: every sample is one row, the corpus is whole, no file is sent twice, and the lines that
the server counts as paid stay within the day's budget, which is smaller than the work.
"""

import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.generator.batch.night import Night, checked, paid, run_with_kills
from tests.generator.process_runs import rehearsal, rows

NIGHT = Night(problems=5000, lines=250, calls_per_day=3500, kills=12, clock_speed=600)


def main() -> int:
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="batches-") as name:
        folder = Path(name)
        with rehearsal(*NIGHT.teacher_flags()) as teacher:
            config = NIGHT.configuration(folder, teacher.url)
            code = run_with_kills(NIGHT, config, teacher)
            book = paid(teacher)
            live_calls = teacher.stats()["calls"]
        check = checked(config)
        ids: Counter[str] = Counter()
        lanes: Counter[str] = Counter()
        for row in rows(folder / "corpus"):
            ids[row["id"]] += 1
            lanes[row["lane"]] += 1
    seconds = time.perf_counter() - began
    print(f"{NIGHT.problems:,} problems, {NIGHT.kills} kills: {seconds:.0f} s, exit {code}")
    print(f"rows          {len(ids):,}, the most of one sample {max(ids.values(), default=0)}")
    print(f"lanes         {dict(lanes)}, {live_calls:,} live calls")
    print(f"batches       {book['batches']}: {book['fates']}")
    print(f"lines paid    {book['lines_paid']:,} of {NIGHT.calls_per_day:,} allowed")
    print(f"sent twice    {book['files_sent_twice']} files")
    print(f"check         {check.stdout.strip()}")
    is_kept = (
        code == 0
        and len(ids) == NIGHT.problems
        and max(ids.values()) == 1
        and book["files_sent_twice"] == 0
        and book["lines_paid"] <= NIGHT.calls_per_day
        and check.returncode == 0
    )
    return 0 if is_kept else 1


if __name__ == "__main__":
    sys.exit(main())
