"""What deciding over duplicates costs: a whole data set's records, made up, and `settle` on them.

python -m benchmarks.growth.settling RECORDS FOLDER    prints bytes a problem and CPU seconds
"""

import json
import multiprocessing
import sys
import time
from pathlib import Path

import numpy as np

from generator.screening.duplicates import PERMUTATIONS, RECORD, DuplicateIndex, bands_for

NEAR = 0.85
BATCH = 100_000
WARM = 1000
ALIKE_EVERY = 50  # one problem in fifty is an exact copy, one a near one


def build(folder: Path, count: int) -> None:
    """Records of so many problems that are, but for those, unlike each other."""
    draw = np.random.default_rng(20)
    index = DuplicateIndex(folder, NEAR)
    most = np.iinfo(np.uint64).max
    for start in range(0, count, BATCH):
        size = min(BATCH, count - start)
        rows = np.zeros(size, RECORD)
        rows["id"] = draw.integers(0, most, size, np.uint64)
        rows["text"] = draw.integers(0, most, size, np.uint64)
        copies = np.arange(1, size, ALIKE_EVERY)
        near = np.arange(2, size, ALIKE_EVERY)
        rows["text"][copies] = rows["text"][copies - 1]
        signatures = draw.integers(0, 256, (size, PERMUTATIONS), np.uint8)
        signatures[near] = signatures[near - 2]
        records = {"rows": rows.tobytes(), "signatures": signatures.tobytes()}
        for band in range(bands_for(NEAR)[0]):
            keys = draw.integers(0, most, size, np.uint64)
            keys[near] = keys[near - 2]
            records[f"band-{band:03d}"] = keys.tobytes()
        index.append(records)
    index.close()


def settle(folder: Path) -> dict[str, float]:
    """Decide, and say what it took: memory beyond what was there before it began."""
    index = DuplicateIndex(folder, NEAR)
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = _bytes_of("VmRSS")
    began = time.process_time()
    duplicates = index.settle()
    seconds = time.process_time() - began
    peak = _bytes_of("VmHWM")
    index.close()
    return {
        "bytes_a_problem": (peak - before) / duplicates.rows,
        "cpu_seconds": seconds,
        "left_out": len(duplicates.losers),
    }


def _bytes_of(name: str) -> int:
    """A figure of this process's memory, as /proc/self/status names it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(name))


def main(argv: list[str]) -> None:
    count = int(argv[0])
    folder = Path(argv[1])
    # In a process of its own: the peak of a process is that of all that it did.
    child = multiprocessing.get_context("spawn").Process(target=build, args=(folder, count))
    child.start()
    child.join()
    if child.exitcode:
        raise SystemExit(f"the records could not be made: exit code {child.exitcode}")
    warm = folder / "warm"  # what the first one loads is not the data's
    build(warm, WARM)
    settle(warm)
    print(json.dumps(settle(folder)))


if __name__ == "__main__":
    main(sys.argv[1:])
