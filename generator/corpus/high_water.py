"""CORPUS/budgets.json: what each budget may have been used up to, outside the ledger and forced to
the disk.

{"schema": 1, "run": {"day": 1764201600.0, "day_ends": 1764288000.0, "calls": 24, "tokens": 96000, "usd": 0.2,
 "total_usd": 3.1}, "accounts": {"modelscope": {…}}}

A ledger can be lost, be put back from an older copy, or lose its last seconds to a power cut. What
it no longer knows was spent all the same, so calls are reserved here, a block at a time, before
they are made.

CORPUS/.calls holds the number of the last call in the ledger, written after each and not forced to
the disk: within one start of the machine it survives whatever the process dies of. A ledger that
knows that call has lost none, and then nothing that was reserved ahead counts as spent. After a
power cut nothing is proven.
"""

import asyncio
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import orjson

from generator.spending import HighWater
from shared.errors import InputError
from shared.file_writing import open_within, write_atomically, writing

NAME = "budgets.json"
SCHEMA = 1
LAST_CALL = ".calls"
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")  # where there is none nothing is ever proven


class HighWaterFile:
    """The high-water mark of each account by name, and of the whole run under None. Owns the thread
    that writes them.

    `ledger_is_whole`: it is proven to know every call. `last_call`: the number of the last call
    that the ledger knows. Errors: `InputError` for a damaged file.
    """

    def __init__(self, corpus: Path, last_call: int) -> None:
        self._path = corpus / NAME
        self._marks = _read(self._path)
        self._proof = corpus / LAST_CALL
        self.ledger_is_whole = _knows_all_calls(self._proof, last_call)
        self._proof_fd: int | None = None
        self._boot = _boot_id()
        self._thread = ThreadPoolExecutor(1, "budgets")

    def get(self, account: str | None) -> HighWater | None:
        """What counts as spent at least, and on which day, whatever the ledger knows."""
        mark = self._marks.get(account)
        if mark is None or not self.ledger_is_whole:
            return mark
        return replace(mark, calls=0, tokens=0, usd=0.0, total_usd=0.0)

    def booked(self, call: int) -> None:
        """The ledger has committed this call. Errors: `CannotWrite`."""
        with writing(self._proof):
            if self._proof_fd is None:
                self._proof_fd = open_within(
                    str(self._proof), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC
                )
            os.pwrite(self._proof_fd, f"{self._boot:36} {call:20}\n".encode(), 0)

    async def put(self, marks: Mapping[str | None, HighWater]) -> None:
        """Returns when these marks are on the disk; those of other accounts stay. Errors:
        `CannotWrite`.
        """
        updated_marks = {**self._marks, **marks}
        if updated_marks == self._marks:
            return
        # one thread: a write whose caller was cancelled comes before the next one, and is over when
        # that returns
        await asyncio.get_running_loop().run_in_executor(
            self._thread, write_atomically, self._path, _text(updated_marks)
        )
        self._marks = updated_marks

    def close(self) -> None:
        """End the thread; what was put is on the disk."""
        self._thread.shutdown()
        if self._proof_fd is not None:
            os.close(self._proof_fd)


def forget_proof(corpus: Path) -> None:
    """The ledger was given calls that are only like those it lost: its numbers prove nothing
    any more.
    """
    with writing(corpus / LAST_CALL):
        (corpus / LAST_CALL).unlink(missing_ok=True)


def _boot_id() -> str:
    try:
        return BOOT_ID.read_text().strip()
    except OSError:
        return ""


def _knows_all_calls(proof: Path, last_call: int) -> bool:
    try:
        boot, number = proof.read_text().split()
        return boot == _boot_id() and last_call >= int(number)
    except (OSError, ValueError):  # not there, or not whole: nothing is proven
        return False


def _text(marks: Mapping[str | None, HighWater]) -> bytes:
    content: dict[str, Any] = {
        "schema": SCHEMA,
        "accounts": {name: asdict(mark) for name, mark in marks.items() if name is not None},
    }
    if None in marks:
        content["run"] = asdict(marks[None])
    return orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def _read(path: Path) -> dict[str | None, HighWater]:
    try:
        content = orjson.loads(path.read_bytes())
        marks: dict[str | None, HighWater] = {
            name: _mark(mark) for name, mark in content["accounts"].items()
        }
        if "run" in content:
            marks[None] = _mark(content["run"])
    except FileNotFoundError:
        return {}
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{path}: damaged ({error}): delete it, and what the ledger knows to be spent holds"
            " alone"
        ) from None
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}: correct its permissions") from None
    return marks


def _mark(values: Mapping[str, Any]) -> HighWater:
    return HighWater(
        day=float(values["day"]),
        day_ends=float(values["day_ends"]),
        calls=int(values["calls"]),
        tokens=int(values["tokens"]),
        usd=float(values["usd"]),
        total_usd=float(values["total_usd"]),
    )
