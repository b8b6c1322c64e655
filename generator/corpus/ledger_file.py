"""The ledger's file: a SQLite database with its schema, its one writing connection, and SQLite's
errors as ours.
"""

import os
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from shared.errors import CannotWrite, InputError, Stopped
from shared.file_writing import open_within

VERSION = 1
_SECONDS_FOR_TABLES = 2.0
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
CREATE TABLE IF NOT EXISTS batches (
  name TEXT PRIMARY KEY, lane TEXT NOT NULL, state TEXT NOT NULL, lines INTEGER NOT NULL,
  first_call INTEGER NOT NULL, sent_at REAL NOT NULL, tokens INTEGER NOT NULL, usd REAL NOT NULL,
  file_id TEXT NOT NULL, batch_id TEXT NOT NULL, status TEXT NOT NULL, completed INTEGER NOT NULL,
  failed INTEGER NOT NULL, output_file_id TEXT NOT NULL, error_file_id TEXT NOT NULL,
  expires_at REAL NOT NULL, note TEXT NOT NULL
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


class LedgerFile:
    """Owns the connection. Every method blocks for well under a millisecond.

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
        mode = "rwc"
        if read_only:
            mode = "rw" if os.access(path.parent, os.W_OK) else "ro"
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
            self._wait_for_tables()
            self._db.execute("PRAGMA query_only = ON")
            return
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        # an automatic checkpoint would fsync on the event loop: `checkpoint` does it elsewhere
        self._db.execute("PRAGMA wal_autocheckpoint = 0")
        self._db.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {VERSION}; COMMIT;")

    def _wait_for_tables(self) -> None:
        """A run that starts beside this reader makes the file, then its tables, a moment later.
        Where they do not come, a full disk or a kill came before them: InputError.
        """
        deadline = time.monotonic() + _SECONDS_FOR_TABLES
        while self._db.execute("PRAGMA user_version").fetchone()[0] == 0:
            if time.monotonic() > deadline:
                raise InputError(
                    f"{self._path}: has no tables yet: the next run, or `reindex`, makes them"
                )
            time.sleep(0.02)

    def commit(self) -> None:
        """Make everything written so far survive a kill."""
        self._refuse_after_a_failure()
        if self._db.in_transaction:
            with self._errors():
                self._db.execute("COMMIT")

    def damage(self) -> str:
        """What SQLite finds wrong with the file; "" for a sound one. Reads all of it."""
        try:
            result = self._db.execute("PRAGMA quick_check(1)").fetchone()[0]
        except sqlite3.DatabaseError as error:
            return str(error)
        return "" if result == "ok" else str(result)

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

    def _write_many(self, statement: str, rows: Iterable[Iterable[object]]) -> None:
        self._refuse_after_a_failure()
        with self._errors():
            if not self._db.in_transaction:
                self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany(statement, map(tuple, rows))

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
    extended_code = getattr(error, "sqlite_errorcode", None) or 0
    code = extended_code & 0xFF  # the other bits say which I/O error
    if code in _CANNOT_WRITE:
        remedy = (
            "free some space"
            if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)
            else "correct the path or its permissions"
        )
        return CannotWrite(f"{path}: {error}: {remedy}, then run again: it goes on from here")
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
        # a busy one is left to the next checkpoint: nothing is lost meanwhile
        if not isinstance(failure, InputError):
            raise failure or error from None
