"""Batch and live lanes over one corpus, with every fault at a set rate and kill -9."""

from collections import Counter
from pathlib import Path

from generator.corpus import check
from tests.generator.batch.night import Night, paid, run_with_kills
from tests.generator.process_runs import rehearsal, rows

SMALL = Night(problems=300, lines=40, calls_per_day=400, kills=4)


def test_a_night_with_every_fault_and_four_kills_leaves_one_row_a_sample(tmp_path: Path) -> None:
    with rehearsal(*SMALL.teacher_flags()) as teacher:
        config = SMALL.configuration(tmp_path, teacher.url)
        code = run_with_kills(SMALL, config, teacher)
        book = paid(teacher)
    log = (tmp_path / "night.log").read_text()
    assert code == 0, log[-4000:]
    corpus = tmp_path / "corpus"
    ids = Counter(row["id"] for row in rows(corpus))
    assert len(ids) == SMALL.problems
    assert max(ids.values()) == 1
    assert check(corpus).faults == []
    assert book["files_sent_twice"] == 0, book
    assert book["lines_paid"] <= SMALL.calls_per_day
    lanes = Counter(row["lane"] for row in rows(corpus))
    assert set(lanes) == {"files", "live"}
    batch_rows = [row for row in rows(corpus) if row["lane"] == "files"]
    assert all(row["timing"]["first_token_seconds"] is None for row in batch_rows)
    assert not list((corpus / "batches").iterdir())
