"""An allowance that generators on one machine share: a folder of numbered files, one a change.

    FOLDER/account-modelscope/000000017.json
    {"schema": 1, "owner": "9f2c…", "day": 1764201600.0, "day_ends": 1764288000.0, "calls": 24,
     "tokens": 0, "usd": 0.0, "total_usd": 0.0}

Each says what its owner holds of that day from then on. A file comes whole into being under the
next number, and only where nobody has taken that number meanwhile (link(2), as O_EXCL): who comes
second reads what the first wrote, and decides again.
"""

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson

from generator.errors import StoreAway
from generator.quota.days import refuse_other_zones
from generator.spending import Decision, HighWater
from shared.errors import InputError
from shared.file_systems import network_name
from shared.file_writing import make_corpus_folder, open_within, sync_folder

SCHEMA = 1


class FolderStore:
    """Owns the thread that reads and writes the folder."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(1, "shared budget")
        self._logs: dict[str, _Log] = {}

    async def open(self) -> None:
        """Make the folder. Errors: `InputError`, also where other machines see it: what one of
        them makes appears on the others only some time later.
        """
        network = network_name(self._path)
        if network:
            raise InputError(
                f"budget.shared = {self._path}: on a network file system ({network}): take a folder"
                " on a disk of this machine, or PostgreSQL with budget.shared_env for several"
            )
        try:
            make_corpus_folder(self._path)
            if not os.access(self._path, os.W_OK | os.X_OK):
                raise PermissionError(13, "Permission denied")
        except OSError as error:
            raise InputError(
                f"budget.shared = {self._path}: {error.strerror}: correct the path or its"
                " permissions"
            ) from None

    async def close(self) -> None:
        """End the thread."""
        self._thread.shutdown()

    async def exchange(
        self, account: str, owner: str, day: float, decide: Decision
    ) -> tuple[HighWater, HighWater]:
        """As `SharedStore`. Errors: `StoreAway`; `InputError` for a damaged file."""
        name = f"account-{quote(account, safe='')}" if account else "run"
        log = self._logs.setdefault(name, _Log(self._path / name))
        loop = asyncio.get_running_loop()
        while True:
            await loop.run_in_executor(self._thread, log.read)
            refuse_other_zones(account, day, log.days)
            sum_of_others, own = log.held(owner, day)
            # On the event loop: it looks at what this generator has in flight now.
            new_mark = decide(sum_of_others, own)
            if new_mark == own:
                return sum_of_others, own
            is_first = await loop.run_in_executor(self._thread, log.append, owner, new_mark)
            if is_first:
                return sum_of_others, new_mark


class _Log:
    """The files of one account, as far as they were read."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._next = 0
        self._held: dict[tuple[str, float], HighWater] = {}  # by owner and day
        self._totals: dict[str, float] = {}  # dollars by owner, over all days

    @property
    def days(self) -> set[float]:
        """Of which somebody holds something, by their beginnings."""
        return {day for _, day in self._held}

    def read(self) -> None:
        """Read the files that are new."""
        while True:
            path = self._path(self._next)
            try:
                row = orjson.loads(path.read_bytes())
                owner = str(row["owner"])
                mark = _held(row)
            except FileNotFoundError:
                return
            except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
                raise InputError(
                    f"{path}: damaged ({error}): stop what uses this folder and take another one"
                    " tomorrow, when the day's allowance has turned"
                ) from None
            except OSError as error:
                raise StoreAway(f"{path}: {error.strerror}") from None
            self._held[owner, mark.day] = mark
            self._totals[owner] = mark.total_usd
            self._next += 1

    def held(self, owner: str, day: float) -> tuple[HighWater, HighWater]:
        """(what others hold, what `owner` holds), of a day and in total."""
        of_day = [(name, mark) for (name, held_day), mark in self._held.items() if held_day == day]
        marks_of_others = [mark for name, mark in of_day if name != owner]
        own = self._held.get((owner, day), HighWater(day, 0.0, 0, 0, 0.0, 0.0))
        others_total = sum(usd for name, usd in self._totals.items() if name != owner)
        total = HighWater(
            day,
            0.0,
            sum(mark.calls for mark in marks_of_others),
            sum(mark.tokens for mark in marks_of_others),
            sum(mark.usd for mark in marks_of_others),
            others_total,
        )
        return total, replace(own, total_usd=self._totals.get(owner, 0.0))

    def append(self, owner: str, held: HighWater) -> bool:
        """Write the next file; False where another generator was first. On the disk when it
        returns.
        """
        path = self._path(self._next)
        draft = self._folder / f".{owner}-{os.getpid()}"
        row = {"schema": SCHEMA, "owner": owner, **asdict(held)}
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            _write(draft, orjson.dumps(row) + b"\n")
            os.link(draft, path)
            draft.unlink()
            sync_folder(self._folder)
        except FileExistsError:
            return False
        except OSError as error:
            raise StoreAway(f"{path}: {error.strerror}") from None
        return True

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:09d}.json"


def _write(path: Path, data: bytes) -> None:
    with open(path, "wb", opener=open_within) as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _held(row: dict[str, Any]) -> HighWater:
    return HighWater(
        day=float(row["day"]),
        day_ends=float(row["day_ends"]),
        calls=int(row["calls"]),
        tokens=int(row["tokens"]),
        usd=float(row["usd"]),
        total_usd=float(row["total_usd"]),
    )
