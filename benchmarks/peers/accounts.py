"""What came of a run: the client's rows beside the provider's books."""

import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields

from benchmarks.peers.worlds import World, reasoning, response


@dataclass(frozen=True, slots=True)
class Measures:
    """A client's process from outside, start-up included."""

    wall_seconds: float
    cpu_seconds: float  # of the process and all that it started
    peak_megabytes: float  # resident, the same processes together
    note: str = ""  # what is to be said of this run


@dataclass(frozen=True, slots=True)
class Account:
    """One client's run of one world.

    Attributes:
        chunks: tokens that the provider sent; one event each where the client streams.
        kept: problems with a whole, right answer among the rows.
        lost: problems without one.
        doubled: rows beyond the first of their problem.
        empty: rows without a response.
        broken: rows with another text than the provider's: torn, cut off.
        wasted: answers paid for beyond the rows kept.
        unavoidable: of those, answers that the provider itself spoilt.
        refused: 429s.
        server_share: of a core that the provider used while it was asked.
        server_busiest: the same of its busiest second.
    """

    wall: float
    cpu: float
    megabytes: float
    chunks: int
    kept: int
    lost: int
    doubled: int
    empty: int
    broken: int
    calls: int
    wasted: int
    unavoidable: int
    refused: int
    peak_in_flight: int
    server_share: float
    server_busiest: float
    note: str = ""

    @property
    def chunks_a_cpu_second(self) -> float:
        return self.chunks / self.cpu if self.cpu else 0.0


def account(
    world: World,
    rows: Iterable[Mapping[str, str]],
    books: Mapping[str, float],
    measures: Measures,
) -> Account:
    """The columns of one run."""
    seen_rows: Counter[str] = Counter()
    good: set[str] = set()
    empty = 0
    broken = 0
    for row in rows:
        identity = str(row["id"])
        seen_rows[identity] += 1
        if not row["response"]:
            empty += 1
        elif is_whole(world, row):
            good.add(identity)
        else:
            broken += 1
    paid = int(books.get("paid", 0))
    spoilt = sum(int(books.get(kind, 0)) for kind in ("torn", "empty", "truncated"))
    seconds = books.get("seconds", 0.0)
    return Account(
        wall=measures.wall_seconds,
        cpu=measures.cpu_seconds,
        megabytes=measures.peak_megabytes,
        chunks=int(books.get("tokens", 0)),
        kept=len(good),
        lost=world.rows - len(good),
        doubled=sum(count - 1 for count in seen_rows.values()),
        empty=empty,
        broken=broken,
        calls=int(books.get("calls", 0)),
        wasted=paid - len(good),
        unavoidable=spoilt,
        refused=int(books.get("429", 0)),
        peak_in_flight=int(books.get("peak_in_flight", 0)),
        server_share=books.get("cpu", 0.0) / seconds if seconds else 0.0,
        server_busiest=books.get("busiest", 0.0),
        note=measures.note,
    )


def is_whole(world: World, row: Mapping[str, str]) -> bool:
    """Whether the row has every character that the provider has for its problem."""
    number = int(row["id"])
    thoughts = reasoning(number, world.tokens_of(number) - 1)
    is_right = row["response"].strip() == response(number)
    return is_right and row["reasoning"].strip() == thoughts.strip()


def median_of(accounts: Sequence[Account]) -> Account:
    """The median of each column; the first note that there is."""
    values: dict[str, object] = {}
    for field in fields(Account):
        if field.name == "note":
            continue
        middle = statistics.median(getattr(one, field.name) for one in accounts)
        values[field.name] = round(middle) if field.type == "int" or field.type is int else middle
    notes = [one.note for one in accounts if one.note]
    return Account(**values, note=notes[0] if notes else "")  # type: ignore[arg-type]
