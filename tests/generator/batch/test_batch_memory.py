"""Files of 200 MB, up and down, in memory that does not grow with them."""

import subprocess
import sys
from pathlib import Path

from tests.generator.batch.large_output import large_output
from tests.generator.batch.test_batch_lane import configure_batches
from tests.generator.process_runs import LONG, command, environment, rows

LINES = 2000
CHARACTERS = 100_000  # of each answer: 200 MB together
MEGABYTE = 1 << 20
MOST_GROWTH = 60  # megabytes, over an output of a thousandth of the size

TRANSFER = """
import asyncio, resource, sys
from pathlib import Path
from shared.chat_api.batch_client import BatchClient

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

async def main():
    folder = Path(sys.argv[2])
    async with BatchClient(sys.argv[1]) as client:
        small = folder / "small"
        small.write_bytes(b"x" * 1000)
        await client.upload(small)
        before = peak()
        await client.upload(folder / "large")
        await client.download("file-2", folder / "output")
    print(peak() - before)

asyncio.run(main())
"""


def test_a_file_of_200_mb_goes_up_and_down_in_constant_memory(tmp_path: Path) -> None:
    with (tmp_path / "large").open("wb") as file:
        for _ in range(200):
            file.write(b"x" * MEGABYTE)
    with large_output(CHARACTERS) as url:
        child = subprocess.run(
            [sys.executable, "-c", TRANSFER, url, str(tmp_path)],
            env=environment(),
            capture_output=True,
            text=True,
            timeout=LONG,
            check=False,
        )
    assert child.returncode == 0, child.stderr
    assert (tmp_path / "output").stat().st_size > 200 * 1_000_000
    assert int(child.stdout) < MOST_GROWTH


def test_an_output_of_200_mb_becomes_rows_in_constant_memory(tmp_path: Path) -> None:
    peaks = []
    for characters in (100, CHARACTERS):
        folder = tmp_path / str(characters)
        folder.mkdir()
        with large_output(characters) as url:
            config = configure_batches(folder, url, f"lines = {LINES}", limit=LINES)
            peaks.append(_peak_of_a_run(config))
    assert len(rows(tmp_path / str(CHARACTERS) / "corpus")) == LINES
    assert peaks[1] - peaks[0] < MOST_GROWTH, peaks


def _peak_of_a_run(config: Path) -> float:
    """Megabytes of the generator itself."""
    script = (
        "import resource, subprocess, sys; from generator.__main__ import main;"
        "code = main(sys.argv[1:]);"
        "print('peak', resource.getrusage(resource.RUSAGE_SELF).ru_maxrss); sys.exit(code)"
    )
    arguments = command("run", config)[3:]
    child = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=2 * LONG,
        check=False,
    )
    assert child.returncode == 0, child.stderr[-2000:]
    return int(child.stdout.split()[-1]) / 1024
