"""The ledger: what it knows of samples and calls, what survives a kill, what it says of its own
damage.
"""

import dataclasses
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from generator.corpus.ledger import Ledger
from generator.corpus.ledger_file import checkpoint
from shared.errors import InputError
from shared.records import Trace, Usage
from shared.shards import Position
from tests.generator.traces import trace

AT = Position("traces/shard-000000.jsonl", 0, 10)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    new_ledger = Ledger(tmp_path / "ledger.sqlite")
    yield new_ledger
    new_ledger.close()


def killed(path: Path) -> Ledger:
    """The ledger as another process finds it now, nothing closed."""
    return Ledger(path / "ledger.sqlite", read_only=True)


def test_finished_samples_are_found_by_problem(ledger: Ledger) -> None:
    first_sample = trace("one", 0)
    second_sample = trace("one", 1, verdict="failed")
    other_problem = trace("two", 0)
    assert all(ledger.add_sample(each, AT) for each in (first_sample, second_sample, other_problem))
    assert not ledger.add_sample(first_sample, AT)  # an id is noted once
    finished_samples = ledger.finished([first_sample.problem_id, trace("three", 0).problem_id])
    assert [(each.sample, each.verdict) for each in finished_samples[first_sample.problem_id]] == [
        (0, "correct"),
        (1, "failed"),
    ]
    assert set(finished_samples) == {first_sample.problem_id}


def test_totals_follow_what_is_added_and_forgotten(ledger: Ledger) -> None:
    rejected_position = Position("rejected/shard-000003.jsonl", 0, 10)
    for number in range(3):
        ledger.add_sample(dataclasses.replace(trace("one", number), cost_usd=0.5), AT)
    ledger.add_sample(trace("two", 0, verdict="incorrect"), rejected_position)
    assert [(t.pile, t.verdict, t.samples, t.usd) for t in ledger.totals()] == [
        ("traces", "correct", 3, 1.5),
        ("rejected", "incorrect", 1, 0.0),
    ]
    assert ledger.forget_shard(AT.shard) == 3
    assert [(t.pile, t.samples) for t in ledger.totals()] == [("rejected", 1)]


def test_a_reservation_survives_a_kill_at_once_and_a_sample_with_its_commit(
    tmp_path: Path, ledger: Ledger
) -> None:
    ledger.add_sample(trace("before", 0), AT)
    ledger.reserve_call("lane", "account", "x:0", 1000.0, 500, 0.25)
    after_kill = killed(tmp_path)
    assert after_kill.spent("account", 0) == after_kill.spent(None, 0)
    assert dataclasses.astuple(after_kill.spent("account", 0)) == (1, 500, 0.25)
    ledger.add_sample(trace("after", 0), AT)
    assert trace("after", 0).problem_id not in after_kill.finished([trace("after", 0).problem_id])
    ledger.commit()
    assert trace("after", 0).problem_id in after_kill.finished([trace("after", 0).problem_id])
    after_kill.close()


def test_a_settled_call_counts_what_it_really_cost_and_only_since_its_day(ledger: Ledger) -> None:
    call = ledger.reserve_call("lane", "account", "x:0", 1000.0, 500, 0.25)
    ledger.reserve_call("other", "another", "y:0", 2000.0, 7, 0.0)
    ledger.settle_call(call, "ok", Usage(prompt_tokens=10, completion_tokens=20), 0.01)
    assert dataclasses.astuple(ledger.spent("account", 1000.0)) == (1, 30, 0.01)
    assert dataclasses.astuple(ledger.spent("account", 1000.1)) == (0, 0, 0.0)
    assert ledger.spent(None, 0.0).calls == 2
    assert ledger.outcomes() == {"ok": 1, "unsettled": 1}


def test_a_checkpoint_from_another_thread_moves_the_log_into_the_file(
    tmp_path: Path, ledger: Ledger
) -> None:
    for number in range(50):
        ledger.reserve_call("lane", "account", f"x:{number}", 1.0)
    before = (tmp_path / "ledger.sqlite").stat().st_size
    checkpoint(tmp_path / "ledger.sqlite")
    assert (tmp_path / "ledger.sqlite").stat().st_size >= before
    with sqlite3.connect(f"file:{tmp_path}/ledger.sqlite?immutable=1", uri=True) as alone:
        assert alone.execute("SELECT count(*) FROM calls").fetchone() == (50,)
    alone.close()


def test_a_file_that_is_no_ledger_is_said_to_be_rebuilt(tmp_path: Path) -> None:
    (tmp_path / "ledger.sqlite").write_bytes(b"not a database at all" * 100)
    with pytest.raises(InputError, match="reindex"):
        Ledger(tmp_path / "ledger.sqlite")


def test_a_reader_leaves_no_files_behind(tmp_path: Path) -> None:
    Ledger(tmp_path / "ledger.sqlite").close()
    Ledger(tmp_path / "ledger.sqlite", read_only=True).close()
    assert os.listdir(tmp_path) == ["ledger.sqlite"]


def test_the_latest_samples_come_newest_first_from_both_piles(ledger: Ledger) -> None:
    def at(pile: str, offset: int) -> Position:
        return Position(f"{pile}/shard-000000.jsonl", offset, 10)

    def finished(number: int) -> Trace:
        return dataclasses.replace(
            trace("p", number), finished_at=f"2026-01-01T00:00:0{number}.000+00:00"
        )

    ledger.add_sample(finished(0), at("traces", 0))
    ledger.add_sample(finished(1), at("rejected", 0))
    ledger.add_sample(finished(2), at("traces", 10))
    assert [position for position, _ in ledger.latest(2)] == [at("traces", 10), at("rejected", 0)]
