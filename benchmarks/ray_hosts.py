"""Three "hosts" under Ray, one killed in the middle of a run: what comes out is what one process makes.

    sudo .venv/generator/bin/python -m benchmarks.ray_hosts

A host is a network namespace with a Ray node of its own; a bridge joins them, and a rehearsal
teacher that answers each problem always alike sits on it. The third host's processes are killed
(SIGKILL) while it does a part. Needs root, `ip` (iproute2) and Ray. Ends with exit code 1 where ids,
verdicts, left-out lists or finished parts differ.
"""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

BRIDGE = "shbr0"
NETWORK = "10.77.0"
HOSTS = 3
PARTS = 6
PROBLEMS = 90
PORT = 6379
PATIENCE_SECONDS = 240.0

CONFIG = """
corpus = "{corpus}"
[problems]
source = "{problems}"
[[lane]]
name = "teacher"
base_url = "{url}"
model = "rehearsal-r1"
concurrency = 6
[daemon]
port = 0
[grading]
workers = 1
"""


def main() -> int:
    """Run it; the exit code."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        print("needs root and `ip` for network namespaces")
        return 1
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")  # nobody else is on this network
    with tempfile.TemporaryDirectory(prefix="ray-hosts-") as name, network():
        folder = Path(name)
        write_problems(folder)
        with teacher(folder) as url:
            return compare(folder, url)


def compare(folder: Path, url: str) -> int:
    """One process, then three hosts with one killed; what differs."""
    single = write_config(folder, "single", url)
    subprocess.run(generator("run", single), check=True, capture_output=True)
    divided = write_config(folder, "divided", url)
    corpus = folder / "divided"
    for host in range(HOSTS):
        start_node(host, folder / "ray")
    address = f"{NETWORK}.{10}:{PORT}"
    words = generator("run", divided, "--parts", str(PARTS), "--on", f"ray:{address}")
    began = time.monotonic()
    run = subprocess.Popen(inside(0, words), stderr=subprocess.PIPE, text=True)
    part = wait_for_part_on(HOSTS - 1, corpus)
    finished = {path.name: digest(path) for path in corpus.glob("part-*") if is_done(path)}
    print(f"{len(finished)} parts are finished", flush=True)
    pids = pids_of(HOSTS - 1)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    print(f"killed host {HOSTS - 1}: {len(pids)} processes, in the middle of {part}", flush=True)
    _, errors = run.communicate(timeout=PATIENCE_SECONDS)
    seconds = time.monotonic() - began
    results = {
        "exit code": run.returncode == 0,
        "ids and verdicts": outcomes(corpus) == outcomes(folder / "single"),
        "left-out lists": left_out(corpus) == left_out(folder / "single"),
        "finished parts untouched": all(
            digest(corpus / name) == before for name, before in finished.items()
        ),
        "check": subprocess.run(generator("check", corpus), check=False).returncode == 0,
    }
    for name, is_right in results.items():
        print(f"{name:<28}{'as one process' if is_right else 'DIFFERENT'}")
    print(f"{len(outcomes(corpus)):,} samples in {PARTS} parts, {seconds:.0f} s")
    if not all(results.values()):
        print(errors[-3000:])
    return int(not all(results.values()))


def write_problems(folder: Path) -> None:
    """Problems with answers that are always the same, one in four wrong; some stand twice."""
    problems = []
    answers = []
    for number in range(PROBLEMS):
        text = f"Ann has {number * 7} stamps and is given {number + 5} more. How many has she?"
        gold = number * 8 + 5
        answer = gold + (number % 4 == 3)
        problems.append({"problem": text, "answer": str(gold)})
        answers.append(
            {"problem": text, "reasoning": f"So {answer}.", "response": f"\\boxed{{{answer}}}"}
        )
    problems += [{**row, "problem": row["problem"].upper()} for row in problems[:9]]
    for name, rows in (("problems", problems), ("answers", answers)):
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(lines)


def write_config(folder: Path, name: str, url: str) -> Path:
    """A configuration whose corpus has this name."""
    path = folder / f"{name}.toml"
    path.write_text(
        CONFIG.format(corpus=folder / name, problems=folder / "problems.jsonl", url=url)
    )
    return path


@contextmanager
def teacher(folder: Path) -> Iterator[str]:
    """The rehearsal teacher on the bridge; its address."""
    words = ["rehearse", "--host", f"{NETWORK}.1", "--port", "0", "--latency", "1.5"]
    words += ["--tokens-per-second", "0", "--replay", str(folder / "answers.jsonl")]
    process = subprocess.Popen(generator(*words), stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().split()[-1]
    finally:
        process.terminate()
        process.wait()


@contextmanager
def network() -> Iterator[None]:
    """The bridge and the hosts; everything in them ends with it."""
    remove_network()
    ip("link", "add", BRIDGE, "type", "bridge")
    ip("addr", "add", f"{NETWORK}.1/24", "dev", BRIDGE)
    ip("link", "set", BRIDGE, "up")
    for host in range(HOSTS):
        name = host_name(host)
        ip("netns", "add", name)
        ip("link", "add", f"{name}v", "type", "veth", "peer", "name", "eth0", "netns", name)
        ip("link", "set", f"{name}v", "master", BRIDGE, "up")
        ip("-n", name, "addr", "add", f"{NETWORK}.{10 + host}/24", "dev", "eth0")
        ip("-n", name, "link", "set", "eth0", "up")
        ip("-n", name, "link", "set", "lo", "up")
    try:
        yield
    finally:
        remove_network()


def remove_network() -> None:
    """Nothing is left of an earlier one."""
    for host in range(HOSTS):
        for pid in pids_of(host):
            os.kill(pid, signal.SIGKILL)
        subprocess.run(["ip", "netns", "del", host_name(host)], check=False, stderr=-3)
    subprocess.run(["ip", "link", "del", BRIDGE], check=False, stderr=-3)


def start_node(host: int, folder: Path) -> None:
    """A Ray node of one processor; the first is the head."""
    words = [sys.executable, "-m", "ray.scripts.scripts", "start", "--num-cpus", "1"]
    words += ["--node-ip-address", f"{NETWORK}.{10 + host}", "--disable-usage-stats"]
    words += ["--object-store-memory", str(100 * 1024**2)]
    if host == 0:
        words += ["--head", "--port", str(PORT), "--include-dashboard", "false"]
        words += ["--temp-dir", str(folder)]
    else:
        words += ["--address", f"{NETWORK}.10:{PORT}"]
    node = subprocess.run(inside(host, words), capture_output=True, text=True, check=False)
    if node.returncode:
        raise SystemExit(f"host {host}: Ray does not start:\n{node.stdout}{node.stderr}")
    print(f"host {host} is up", flush=True)


def wait_for_part_on(host: int, corpus: Path) -> str:
    """Until that host does a part that has some samples, and another part is finished; its
    folder's name.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        for pid in pids_of(host):
            try:
                words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
            except OSError:
                continue
            if "--part" in words:
                number = words[words.index("--part") + 1].partition("/")[0]
                part = corpus / f"part-{int(number):04d}"
                has_samples = any(path.stat().st_size for path in part.glob("*/shard-*.open"))
                if has_samples and any(map(is_done, corpus.glob("part-*"))):
                    return part.name
        time.sleep(0.1)
    raise TimeoutError(f"host {host} has done nothing")


def outcomes(corpus: Path) -> dict[str, str]:
    """Verdicts by id; an id that stands twice is an error."""
    verdicts: dict[str, str] = {}
    for path in sorted(corpus.rglob("shard-*.jsonl*")):
        for line in path.read_text().splitlines():
            row = json.loads(line)
            if row["id"] in verdicts:
                raise ValueError(f"{row['id']} stands twice")
            verdicts[row["id"]] = row["verdict"]
    return verdicts


def left_out(corpus: Path) -> bytes:
    """What the screening left out."""
    return (corpus / "screening" / "left-out.npy").read_bytes()


def is_done(part: Path) -> bool:
    """Whether a part has come to its end."""
    return (part / "part.json").exists()


def digest(folder: Path) -> str:
    """Of every file in a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


def generator(*words: object) -> list[str]:
    """A command of the generator."""
    return [sys.executable, "-m", "generator", *map(str, words)]


def host_name(host: int) -> str:
    """Its network namespace."""
    return f"shhost{host}"


def inside(host: int, words: list[str]) -> list[str]:
    """A command on a host."""
    return ["ip", "netns", "exec", host_name(host), *words]


def pids_of(host: int) -> list[int]:
    """The processes of a host."""
    words = ["ip", "netns", "pids", host_name(host)]
    process = subprocess.run(words, capture_output=True, text=True, check=False)
    return [int(pid) for pid in process.stdout.split()]


def ip(*words: str) -> None:
    """One change to the network."""
    subprocess.run(["ip", *words], check=True)


if __name__ == "__main__":
    sys.exit(main())
