"""The search of one target: guided by coverage where atheris is there, else blind mutation."""

import hashlib
import random
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]
INPUT_BYTES_MAX = 4096
INPUT_SECONDS_MAX = 20  # one input that takes longer is a finding
# Splices that random bytes seldom hit.
TOKENS = [
    *(b"data:", b"\n\n", b"\r\n", b"[DONE]", b'{"choices":[{"delta":{"content":"', b'"}}]}'),
    *(
        b"\\boxed{",
        b"}",
        b"\\frac",
        b"</think>",
        b"\\ud800",
        b"\x00",
        b"\xff",
        b"9" * 40,
        b"[" * 200,
    ),
    *(b"[[lane]]\n", b" = ", b'"""', b"null", b"1e999", b"GET / HTTP/1.1\r\n", b"Host: ", b"%00"),
]


def corpus_of(target: str) -> list[Path]:
    """What is kept of a target: inputs that reach far, and those that broke something once."""
    folders = (FOLDER / "corpus" / target, FOLDER / "crashes" / target)
    return sorted(path for folder in folders if folder.is_dir() for path in folder.iterdir())


def has_atheris() -> bool:
    """Whether the search can be guided."""
    try:
        import atheris  # noqa: F401
    except ImportError:
        return False
    return True


def guided(target: str, seconds: int, seed: int, found: Path | None) -> int:
    """Search with atheris in a process of its own; the exit code: 0, or 1 with the input kept.

    `found`: a folder that new inputs are written to; None: they are forgotten.
    """
    crashes = FOLDER / "crashes" / target
    crashes.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as forgotten:
        folders = [str(found or forgotten), str(FOLDER / "corpus" / target), str(crashes)]
        command = [
            *(sys.executable, "-m", "tests.fuzz.guided", target),
            *(f"-max_total_time={seconds}", f"-seed={seed or 1}", f"-max_len={INPUT_BYTES_MAX}"),
            *(f"-timeout={INPUT_SECONDS_MAX}", "-rss_limit_mb=4096", "-print_final_stats=1"),
            *(f"-artifact_prefix={crashes}/", "-verbosity=1"),
            *(folder for folder in folders if Path(folder).is_dir()),
        ]
        return int(subprocess.run(command, cwd=ROOT, check=False).returncode != 0)


def blind(target: str, play: Callable[[bytes], None], seconds: float, seed: int) -> int:
    """Mutate what is kept until the time is over; the exit code: 0, or 1 with the input kept."""
    rng = random.Random(seed)
    inputs = [path.read_bytes() for path in corpus_of(target)] or [b""]
    ends_at = time.monotonic() + seconds
    count = 0
    while time.monotonic() < ends_at:
        data = _mutated(rng.choice(inputs), inputs, rng)
        started_at = time.monotonic()
        try:
            play(data)
        except Exception:
            traceback.print_exc()
            return _keep(target, data)
        if time.monotonic() - started_at > INPUT_SECONDS_MAX:
            print(f"{target}: one input took more than {INPUT_SECONDS_MAX} s")
            return _keep(target, data)
        count += 1
    print(f"{target}: {count:,} inputs in {seconds:g} s without guidance, nothing broke")
    return 0


def _keep(target: str, data: bytes) -> int:
    path = FOLDER / "crashes" / target / f"crash-{hashlib.sha1(data).hexdigest()}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    print(f"{target}: kept as {path.relative_to(ROOT)}")
    return 1


def _mutated(data: bytes, others: list[bytes], rng: random.Random) -> bytes:
    for _ in range(rng.randint(1, 6)):
        at = rng.randint(0, len(data))
        end = min(len(data), at + rng.choice((1, 2, 8, 64)))
        how = rng.randrange(5)
        if how == 0:
            data = data[:at] + rng.choice(TOKENS) + data[at:]
        elif how == 1:
            data = data[:at] + data[end:]
        elif how == 2:
            data = data[:at] + rng.randbytes(end - at) + data[end:]
        elif how == 3:
            data = data[:at] + data[at:end] * rng.choice((2, 3, 50)) + data[end:]
        else:
            other = rng.choice(others)
            data = data[:at] + other[rng.randint(0, len(other)) :]
    return data[:INPUT_BYTES_MAX]
