"""The finished samples in the ledger: which there are, where they stand, their totals."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from generator.corpus.ledger_file import LedgerFile
from generator.sample_policy import Finished
from shared.records import Trace, trace_id
from shared.shards import PILES, Pile, Position, shard_name, shard_number

INSERT = "INSERT INTO samples VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT DO NOTHING"


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


class SampleTable(LedgerFile):
    """One row a finished sample. Triggers keep the totals."""

    def add_sample(self, trace: Trace, position: Position) -> bool:
        """Note a finished sample (committed with its group). False where this id is known
        already.
        """
        pile, shard = shard_key(position.shard)
        usage = trace.usage
        cursor = self._write(
            INSERT,
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

    def add_samples(self, rows: Iterable[Sequence[object]]) -> None:
        """Note many finished samples, each by the columns of the table (committed with their
        group).
        """
        self._write_many(INSERT, rows)

    def finished(self, problem_ids: Sequence[str]) -> Mapping[str, Sequence[Finished]]:
        """The finished samples of those problems that have any, in order of number. At most
        30,000 ids a call.
        """
        marks = ",".join("?" * len(problem_ids))
        by_problem: dict[str, list[Finished]] = {}
        with self._errors():
            rows = self._db.execute(
                "SELECT problem_id, sample, verdict, finished_at FROM samples "
                f"WHERE problem_id IN ({marks}) ORDER BY 1, 2",
                problem_ids,
            )
            for problem, *fields in rows:
                by_problem.setdefault(problem, []).append(Finished(*fields))
        return by_problem

    def totals(self) -> list[Total]:
        """By pile and verdict, the largest first."""
        with self._errors():
            rows = self._db.execute(
                "SELECT * FROM totals WHERE samples > 0 ORDER BY pile, samples DESC"
            ).fetchall()
        return [Total(PILES[row[0]], *row[1:]) for row in rows]

    def latest(self, count: int) -> list[tuple[Position, str]]:
        """Positions and verdicts of the samples written last, newest first."""
        rows = []
        with self._errors():
            for pile in range(len(PILES)):
                rows += self._db.execute(
                    "SELECT finished_at, pile, shard, offset, length, verdict FROM samples WHERE"
                    " pile = ? ORDER BY pile DESC, shard DESC, offset DESC LIMIT ?",
                    (pile, count),
                ).fetchall()
        newest = sorted(rows, reverse=True)[:count]
        return [
            (Position(shard_name(PILES[pile], shard), offset, length), verdict)
            for _, pile, shard, offset, length, verdict in newest
        ]

    def positions(self, shard: str) -> Iterator[tuple[str, int, Position]]:
        """(problem id, sample, position) of every sample that is noted to stand in a shard, in
        order of position.
        """
        pile, number = shard_key(shard)
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


def shard_key(shard: str) -> tuple[int, int]:
    """("traces/shard-000012.jsonl") -> (0, 12)."""
    pile, _, name = shard.partition("/")
    number = shard_number(name)
    assert number is not None, shard
    return PILES.index(pile), number
