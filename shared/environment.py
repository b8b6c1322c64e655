"""One program's environment, `.venv/NAME`, from `constraints/NAME.txt`: finished, or begun again.

    python3 -m shared.environment trainer            # what `make setup-trainer` calls; the standard library is enough
    python3 -m shared.environment trainer unsloth    # the addition where there is an NVIDIA GPU

A killed `venv` leaves a Python without pip, and a killed pip packages that look installed and are
not. So `.ready`, the mark of a finished environment, goes before anything in it is touched, and one
that lacks it is made anew: what was fetched is in pip's own cache.
"""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from shared.errors import CannotWrite, InputError, Stopped, die_of_a_second, run_and_exit

# What may be put on top of a finished environment, with constraints/ADDITION.txt beside the
# environment's own.
ADDITIONS = {"unsloth": ("unsloth", "bitsandbytes", "liger-kernel")}
# Optional extras that a program's environment has all the same: its tests run them.
EXTRAS = {"generator": ("postgres", "ray")}
PROGRESS_SECONDS = 20.0  # between lines that say how far it is


class Unfinished(Stopped):
    """A signal asked for the end. Not 0: nobody is to go on with half an environment."""

    def __init__(self, place: Path, number: int) -> None:
        super().__init__(
            f"{place} is not finished; the same command makes it, with what was fetched already"
        )
        self.exit_code = 128 + number


def main(argv: Sequence[str]) -> int:
    """`NAME [ADDITION]`. Errors: `InputError` where venv or pip fail, `CannotWrite` where the
    folder refuses.
    """
    place = Path(".venv") / argv[0]
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # until there is something to end in order
    try:
        place.parent.mkdir(exist_ok=True)
        with _alone(place.parent), _Tools(place) as tools:
            if argv[1:]:
                _add(place, argv[1], tools)
            else:
                _make(place, tools)
    except OSError as error:
        where = error.filename or place
        raise CannotWrite(
            f"{where}: {error.strerror}: correct the folder or its permissions, then run again"
        ) from None
    return 0


def _make(place: Path, tools: "_Tools") -> None:
    constraints = Path(f"constraints/{place.name}.txt")
    ready = place / ".ready"
    is_usable = ready.exists() and _works(place)
    if is_usable and _newer(ready, constraints, Path("pyproject.toml")):
        return  # another process has made it while this one waited
    print(f"setting up {place} (once, a few minutes)", flush=True)
    if not is_usable:
        ready.unlink(missing_ok=True)
        if place.exists():
            shutil.rmtree(place)
        tools.venv()
    with _unfinished(ready):
        extras = ",".join((place.name, *EXTRAS.get(place.name, ()), "dev"))
        # A plain path in a .pth file: setuptools' other way is a finder, whose imports make every
        # start of a program twice as long, before any line of it runs.
        path_only = ("--config-settings", "editable_mode=compat")
        tools.pip("-c", str(constraints), *path_only, "-e", f".[{extras}]")


def _add(place: Path, addition: str, tools: "_Tools") -> None:
    constraints = Path(f"constraints/{addition}.txt")
    mark = place / f".{addition}"
    if mark.exists() and _newer(mark, constraints):
        return
    print(f"adding {addition} to {place} (once, a few minutes)", flush=True)
    with _unfinished(place / ".ready"):
        tools.pip(
            "-c",
            f"constraints/{place.name}.txt",
            "-c",
            str(constraints),
            *ADDITIONS[addition],
        )
        mark.touch()


@contextmanager
def _unfinished(ready: Path) -> Iterator[None]:
    """No `.ready` while pip works; a pip that says itself that it failed has left the
    environment as it was.
    """
    before = ready.with_name(".was-ready")
    if ready.exists():
        ready.rename(before)
    try:
        yield
    except InputError:
        if before.exists():
            before.rename(ready)  # with its time: what was out of date still is
        raise
    before.unlink(missing_ok=True)
    ready.touch()


def _works(place: Path) -> bool:
    """Whether there is a Python that finds the packages: not after the system's own was removed
    or replaced.
    """
    python = place / "bin" / "python"
    command = [str(python), "-c", "import pip"]
    try:
        process = subprocess.run(command, stderr=subprocess.DEVNULL, check=False)
    except OSError:
        return False
    return process.returncode == 0


def _newer(mark: Path, *sources: Path) -> bool:
    return all(mark.stat().st_mtime >= source.stat().st_mtime for source in sources)


class _Tools:
    """venv and pip on one environment: their progress told, their errors shown, ended in order
    by a signal.
    """

    def __init__(self, place: Path) -> None:
        self._place = place
        # Not /tmp, which may be small; and what a killed pip leaves, up to some gigabytes, is
        # removed by the next one.
        self._temporary = place.parent / f".{place.name}.tmp"
        self._signal = 0  # the first that came
        self._signal_at = 0.0  # by `time.monotonic()`
        self._package_count = 0  # of this installation, by its constraints
        self._records_before = 0

    def __enter__(self) -> "_Tools":
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._stop)
        shutil.rmtree(self._temporary, ignore_errors=True)
        self._temporary.mkdir()
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._temporary, ignore_errors=True)

    def venv(self) -> None:
        """Make the environment, empty. Errors: `InputError`; `Unfinished` by a signal."""
        self._run("venv", [sys.executable, "-m", "venv", str(self._place)])

    def pip(self, *arguments: str) -> None:
        """`pip install` with `arguments`. Errors: `InputError`; `Unfinished` by a signal."""
        command = [str(self._place / "bin" / "python"), "-m", "pip", "install", "-qq"]
        command += ["--no-input", "--disable-pip-version-check"]
        self._records_before = self._record_count()
        files = [Path(name) for name in arguments if name.startswith("constraints/")]
        pin_count = sum(file.read_text().count("==") for file in files)
        self._package_count = max(1, pin_count - self._records_before)
        self._run("pip", [*command, *arguments])

    def _run(self, tool: str, command: Sequence[str]) -> None:
        if self._signal:
            raise Unfinished(self._place, self._signal)
        environment = os.environ | {"TMPDIR": str(self._temporary.resolve())}
        with (self._temporary / "errors").open("w+b") as errors:
            child = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stderr=errors,
            )
            self._wait_for(child)
            # venv ends within seconds, and has children that must end too.
            if self._signal and tool == "pip":
                child.terminate()
            child.wait()
            if self._signal:
                raise Unfinished(self._place, self._signal)
            if child.returncode != 0:
                errors.seek(0)
                print(errors.read().decode(errors="replace").strip(), file=sys.stderr)
                raise InputError(
                    f"{self._place}: {tool} failed as said above: correct that (the network, pip's"
                    " index settings, free space), then run the same command again"
                )

    def _wait_for(self, child: "subprocess.Popen[bytes]") -> None:
        """Until the child ends or a signal comes; says now and then how far it is."""
        start = time.monotonic()
        last_line_at = start
        while _runs(child) and not self._signal:
            now = time.monotonic()
            if now - last_line_at >= PROGRESS_SECONDS:
                last_line_at = now
                print(f"  {self._progress()}, {now - start:.0f} s", flush=True)

    def _progress(self) -> str:
        """How far pip is: it fetches everything first, then installs."""
        installed_count = self._record_count() - self._records_before
        if installed_count > 0:
            most = self._package_count
            return f"installing: {min(installed_count, most)} of about {most} packages"
        fetched_count = sum(1 for _ in self._temporary.glob("pip-unpack-*/*"))
        return f"fetching: {fetched_count} of about {self._package_count} packages"

    def _record_count(self) -> int:
        return sum(1 for _ in self._place.glob("lib/python*/site-packages/*.dist-info/RECORD"))

    def _stop(self, number: int, _: FrameType | None) -> None:
        if self._signal:
            die_of_a_second(number, self._signal_at)
            return
        self._signal = number
        self._signal_at = time.monotonic()


def _runs(child: "subprocess.Popen[bytes]") -> bool:
    try:
        child.wait(timeout=0.2)
    except subprocess.TimeoutExpired:
        return True
    return False


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One set-up at a time in a checkout; the lock dies with its holder."""
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("another process sets up an environment here: waiting for it", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    run_and_exit(lambda: main(sys.argv[1:]))
