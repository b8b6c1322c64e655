"""One client on one world, measured from outside: the provider has the last core, the client all
others.
"""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from benchmarks.peers.accounts import Account, Measures, account
from benchmarks.peers.environments import PLACE, ROOT, Peer, foreign_environment
from benchmarks.peers.worlds import World
from shared.shards import PILES, read_rows, sealed_files

LONGEST_SECONDS = 240.0  # of a run; then it is stopped and its rows so far count
LOOK_SECONDS = 0.1
PAGE_BYTES = os.sysconf("SC_PAGESIZE")
CONFIG = """
corpus = "{folder}/corpus"
[problems]
source = "{problems}"
answer_field = "answer"
[[lane]]
name = "fake"
base_url = "{url}/v1"
model = "r1"
concurrency = {streams}
[sampling]
until_correct = 1
max_samples = 10
[daemon]
port = 0
"""
# Nothing is sent to anybody, and nothing of an earlier run is found again.
QUIET = {
    "TELEMETRY_ENABLED": "false",
    "NEMO_TELEMETRY_ENABLED": "false",
    "CURATOR_DISABLE_CACHE": "true",
    "CURATOR_DISABLE_RICH_DISPLAY": "1",
    "HF_HUB_OFFLINE": "1",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
}

# tiktoken would fetch its table at the first use; litellm, which curator needs, brings a copy.
ENCODINGS = "curator/lib/*/site-packages/litellm/litellm_core_utils/tokenizers"


def run(peer: Peer, world: World, seed: int, folder: Path) -> Account:
    """Do the world's work with this client, in a new folder."""
    folder.mkdir(parents=True)
    problems = folder / "problems.jsonl"
    problems.write_text("".join(json.dumps(row) + "\n" for row in world.problems()))
    with provider(world, seed) as url:
        measures = measured(command(peer, world, folder, url), folder)
        books = read_books(url)
    return account(world, rows_of(peer, folder), books, measures)


def command(peer: Peer, world: World, folder: Path, url: str) -> list[str]:
    """How the client is started."""
    problems = folder / "problems.jsonl"
    if not peer.pins:
        config = folder / "config.toml"
        config.write_text(
            CONFIG.format(folder=folder, problems=problems, url=url, streams=world.streams)
        )
        return [str(peer.python), "-m", "generator", "run", str(config)]
    job = folder / "job.json"
    out = folder / "rows.jsonl"
    values = {"url": url, "problems": problems, "out": out, "streams": world.streams}
    job.write_text(json.dumps(values, default=str))
    return [str(peer.python), str(peer.script), str(job)]


def rows_of(peer: Peer, folder: Path) -> Iterator[Mapping[str, str]]:
    """The rows that a run left: id, reasoning, response. Ours are those of both piles that the
    generator itself calls correct.
    """
    if peer.pins:
        out = folder / "rows.jsonl"
        if out.exists():
            yield from (row for _, row in read_rows(out))
        return
    corpus = folder / "corpus"
    for shard in sealed_files(corpus, PILES[0]) if corpus.exists() else ():
        for _, row in read_rows(shard):
            number = row["problem"].split()[1]
            yield {"id": number, "reasoning": row["reasoning"], "response": row["response"]}


@contextmanager
def provider(world: World, seed: int) -> Iterator[str]:
    """The fake provider in a process of its own, on the last core. Gives its address."""
    fields = json.dumps(asdict(world))
    words = [sys.executable, "-m", "benchmarks.peers.server", fields, str(seed)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=ROOT) as server:
        assert server.stdout is not None
        try:
            os.sched_setaffinity(server.pid, cores()[-1:])
            yield server.stdout.readline().strip()
        finally:
            server.terminate()


def cores() -> list[int]:
    """Those that this process may use."""
    return sorted(os.sched_getaffinity(0))


def read_books(url: str) -> dict[str, float]:
    """What the provider wrote down."""
    with urllib.request.urlopen(f"{url}/books", timeout=60) as reply:
        return dict(json.load(reply))


def measured(
    words: list[str], folder: Path, longest_seconds: float | None = LONGEST_SECONDS
) -> Measures:
    """Run a command to its end, or to `longest_seconds`."""
    environment = {**foreign_environment(), **QUIET, "HOME": str(folder), "TMPDIR": str(folder)}
    encodings = next(PLACE.glob(ENCODINGS), None)
    if encodings is not None:
        environment["TIKTOKEN_CACHE_DIR"] = str(encodings)
    if words[1] == "-m":
        environment["PYTHONPATH"] = str(ROOT)
    start = time.perf_counter()
    with open(folder / "output.txt", "w") as output:
        process = subprocess.Popen(
            words,
            stdout=output,
            stderr=output,
            cwd=folder,
            env=environment,
            start_new_session=True,
        )
        os.sched_setaffinity(process.pid, cores()[:-1] or cores())
        peak = 0.0
        note = ""
        while True:
            pid, status, used = os.wait4(process.pid, os.WNOHANG)
            if pid:
                break
            peak = max(peak, megabytes_of(process.pid))
            is_late = longest_seconds and time.perf_counter() - start > longest_seconds
            if is_late and not note:
                note = f"stopped after {longest_seconds:.0f} s"
                os.killpg(process.pid, signal.SIGKILL)
            time.sleep(LOOK_SECONDS)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode and not note:
        note = f"ended with exit code {process.returncode}: {last_line(folder / 'output.txt')}"
    wall = time.perf_counter() - start
    return Measures(wall, used.ru_utime + used.ru_stime, peak, note)


def last_line(path: Path) -> str:
    """Of what the client said."""
    lines = path.read_text(errors="replace").strip().splitlines()
    return lines[-1][:200] if lines else ""


def megabytes_of(pid: int) -> float:
    """Resident memory of a process and all below it."""
    total = 0
    waiting = [pid]
    while waiting:
        one = waiting.pop()
        try:
            total += int(Path(f"/proc/{one}/statm").read_text().split()[1])
            children = Path(f"/proc/{one}/task/{one}/children").read_text()
        except (OSError, IndexError):
            continue  # it has just ended
        waiting += [int(child) for child in children.split()]
    return total * PAGE_BYTES / 1e6
