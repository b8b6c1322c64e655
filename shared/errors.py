"""How a program ends. A user's mistake is one line with the place and the remedy; a bug keeps its
traceback.

    Stopped                 carries the exit code and the line that the user sees
    ├── InputError      2   configuration, data, provider settings or a model folder that cannot be used
    ├── CannotWrite     5   the disk is full or refuses; nothing is torn, nothing is lost
    └── Interrupted     0   a signal asked for the end

Codes 3 and 4 (budgets, lanes) belong to the generator and are raised there.
"""

import errno
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# The first signal asks for an orderly end, the second kills; within this time it is the first one
# once more: `make` hands on to its child the SIGTERM that the whole group got (systemd's stop,
# `kill -- -PGID`).
SAME_SIGNAL_SECONDS = 0.1
# Never a bug of ours.
DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)


class Stopped(Exception):
    """The run ends here, in order, with `exit_code` and `str(error)` as its one line for the
    user.
    """

    exit_code = 1


class InputError(Stopped):
    """Something that the user gave cannot be used. The message names the place and the remedy."""

    exit_code = 2


class CannotWrite(Stopped):
    """A file cannot be written. What was written before is whole."""

    exit_code = 5


def run_and_exit(main: Callable[[], int]) -> None:
    """Run `main` and leave the process with its return value, or with the code of the `Stopped`
    that it raised.
    """
    try:
        code = main()
    except Stopped as stop:
        print(f"{'error' if stop.exit_code == 2 else 'stopped'}: {stop}", file=sys.stderr)
        code = stop.exit_code
    except KeyboardInterrupt:  # Ctrl-C where a program has nothing to bring to an end
        print("stopped: SIGINT", file=sys.stderr)
        code = 128 + signal.SIGINT
    except BrokenPipeError:  # `... | head` closed our output: nothing is wrong with the run
        sys.stderr.close()
        code = 0
    except OSError as error:
        if error.errno not in DISK_ERRORS:
            raise
        print(
            f"stopped: {error.filename or 'output'}: {error.strerror}: free some space, then run"
            " again",
            file=sys.stderr,
        )
        code = CannotWrite.exit_code
    sys.exit(code)


@contextmanager
def loading() -> Iterator[None]:
    """Ctrl-C while libraries are loaded inside ends the process at once, with one line.

    Raised as a KeyboardInterrupt it becomes a panic of whichever library is being initialised.
    """
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield  # it is ignored, or somebody has a handler of their own
        return

    def leave(number: int, _: Any) -> None:
        os.write(2, b"stopped: SIGINT\n")
        os._exit(128 + number)

    signal.signal(signal.SIGINT, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


class Interrupted(Stopped):
    """A signal asked for the end, and what was made so far is kept."""

    exit_code = 0


@contextmanager
def ended_by_a_signal(what_is_kept: str) -> Iterator[None]:
    """The first SIGINT or SIGTERM ends what is inside: `Interrupted`, whose line has the signal's
    name; a second kills.

    For work whose results are whole or not there. It ends by a KeyboardInterrupt, which is no
    `Exception`: libraries swallow those, while they are being imported above all.
    """
    signals: list[tuple[float, str]] = []  # (when, name) of the first

    def stop(number: int, _: Any) -> None:
        if signals:
            die_of_a_second(number, signals[0][0])
            return
        signals.append((time.monotonic(), signal.Signals(number).name))
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted(f"{signals[0][1]}: {what_is_kept}") from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def die_of_a_second(number: int, first_at: float) -> None:
    """End this process by signal `number`, as if it were not handled; return if it is a copy of
    that at `first_at`.

    `first_at` is the `time.monotonic()` of the first signal.
    """
    if time.monotonic() - first_at >= SAME_SIGNAL_SECONDS:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)


def typed(program: str) -> str:
    """How `program` is called from the current folder with this Python:
    ".venv/generator/bin/python -m generator".
    """
    python = Path(sys.executable)
    if python.is_relative_to(Path.cwd()):
        python = python.relative_to(Path.cwd())
    return f"{python} -m {program}"
