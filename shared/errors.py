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
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from shared.standard_streams import give_up_output, secure_standard_streams
from shared.startup import hear_no_signal, is_run

# The first signal asks for an orderly end, the second kills; within this time it is the first one
# once more: `make` hands on to its child the SIGTERM that the whole group got (systemd's stop,
# `kill -- -PGID`).
SAME_SIGNAL_SECONDS = 0.1
# Never a bug of ours.
DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)
# A path from the command line that no file can have.
PATH_ERRORS = (errno.ENAMETOOLONG, errno.ELOOP)
PATH_CHARACTERS_SHOWN = 200
LINE_CHARACTERS_MAX = 1000
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
# What Python says where the system refuses a thread: mostly for want of memory for its stack.
NO_THREAD = "can't start new thread"


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
    secure_standard_streams()
    if not is_run() and signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        code = main()
        if is_run():
            hear_no_signal()
        sys.stdout.flush()
    except Stopped as stop:
        print(f"{'error' if stop.exit_code == 2 else 'stopped'}: {_shown(stop)}", file=sys.stderr)
        code = stop.exit_code
    except KeyboardInterrupt:  # Ctrl-C where a program has nothing to bring to an end
        print("stopped: SIGINT", file=sys.stderr)
        code = 128 + signal.SIGINT
    except OSError as error:
        code = _told(error)
    except (MemoryError, RuntimeError) as error:
        code = _out_of_memory(error)
    finally:
        give_up_output()
    sys.exit(code)


def _shown(stop: Stopped) -> str:
    """Its line: one, and of a length that can be read, whatever the user wrote that is in it."""
    # a file's name or a row may bring line ends, and orders to the terminal
    text = _CONTROL.sub(lambda match: repr(match[0])[1:-1], str(stop))
    if len(text) > LINE_CHARACTERS_MAX:
        half = LINE_CHARACTERS_MAX // 2
        text = f"{text[:half]}…{text[-half:]}"
    return text


def _told(error: OSError) -> int:
    """The exit code of an error that is no bug of ours, and its line. Errors: `error` itself."""
    name = str(error.filename or "output")[:PATH_CHARACTERS_SHOWN]
    if error.errno in PATH_ERRORS:
        print(f"error: {name}: {error.strerror}: correct the path", file=sys.stderr)
        return InputError.exit_code
    if error.errno not in DISK_ERRORS:
        raise error
    print(f"stopped: {name}: {error.strerror}: free some space, then run again", file=sys.stderr)
    return CannotWrite.exit_code


def _out_of_memory(error: MemoryError | RuntimeError) -> int:
    """The exit code of a machine that gives no more memory or threads, and its line; what was
    written is whole. Errors: `error` itself, where it is another.
    """
    if not isinstance(error, MemoryError) and NO_THREAD not in str(error):
        raise error
    print(
        "stopped: the system gives no more memory or threads: raise `ulimit -v` and `ulimit -u`, or"
        " lower lane.concurrency, then run again",
        file=sys.stderr,
    )
    return CannotWrite.exit_code


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
        try:
            yield
        except KeyboardInterrupt:
            if not signals:  # not ours
                raise
        # Also where it was raised inside a callback of Python's own (a module's lock, a finaliser)
        # and passed over.
        if signals:
            raise Interrupted(f"{signals[0][1]}: {what_is_kept}")
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
