"""The calls in the ledger: what was reserved for each, what it really took."""

from collections.abc import Iterable, Sequence

from generator.corpus.ledger_file import LedgerFile
from generator.spending import Spent
from shared.records import Trace, Usage


class CallTable(LedgerFile):
    """One row a call. None is ever taken back."""

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
        where = "at >= ?"
        values: list[object] = [since]
        if account is not None:
            where += " AND account = ?"
            values.append(account)
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

    def add_past_calls(self, trace: Trace, account: str, at: float, noted_calls: int = 0) -> None:
        """A trace's calls for a ledger that lost them: `attempts` less `noted_calls`, with
        the cost on the last.
        """
        tokens = trace.usage.prompt_tokens + trace.usage.completion_tokens
        for number in range(noted_calls, trace.attempts):
            is_last = number == trace.attempts - 1
            self._write(
                "INSERT INTO calls (lane, account, sample_id, at, outcome, tokens, usd) VALUES"
                " (?,?,?,?,'rebuilt',?,?)",
                (
                    trace.lane,
                    account,
                    trace.id,
                    at,
                    tokens if is_last else 0,
                    (trace.cost_usd or 0) if is_last else 0.0,
                ),
            )

    def add_calls(self, rows: Iterable[Sequence[object]]) -> None:
        """Note many past calls, each as (lane, account, sample id, seconds since 1970, outcome,
        tokens, dollars) (committed with their group).
        """
        self._write_many(
            "INSERT INTO calls (lane, account, sample_id, at, outcome, tokens, usd) VALUES"
            " (?,?,?,?,?,?,?)",
            rows,
        )

    def add_lost_calls(self, account: str, at: float, amount: Spent) -> None:
        """Calls that this ledger lost, or never knew, and that count as spent: tokens and
        dollars on the last.
        """
        rows = max(amount.calls, 1)
        for number in range(rows):
            is_last = number == rows - 1
            self._write(
                "INSERT INTO calls (lane, account, sample_id, at, outcome, tokens, usd) VALUES"
                " (?,?,'',?,'lost',?,?)",
                (
                    account,
                    account,
                    at,
                    amount.tokens if is_last else 0,
                    amount.usd if is_last else 0.0,
                ),
            )
        self.commit()
