"""An allowance that generators share in PostgreSQL: one row for each generator, account and day.

    stillhouse_budget  account     owner      day           calls  tokens  usd
                       modelscope  9f2c…-77…  1764201600.0  24     96000   0.2
                       modelscope  9f2c…-77…  0             0      0       3.1    <- dollars of all days

A row of `stillhouse_accounts` is locked while an account's rows are read and written, so nobody
decides by what is no longer true. What a commit that got no answer has done is read the next time.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from generator.errors import StoreAway
from generator.quota.days import refuse_other_clock, refuse_other_zones
from generator.spending import Decision, HighWater
from shared.chat_api.redaction import Redactor, database_secrets
from shared.errors import InputError

SECONDS = 15.0  # for one exchange, connecting included
CONNECT_SECONDS = 10
DAY_SECONDS = 86_400.0
OF_ALL_DAYS = 0.0  # the day of the rows with dollars in total
# What only the user can correct: a login refused, a database or a right that is not there.
WRONG_ADDRESS = ("28", "3D", "42501")

TABLES = (
    "CREATE TABLE IF NOT EXISTS stillhouse_accounts (account text PRIMARY KEY)",
    "CREATE TABLE IF NOT EXISTS stillhouse_budget (account text NOT NULL, owner text NOT NULL,"
    " day double precision NOT NULL, calls bigint NOT NULL, tokens bigint NOT NULL,"
    " usd double precision NOT NULL, PRIMARY KEY (account, day, owner))",
)
TABLES_LOCK = 0x57111  # of our own choice: two that make the tables at once collide
READ = (
    "SELECT coalesce(sum(calls) FILTER (WHERE owner <> %(owner)s), 0)::bigint,"
    " coalesce(sum(tokens) FILTER (WHERE owner <> %(owner)s), 0)::bigint,"
    " coalesce(sum(usd) FILTER (WHERE owner <> %(owner)s), 0),"
    " coalesce(sum(calls) FILTER (WHERE owner = %(owner)s), 0)::bigint,"
    " coalesce(sum(tokens) FILTER (WHERE owner = %(owner)s), 0)::bigint,"
    " coalesce(sum(usd) FILTER (WHERE owner = %(owner)s), 0)"
    " FROM stillhouse_budget WHERE account = %(account)s AND day = %(day)s"
)
WRITE = (
    "INSERT INTO stillhouse_budget VALUES (%(account)s, %(owner)s, %(day)s, %(calls)s, %(tokens)s,"
    " %(usd)s) ON CONFLICT (account, day, owner) DO UPDATE SET calls = excluded.calls,"
    " tokens = excluded.tokens, usd = excluded.usd"
)
Connection = psycopg.AsyncConnection[tuple[float, ...]]


class PostgresStore:
    """Owns one connection, opened anew where it was lost."""

    def __init__(self, address: str, variable: str) -> None:
        self._address = address
        self._redactor = Redactor(*database_secrets(address))
        self._variable = variable
        self._connection: Connection | None = None
        self._tables_are_there = False

    async def open(self) -> None:
        """Connect, and make the tables. Errors: `InputError` for an address, login, database or
        right that is wrong; `StoreAway` where the server does not answer.
        """
        try:
            _check(self._address)
            async with self._connected() as connection:
                refuse_other_clock(time.time(), await _clock(connection))
        except ValueError:
            raise self._unreadable() from None
        except psycopg.Error as error:
            raise self._as_ours(error) from None

    async def close(self) -> None:
        """Let go of the connection."""
        connection = self._connection
        self._connection = None
        if connection is not None:
            await connection.close()

    async def exchange(
        self, account: str, owner: str, day: float, decide: Decision
    ) -> tuple[HighWater, HighWater]:
        """As `SharedStore`. Errors: `StoreAway`."""
        try:
            async with self._connected() as connection, connection.transaction():
                await _lock(connection, account)
                refuse_other_zones(account, day, await _days_near(connection, account, day))
                sum_of_others, own = await _held(connection, account, owner, day)
                new_mark = decide(sum_of_others, own)
                if new_mark != own:
                    await _write(connection, account, owner, new_mark)
        except psycopg.Error as error:
            raise StoreAway(self._in_words(error)) from None
        return sum_of_others, new_mark

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[Connection]:
        """The connection, for one exchange; given up after an error, whatever its state."""
        is_well = False
        try:
            async with asyncio.timeout(SECONDS):
                connection = await self._connect()
                yield connection
            is_well = True
        except TimeoutError:
            raise StoreAway(f"the database has not answered for {SECONDS:g} s") from None
        finally:
            if not is_well:
                await self.close()

    async def _connect(self) -> Connection:
        if self._connection is None or self._connection.closed:
            connection = await psycopg.AsyncConnection.connect(
                self._address,
                autocommit=True,
                connect_timeout=CONNECT_SECONDS,
                prepare_threshold=None,  # a pooler in between may change the session
                application_name="stillhouse",
            )
            self._connection = connection
        if not self._tables_are_there:
            await _make_tables(self._connection)
            self._tables_are_there = True
        return self._connection

    def _as_ours(self, error: psycopg.Error) -> InputError | StoreAway:
        state = error.sqlstate or ""
        words = self._in_words(error)
        # A refused login has no SQLSTATE while the connection is being made.
        is_refused = "authentication failed" in words or "does not exist" in words
        if isinstance(error, psycopg.ProgrammingError) and not state:
            return self._unreadable()
        if state.startswith(WRONG_ADDRESS) or is_refused:
            return InputError(f"budget.shared_env: {words}: correct {self._variable}")
        return StoreAway(words)

    def _unreadable(self) -> InputError:
        return InputError(
            f"budget.shared_env: {self._variable} holds an address that cannot be read: write it"
            " like postgresql://user:password@host/name"
        )

    def _in_words(self, error: psycopg.Error) -> str:
        """The error's first line, without a word of the password."""
        line = next(iter(str(error).strip().splitlines()), type(error).__name__)
        return f"the database says: {self._redactor.line(line)}"


def _check(address: str) -> None:
    """Errors: `ValueError`, `psycopg.Error`, for what nobody could connect to."""
    if urlsplit(address).port == 0:
        raise ValueError
    conninfo_to_dict(address)


async def _make_tables(connection: Connection) -> None:
    """Where they are there already, no right to make any is needed."""
    row = await (
        await connection.execute("SELECT to_regclass('stillhouse_budget') IS NOT NULL")
    ).fetchone()
    if row is not None and row[0]:
        return
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", (TABLES_LOCK,))
        for table in TABLES:
            await connection.execute(sql.SQL(table))


async def _lock(connection: Connection, account: str) -> None:
    """Nobody else reads or writes this account until the transaction ends. Whatever the
    database's default, what it commits is on its disk.
    """
    await connection.execute(
        "SELECT set_config('synchronous_commit', 'on', true)"
        " WHERE current_setting('synchronous_commit') = 'off'"
    )
    await connection.execute(
        "INSERT INTO stillhouse_accounts VALUES (%s) ON CONFLICT DO NOTHING", (account,)
    )
    await connection.execute(
        "SELECT account FROM stillhouse_accounts WHERE account = %s FOR UPDATE", (account,)
    )


async def _clock(connection: Connection) -> float:
    cursor = await connection.execute("SELECT extract(epoch FROM clock_timestamp())::float8")
    row = await cursor.fetchone()
    assert row is not None
    return row[0]


async def _days_near(connection: Connection, account: str, day: float) -> list[float]:
    """The beginnings of days within a day of this one, of which somebody holds something."""
    cursor = await connection.execute(
        "SELECT DISTINCT day FROM stillhouse_budget WHERE account = %s AND day > %s AND day < %s",
        (account, max(OF_ALL_DAYS, day - DAY_SECONDS), day + DAY_SECONDS),
    )
    return [row[0] for row in await cursor.fetchall()]


async def _held(
    connection: Connection, account: str, owner: str, day: float
) -> tuple[HighWater, HighWater]:
    of_day = await _sums(connection, account, owner, day)
    of_all_days = await _sums(connection, account, owner, OF_ALL_DAYS)
    sum_of_others = HighWater(day, 0.0, int(of_day[0]), int(of_day[1]), of_day[2], of_all_days[2])
    own = HighWater(day, 0.0, int(of_day[3]), int(of_day[4]), of_day[5], of_all_days[5])
    return sum_of_others, own


async def _sums(connection: Connection, account: str, owner: str, day: float) -> tuple[float, ...]:
    cursor = await connection.execute(READ, {"account": account, "owner": owner, "day": day})
    row = await cursor.fetchone()
    assert row is not None  # sums are always one row
    return row


async def _write(connection: Connection, account: str, owner: str, held: HighWater) -> None:
    values = {"account": account, "owner": owner}
    of_day = {"day": held.day, "calls": held.calls, "tokens": held.tokens, "usd": held.usd}
    of_all_days = {"day": OF_ALL_DAYS, "calls": 0, "tokens": 0, "usd": held.total_usd}
    await connection.execute(WRITE, values | of_day)
    await connection.execute(WRITE, values | of_all_days)
