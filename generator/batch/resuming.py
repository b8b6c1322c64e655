"""What earlier runs have sent, or may have sent: taken up before anything is asked."""

from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path

from generator.batch.lane import BatchLane
from generator.batch.requests_file import DRAFT, BatchFiles
from generator.batch.surroundings import Surroundings
from generator.corpus.batch_table import BatchRow
from generator.corpus.ledger import Ledger
from shared.records import Problem

CHUNK = 1000  # samples looked up at once


def take_up(
    lanes: Mapping[str, BatchLane], around: Surroundings, hold: Callable[[Problem], None]
) -> None:
    """Give each lane its batches; `hold` hears of each problem of which one has a sample that is
    not finished. Errors: `CannotWrite`.
    """
    ledger = around.ledger
    _tidy(around.folder, ledger)
    _book_lost_batches(lanes, around)
    for row in reversed(ledger.batches()):  # of two that have a sample, the later one
        lane = lanes.get(row.lane)
        _own(row, around, hold, is_lost=lane is None)
        if lane is None:
            around.tell(
                "batch waits for its lane",
                lane=row.lane,
                batch=row.name,
                why="the configuration has no such batch lane",
            )
        else:
            lane.take_up(row, row.lines - len(ledger.settled_lines(row)))


def _tidy(folder: Path, ledger: Ledger) -> None:
    """Drafts that the ledger knows are batches; the others were never sent."""
    names = ledger.batch_names()
    for draft in folder.glob(f"stillhouse-*{DRAFT}"):
        name = draft.name.removesuffix(DRAFT).replace(".asks.jsonl", ".jsonl")
        if name in names:
            BatchFiles(folder, name).keep()
        else:
            draft.unlink()


def _book_lost_batches(lanes: Mapping[str, BatchLane], around: Surroundings) -> None:
    """Batches whose files are here and that the ledger does not know: it was lost."""
    names = around.ledger.batch_names()
    for path in sorted(around.folder.glob("stillhouse-*.asks.jsonl")):
        name = path.name.replace(".asks.jsonl", ".jsonl")
        if name in names:
            continue
        lane = lanes.get(name.removeprefix("stillhouse-").rpartition("-")[0])
        if lane is not None:
            files = BatchFiles(around.folder, name)
            lane.book_again(name, [batch_line.sample_id for batch_line in files.lines()])
            around.tell("batch booked again", lane=lane.name, batch=name)


def _own(
    row: BatchRow, around: Surroundings, hold: Callable[[Problem], None], is_lost: bool
) -> None:
    every_line = BatchFiles(around.folder, row.name).lines()
    while True:
        lines = list(islice(every_line, CHUNK))
        if not lines:
            return
        finished_samples = around.ledger.finished(list({line.ask.problem.id for line in lines}))
        for line in lines:
            ask = line.ask
            numbers = {sample.sample for sample in finished_samples.get(ask.problem.id, ())}
            if ask.sample in numbers or line.sample_id in around.owners:
                continue
            around.owners[line.sample_id] = row.name
            hold(ask.problem)
            if is_lost:
                around.samples.withhold(ask.problem)
