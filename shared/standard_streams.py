"""Standard input, output and error that nothing can go wrong with.

- A descriptor that was closed (`>&-`) is opened on /dev/null: else the first shard or ledger that
  is opened takes its number, and a library's message goes into it.
- Whoever reads the output may leave (`| head`, a terminal that is closed): that says nothing about
  the work, which goes on to its end and its exit code.
- A name that is no text in the terminal's encoding is shown escaped.
"""

import contextlib
import errno
import io
import os
import sys
from typing import Any, TextIO

# The reader is gone: a pipe's, a terminal's.
NOBODY_READS = (errno.EPIPE, errno.EIO)


class _Output(io.RawIOBase):
    """Writes to a descriptor until nobody reads it any more, from then on to nowhere.

    `outlasts_all`: whatever the error; where it could be told is where it happened.
    """

    def __init__(self, descriptor: int, outlasts_all: bool) -> None:
        self._descriptor = descriptor
        self._outlasts_all = outlasts_all
        self.is_gone = False

    def writable(self) -> bool:
        """As `io.RawIOBase`."""
        return True

    def fileno(self) -> int:
        """As `io.RawIOBase`."""
        return self._descriptor

    def isatty(self) -> bool:
        """As `io.RawIOBase`."""
        return os.isatty(self._descriptor)

    def give_up(self) -> None:
        """What comes from now on goes nowhere."""
        self.is_gone = True

    def write(self, block: Any) -> int:
        """As `io.RawIOBase`; where nobody reads any more, the block goes nowhere."""
        data = memoryview(block).cast("B")
        if self.is_gone:
            return len(data)
        try:
            return os.write(self._descriptor, data)
        except OSError as error:
            if error.errno not in NOBODY_READS and not self._outlasts_all:
                raise
            # a full disk may have room again for the next line
            self.is_gone = error.errno in NOBODY_READS
            return len(data)


def secure_standard_streams() -> None:
    """Put `sys.stdout` and `sys.stderr` on outputs that last. Call it before any file is opened."""
    for descriptor in (0, 1, 2):
        _open_if_closed(descriptor)
    sys.stdout = _lasting(sys.stdout, 1, outlasts_all=False)
    sys.stderr = _lasting(sys.stderr, 2, outlasts_all=True)
    if sys.stdin is None:
        sys.stdin = open(0)  # noqa: SIM115  # Python's own, for as long as the process lives


def nobody_reads_output() -> bool:
    """Whether what was written to `sys.stdout` found no reader any more."""
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    return isinstance(raw, _Output) and raw.is_gone


def give_up_output() -> None:
    """Write what is still held back of `sys.stdout`, if that can be, and nothing more: an error
    that was told is not told again by Python's own end.
    """
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    if isinstance(raw, _Output):
        with contextlib.suppress(OSError):
            sys.stdout.flush()
        raw.give_up()
        sys.stdout.flush()


def _open_if_closed(descriptor: int) -> None:
    try:
        os.fstat(descriptor)
    except OSError:
        # the lowest free number is this one: those before it are open by now
        os.open(os.devnull, os.O_RDWR)


def _lasting(stream: TextIO | None, descriptor: int, outlasts_all: bool) -> TextIO:
    encoding = stream.encoding if stream is not None else "utf-8"
    raw = _Output(descriptor, outlasts_all)
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=encoding,
        errors="backslashreplace",
        line_buffering=True,
    )
