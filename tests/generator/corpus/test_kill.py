"""`kill -9` at any moment: nothing finished is lost, nothing is asked twice but what was in
flight.
"""

import json
import random
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from generator.corpus import Ledger
from tests.generator.process_runs import (
    LONG,
    configure,
    eventually,
    generator,
    rehearsal,
    rows,
    started,
)

KILLS = 12


def whole_rows(corpus: Path) -> dict[str, str]:
    """Every whole line on disk by its id; a torn tail is what the kill left of a line."""
    lines_by_id: dict[str, str] = {}
    for path in sorted(corpus.glob("*/shard-*")):
        for line in path.read_bytes().split(b"\n")[:-1]:
            row = json.loads(line)
            assert row["id"] not in lines_by_id, f"{row['id']} stands twice"
            lines_by_id[row["id"]] = line.decode()
    return lines_by_id


def test_twelve_kills_lose_nothing_double_nothing_and_cost_only_what_was_in_flight(
    tmp_path: Path,
) -> None:
    draw = random.Random(12)
    corpus = tmp_path / "corpus"
    problems = 300
    rows_before: dict[str, str] = {}
    calls_before: Counter[str] = Counter()
    calls_in_flight = 0
    with rehearsal("--tokens-per-second", "400", "--faults", "wrong=0.1,length=0.05") as teacher:
        config = configure(
            tmp_path, teacher.url, problems__limit=problems, lane__concurrency=40, shards__rows=25
        )
        for kill in range(KILLS):
            calls = teacher.stats()["calls"]
            with started("run", config) as process:
                # Some kills come before the first answer, the others somewhere in the middle of the
                # writing.
                more_calls = draw.randrange(1, problems // KILLS) if kill > 1 else 0
                eventually(
                    lambda least=calls + more_calls: teacher.stats()["calls"] > least,
                    "calls to be made",
                )
                process.send_signal(signal.SIGKILL)
                process.wait(timeout=LONG)
            rows_after = whole_rows(corpus)
            assert rows_before.items() <= rows_after.items(), "a finished row was lost or changed"
            calls_after = _calls_by_sample(corpus)
            calls_of_run = calls_after - calls_before
            assert not calls_of_run.keys() & rows_before.keys(), "a finished sample was asked again"
            assert set(calls_of_run.values()) <= {1}, "a sample was asked twice in one run"
            calls_in_flight += len(calls_of_run.keys() - rows_after.keys())
            rows_before = rows_after
            calls_before = calls_after
        final = generator("run", config)
        assert final.returncode == 0, final.stderr
        calls = teacher.stats()["calls"]
    assert len(whole_rows(corpus)) == len(rows(corpus)) == problems
    assert _calls_by_sample(corpus).total() == problems + calls_in_flight
    assert (
        calls <= problems + calls_in_flight
    )  # what is written down may be killed before it is sent
    assert calls_in_flight < problems  # or the kills came too late to mean anything
    assert rows_before.items() <= whole_rows(corpus).items()
    check_result = generator("check", corpus)
    assert check_result.returncode == 0, check_result.stdout


def _calls_by_sample(corpus: Path) -> Counter[str]:
    """Every call that was about to be sent. Whether the ledger calls one settled says nothing about
    its row: an answer is settled before it is graded and written, and is committed later than that.
    """
    ledger = Ledger(corpus / "ledger.sqlite", read_only=True)
    try:
        return Counter(ledger.calls_by_sample())
    finally:
        ledger.close()


def test_a_torn_line_is_cut_at_the_next_start_and_its_sample_asked_again(tmp_path: Path) -> None:
    with rehearsal("--tokens-per-second", "300") as teacher:
        config = configure(tmp_path, teacher.url, problems__limit=40)
        corpus = tmp_path / "corpus"
        with started("run", config) as process:
            eventually(
                lambda: any(open_.stat().st_size for open_ in corpus.glob("traces/*.open")),
                "some rows",
            )
            process.send_signal(signal.SIGKILL)
            process.wait(timeout=LONG)
        (shard,) = corpus.glob("traces/*.open")
        torn = shard.read_bytes()[:-40]
        shard.write_bytes(torn)
        assert generator("check", corpus).returncode == 1
        assert generator("run", config).returncode == 0
    assert len({row["id"] for row in rows(corpus)}) == len(rows(corpus)) == 40
    sealed_bytes = (corpus / "traces" / "shard-000000.jsonl").read_bytes()
    assert sealed_bytes.startswith(torn[: torn.rfind(b"\n") + 1])
    assert generator("check", corpus).returncode == 0


def test_a_kill_between_sealing_and_noting_it_costs_one_shard_read_again(tmp_path: Path) -> None:
    with rehearsal() as teacher:
        config = configure(tmp_path, teacher.url, problems__limit=10)
        corpus = tmp_path / "corpus"
        assert generator("run", config).returncode == 0
        (corpus / "manifest.json").unlink()
        ledger = Ledger(corpus / "ledger.sqlite")
        assert ledger.forget_shard("traces/shard-000000.jsonl") == 10
        ledger.close()
        assert generator("check", corpus).returncode == 1
        assert generator("run", config).returncode == 0
        assert teacher.stats()["calls"] == 10
    assert generator("check", corpus).returncode == 0


def lose_the_ledger(corpus: Path) -> None:
    for path in corpus.glob("ledger.sqlite*"):
        path.unlink()


def lose_the_write_ahead_log(corpus: Path) -> None:
    for path in corpus.glob("ledger.sqlite-*"):
        path.unlink()


def lose_what_was_not_forced_to_the_disk(corpus: Path) -> None:
    """A power cut: the ledger's last commits and the rows of the open shards were in memory
    only.
    """
    lose_the_ledger(corpus)
    for path in corpus.glob("*/*.open"):
        path.write_bytes(b"")


@pytest.mark.parametrize(
    "lose", [lose_the_ledger, lose_the_write_ahead_log, lose_what_was_not_forced_to_the_disk]
)
def test_a_days_calls_are_not_given_twice_whatever_a_crash_takes(
    tmp_path: Path, lose: Callable[[Path], None]
) -> None:
    with rehearsal("--tokens-per-second", "2000") as teacher:
        config = configure(
            tmp_path, teacher.url, lane__calls_per_day=12, lane__concurrency=3, daemon__wait=False
        )
        for calls in (3, 6):
            with started("run", config) as process:
                eventually(
                    lambda calls=calls: teacher.stats()["calls"] >= calls, "calls to be made"
                )
                process.send_signal(signal.SIGKILL)
                process.wait(timeout=LONG)
            lose(tmp_path / "corpus")
        for _ in range(2):
            final = generator("run", config)
            assert final.returncode == 3, final.stderr
        assert teacher.stats()["calls"] in (
            11,
            12,
        )  # one that was reserved may have been killed before it was sent
    assert generator("check", tmp_path / "corpus").returncode == 0
