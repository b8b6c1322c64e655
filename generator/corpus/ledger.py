"""The ledger: a SQLite index of a corpus. Which samples are finished and where they stand, which
calls were made.

The shards are the truth; what is lost here is read again from them. One connection, in one thread,
writes. A finished sample is committed with its group (`commit`, at most a second later), a call at
once: budgets must survive a kill. WAL with synchronous=NORMAL makes a commit a write into the page
cache; the flushing is left to `checkpoint`, which may run in another thread.
"""

import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from shared.errors import CannotWrite, InputError, Stopped
from shared.records import Trace, Usage, trace_id
from shared.shards import PILES, Pile, Position, open_within, shard_name

VERSION = 1
_CANNOT_WRITE = {
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_NOLFS,
    sqlite3.SQLITE_PROTOCOL,
}

_SCHEMA = """
CREATE TABLE IF NOT EXISTS samples (
  problem_id TEXT NOT NULL, sample INTEGER NOT NULL,
  pile INTEGER NOT NULL, shard INTEGER NOT NULL, offset INTEGER NOT NULL, length INTEGER NOT NULL,
  verdict TEXT NOT NULL, finish_reason TEXT NOT NULL, lane TEXT NOT NULL, attempts INTEGER NOT NULL,
  prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL, usd REAL, finished_at TEXT NOT NULL,
  PRIMARY KEY (problem_id, sample)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS samples_by_shard ON samples (pile, shard, offset);
CREATE TABLE IF NOT EXISTS shards (
  pile INTEGER NOT NULL, shard INTEGER NOT NULL, PRIMARY KEY (pile, shard)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS calls (
  id INTEGER PRIMARY KEY, lane TEXT NOT NULL, account TEXT NOT NULL, sample_id TEXT NOT NULL, at REAL NOT NULL,
  outcome TEXT, tokens INTEGER NOT NULL, usd REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS calls_by_account ON calls (account, at);
CREATE TABLE IF NOT EXISTS totals (
  pile INTEGER NOT NULL, verdict TEXT NOT NULL, samples INTEGER NOT NULL, attempts INTEGER NOT NULL,
  prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL, usd REAL NOT NULL, PRIMARY KEY (pile, verdict)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS notes (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TRIGGER IF NOT EXISTS count_in AFTER INSERT ON samples BEGIN
  INSERT INTO totals VALUES (new.pile, new.verdict, 1, new.attempts, new.prompt_tokens, new.completion_tokens,
    ifnull(new.usd, 0)) ON CONFLICT DO UPDATE SET samples = samples + 1, attempts = attempts + excluded.attempts,
    prompt_tokens = prompt_tokens + excluded.prompt_tokens,
    completion_tokens = completion_tokens + excluded.completion_tokens, usd = usd + excluded.usd;
END;
CREATE TRIGGER IF NOT EXISTS count_out AFTER DELETE ON samples BEGIN
  UPDATE totals SET samples = samples - 1, attempts = attempts - old.attempts,
    prompt_tokens = prompt_tokens - old.prompt_tokens, completion_tokens = completion_tokens - old.completion_tokens,
    usd = usd - ifnull(old.usd, 0) WHERE pile = old.pile AND verdict = old.verdict;
END;
"""


@dataclass(frozen=True, slots=True)
class Finished:
    """One finished sample of a problem, as sampling needs it."""

    sample: int
    verdict: str
    finished_at: str


@dataclass(frozen=True, slots=True)
class Spent:
    """What an account used since some time. Calls in flight count with what was reserved for
    them.
    """

    calls: int
    tokens: int
    usd: float


class Amount(Protocol):
    """What a number of calls took."""

    @property
    def calls(self) -> int: ...
    @property
    def tokens(self) -> int: ...
    @property
    def usd(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Total:
    """Finished samples of one verdict in one pile."""

    pile: Pile
    verdict: str
    samples: int
    attempts: int
    prompt_tokens: int
    completion_tokens: int
    usd: float


class Ledger:
    """The index of one corpus. Owns the connection; every method blocks for well under a
    millisecond.

    Errors: `CannotWrite` on a full disk, `InputError` for a file that is no ledger of this version.
    After the first error nothing is written any more: SQLite may have taken back, unasked, what was
    written before it and not yet committed, and what came after it would be committed without that.
    Every later write, `commit` and `close` raises it again.
    """

    def __init__(self, path: Path, read_only: bool = False) -> None:
        self._path = path
        self._failure: Stopped | None = None
        if read_only and not path.exists():
            raise InputError(f"{path}: no such file: make it with `python -m generator reindex`")
        # A reader of a database in WAL mode writes as well, to tidy up after itself: "ro" is for
        # foreign folders only.
        mode = "rwc" if not read_only else "rw" if os.access(path.parent, os.W_OK) else "ro"
        if mode == "rwc":
            self._make_private()
        with self._errors():
            name = f"{path.absolute().as_uri()}?mode={mode}"
            self._db = sqlite3.connect(
                name, uri=True, isolation_level=None, timeout=10, check_same_thread=False
            )
            try:
                self._prepare(read_only)
            except BaseException:
                self._db.close()
                raise

    def _make_private(self) -> None:
        """An empty file with the rights of the corpus: SQLite would let everybody read. Its log
        takes after it.
        """
        try:
            os.close(open_within(str(self._path), os.O_RDWR | os.O_CREAT))
        except OSError as error:
            raise CannotWrite(
                f"{self._path}: {error.strerror}: correct the path or its permissions"
            ) from None

    def _prepare(self, read_only: bool) -> None:
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version not in (0, VERSION):
            raise InputError(
                f"{self._path}: version {version}, this program knows {VERSION}: run `reindex`"
            )
        if read_only:
            if version == 0:  # a full disk, or a kill, came before its tables
                raise InputError(
                    f"{self._path}: has no tables yet: the next run, or `reindex`, makes them"
                )
            self._db.execute("PRAGMA query_only = ON")
            return
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.execute(
            "PRAGMA wal_autocheckpoint = 0"
        )  # it would fsync on the event loop: `checkpoint` does it
        self._db.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {VERSION}; COMMIT;")

    # --- samples
    # -------------------------------------------------------------------------------------------------

    def add_sample(self, trace: Trace, position: Position) -> bool:
        """Note a finished sample (committed with its group). False where this id is known
        already.
        """
        pile, shard = _numbers(position.shard)
        usage = trace.usage
        cursor = self._write(
            "INSERT INTO samples VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT DO NOTHING",
            (
                trace.problem_id,
                trace.sample,
                pile,
                shard,
                position.offset,
                position.length,
                trace.verdict,
                trace.finish_reason,
                trace.lane,
                trace.attempts,
                usage.prompt_tokens,
                usage.completion_tokens,
                trace.cost_usd,
                trace.finished_at,
            ),
        )
        return cursor.rowcount == 1

    def finished(self, problem_ids: Sequence[str]) -> Mapping[str, Sequence[Finished]]:
        """The finished samples of those problems that have any, in order of number. At most
        30,000 ids a call.
        """
        marks = ",".join("?" * len(problem_ids))
        found: dict[str, list[Finished]] = {}
        with self._errors():
            rows = self._db.execute(
                "SELECT problem_id, sample, verdict, finished_at FROM samples "
                f"WHERE problem_id IN ({marks}) ORDER BY 1, 2",
                problem_ids,
            )
            for problem, *finished in rows:
                found.setdefault(problem, []).append(Finished(*finished))
        return found

    def totals(self) -> list[Total]:
        with self._errors():
            rows = self._db.execute(
                "SELECT * FROM totals WHERE samples > 0 ORDER BY pile, samples DESC"
            ).fetchall()
        return [Total(PILES[row[0]], *row[1:]) for row in rows]

    def latest(self, count: int) -> list[tuple[Position, str]]:
        """Positions and verdicts of the samples written last, newest first."""
        found = []
        with self._errors():
            for pile in range(len(PILES)):
                found += self._db.execute(
                    "SELECT finished_at, pile, shard, offset, length, verdict FROM samples WHERE"
                    " pile = ? ORDER BY pile DESC, shard DESC, offset DESC LIMIT ?",
                    (pile, count),
                ).fetchall()
        newest = sorted(found, reverse=True)[:count]
        return [
            (Position(shard_name(PILES[row[1]], row[2]), row[3], row[4]), row[5]) for row in newest
        ]

    def positions(self, shard: str) -> Iterator[tuple[str, int, Position]]:
        """(problem id, sample, position) of every sample that is noted to stand in a shard, in
        order of position.
        """
        pile, number = _numbers(shard)
        with self._errors():
            rows = self._db.execute(
                "SELECT problem_id, sample, offset, length FROM samples WHERE pile = ? AND shard ="
                " ? ORDER BY offset",
                (pile, number),
            )
            for problem, sample, offset, length in rows:
                yield problem, sample, Position(shard, offset, length)

    def sample_ids(self) -> set[str]:
        """Of every sample that is noted. About 100 bytes of memory each."""
        with self._errors():
            return {
                trace_id(*row) for row in self._db.execute("SELECT problem_id, sample FROM samples")
            }

    def rows_by_shard(self) -> dict[str, int]:
        """How many samples are noted to stand in each shard. Reads an index only: some 50 ms a
        million samples.
        """
        with self._errors():
            rows = self._db.execute(
                "SELECT pile, shard, count(*) FROM samples GROUP BY pile, shard"
            ).fetchall()
        return {shard_name(PILES[pile], shard): count for pile, shard, count in rows}

    # --- shards
    # --------------------------------------------------------------------------------------------------

    def shards(self) -> set[str]:
        """The shards that are noted as sealed."""
        with self._errors():
            return {
                shard_name(PILES[pile], shard)
                for pile, shard in self._db.execute("SELECT * FROM shards")
            }

    def note_sealed(self, shard: str) -> None:
        """A shard is sealed (committed with its group)."""
        self._write("INSERT OR IGNORE INTO shards VALUES (?, ?)", _numbers(shard))

    def forget_shard(self, shard: str) -> int:
        """Take back what was noted about a shard, because it will be read again. Returns the
        samples forgotten.
        """
        numbers = _numbers(shard)
        self._write("DELETE FROM shards WHERE pile = ? AND shard = ?", numbers)
        return self._write("DELETE FROM samples WHERE pile = ? AND shard = ?", numbers).rowcount

    def forget_all_samples(self) -> None:
        for table in ("samples", "totals", "shards"):
            self._write(f"DELETE FROM {table}", ())
        self.note("place", "")

    # --- calls
    # ---------------------------------------------------------------------------------------------------

    def reserve_call(
        self, lane: str, account: str, sample_id: str, at: float, tokens: int = 0, usd: float = 0.0
    ) -> int:
        """Note that a call is about to be sent, with the tokens and dollars it may cost. Committed
        at once.

        `at`: seconds since 1970. Until it is settled the reservation counts as spent, also after a
        kill.
        """
        cursor = self._write(
            "INSERT INTO calls (lane, account, sample_id, at, tokens, usd) VALUES (?,?,?,?,?,?)",
            (lane, account, sample_id, at, tokens, usd),
        )
        self.commit()
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def settle_call(
        self, call_id: int, outcome: str, usage: Usage | None, usd: float | None
    ) -> None:
        """What became of a call ("ok" or the kind of its error), and what it really cost
        (committed with its group).
        """
        tokens = usage.prompt_tokens + usage.completion_tokens if usage else 0
        self._write(
            "UPDATE calls SET outcome = ?, tokens = ?, usd = ? WHERE id = ?",
            (outcome, tokens, usd or 0, call_id),
        )

    def spent(self, account: str | None, since: float) -> Spent:
        """Calls, tokens and dollars of an account (None: of all) since a time in seconds since
        1970.
        """
        where, values = (
            ("at >= ?", [since])
            if account is None
            else ("account = ? AND at >= ?", [account, since])
        )
        with self._errors():
            row = self._db.execute(
                "SELECT count(*), ifnull(sum(tokens), 0), ifnull(sum(usd), 0.0) FROM calls WHERE"
                f" {where}",
                values,
            ).fetchone()
        return Spent(*row)

    def last_call(self) -> int:
        """The number of the last call, 0 where there is none. No call is ever taken back."""
        with self._errors():
            return int(self._db.execute("SELECT ifnull(max(id), 0) FROM calls").fetchone()[0])

    def calls_by_sample(self) -> dict[str, int]:
        """How many calls each sample has taken. Reads all calls; about 100 bytes of memory each."""
        with self._errors():
            return dict(
                self._db.execute("SELECT sample_id, count(*) FROM calls GROUP BY 1").fetchall()
            )

    def outcomes(self) -> dict[str, int]:
        """Calls by outcome; "unsettled" for those that a kill left without one."""
        with self._errors():
            rows = self._db.execute(
                "SELECT ifnull(outcome, 'unsettled'), count(*) FROM calls GROUP BY 1 ORDER BY 2"
                " DESC"
            )
            return dict(rows.fetchall())

    def add_past_calls(self, trace: Trace, account: str, at: float, known: int = 0) -> None:
        """A trace's calls for a ledger that lost them: `attempts` less those `known`, with the
        cost on the last.
        """
        tokens = trace.usage.prompt_tokens + trace.usage.completion_tokens
        for number in range(known, trace.attempts):
            last = number == trace.attempts - 1
            self._write(
                "INSERT INTO calls (lane, account, sample_id, at, outcome, tokens, usd) VALUES"
                " (?,?,?,?,'rebuilt',?,?)",
                (
                    trace.lane,
                    account,
                    trace.id,
                    at,
                    tokens if last else 0,
                    (trace.cost_usd or 0) if last else 0.0,
                ),
            )

    def add_lost_calls(self, account: str, at: float, spent: Amount) -> None:
        """Calls that this ledger lost, or never knew, and that count as spent: tokens and
        dollars on the last.
        """
        rows = max(spent.calls, 1)
        for number in range(rows):
            last = number == rows - 1
            self._write(
                "INSERT INTO calls (lane, account, sample_id, at, outcome, tokens, usd) VALUES"
                " (?,?,'',?,'lost',?,?)",
                (account, account, at, spent.tokens if last else 0, spent.usd if last else 0.0),
            )
        self.commit()

    # --- notes and the file itself
    # -------------------------------------------------------------------------------

    def note(self, name: str, value: str) -> None:
        """Keep a small text under a name (committed with its group)."""
        self._write("INSERT OR REPLACE INTO notes VALUES (?, ?)", (name, value))

    def noted(self, name: str) -> str:
        with self._errors():
            row = self._db.execute("SELECT value FROM notes WHERE name = ?", (name,)).fetchone()
        return row[0] if row else ""

    def commit(self) -> None:
        """Make everything written so far survive a kill."""
        self._refuse_after_a_failure()
        if self._db.in_transaction:
            with self._errors():
                self._db.execute("COMMIT")

    def damage(self) -> str:
        """What SQLite finds wrong with the file; "" for a sound one. Reads all of it."""
        try:
            found = self._db.execute("PRAGMA quick_check(1)").fetchone()[0]
        except sqlite3.DatabaseError as error:
            return str(error)
        return "" if found == "ok" else str(found)

    def close(self) -> None:
        """Commit and let go. What a failure left uncommitted is rolled back: the shards have it."""
        try:
            self.commit()
        finally:
            self._db.close()

    def _write(self, statement: str, values: Iterable[object]) -> sqlite3.Cursor:
        self._refuse_after_a_failure()
        with self._errors():
            if not self._db.in_transaction:
                self._db.execute("BEGIN IMMEDIATE")
            return self._db.execute(statement, tuple(values))

    def _refuse_after_a_failure(self) -> None:
        if self._failure is not None:
            raise type(self._failure)(str(self._failure))

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """SQLite's errors as ours; the first of them is the last thing that happens to this
        ledger.
        """
        try:
            yield
        except sqlite3.DatabaseError as error:
            failure = _as_ours(error, self._path)
            if failure is None:
                raise
            self._failure = self._failure or failure
            raise failure from None


def _as_ours(error: sqlite3.DatabaseError, path: Path) -> Stopped | None:
    """None for what can only be a bug."""
    code = (
        getattr(error, "sqlite_errorcode", None) or 0
    ) & 0xFF  # the rest of the bits says which I/O error
    if code in _CANNOT_WRITE:
        return CannotWrite(
            f"{path}: {error}: free some space, then run again: it goes on from here"
        )
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return InputError(f"{path}: another program holds this database: close it, then run again")
    if isinstance(error, sqlite3.OperationalError | sqlite3.ProgrammingError):
        return None
    return InputError(f"{path}: {error}: rebuild it with `python -m generator reindex`")


def checkpoint(path: Path) -> None:
    """Move the write-ahead log into the ledger's file. May take as long as the disk; for a thread
    of its own.

    Errors: `CannotWrite`.
    """
    try:
        # a folder that was moved away gets no second ledger
        name = f"{path.absolute().as_uri()}?mode=rw"
        with closing(sqlite3.connect(name, uri=True, isolation_level=None, timeout=10)) as db:
            db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
    except sqlite3.DatabaseError as error:
        failure = _as_ours(error, path)
        if not isinstance(
            failure, InputError
        ):  # else it is busy: the next one will do it, nothing is lost meanwhile
            raise failure or error from None


def _numbers(shard: str) -> tuple[int, int]:
    """("traces/shard-000012.jsonl") -> (0, 12)."""
    pile, _, name = shard.partition("/")
    return PILES.index(pile), int(name[6:12])
