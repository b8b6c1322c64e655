"""A write that fails, wherever and however briefly: the run ends with exit 5, nothing hangs, no row
stands twice.

A limit on the size of files, set from outside on the running process, makes the ledger's next
commit fail for real; it is lifted a moment later, as when another program filled the disk and made
room again.
"""

import resource
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from generator.corpus.ledger import Ledger
from generator.corpus.ledger_file import checkpoint
from shared.errors import CannotWrite
from shared.records import Usage
from shared.shards import Position
from tests.generator.process_runs import (
    LONG,
    command,
    configure,
    environment,
    eventually,
    generator,
    rehearsal,
    rows,
    started,
)
from tests.generator.traces import trace

AT = Position("traces/shard-000000.jsonl", 0, 10)
NO_LIMIT = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)


@contextmanager
def full_for_the_ledger(folder: Path, process: int = 0) -> Iterator[None]:
    """No file of this process (0: our own) may be written beyond the middle of the ledger's
    write-ahead log.
    """
    size = (folder / "ledger.sqlite-wal").stat().st_size // 2
    resource.prlimit(process, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    try:
        yield
    finally:
        with suppress(ProcessLookupError):  # it has ended
            resource.prlimit(process, resource.RLIMIT_FSIZE, NO_LIMIT)


def assert_it_ended_in_order(process: "subprocess.Popen[str]") -> None:
    _, log = process.communicate(timeout=LONG)
    assert process.returncode == 5, log
    assert "Traceback" not in log
    assert "Exception in callback" not in log
    assert log.splitlines()[-1].startswith("stopped: ")


def assert_the_next_run_finishes(config: Path, corpus: Path, samples: int) -> None:
    again = generator("run", config)
    assert again.returncode == 0, again.stderr
    assert sorted(row["id"] for row in rows(corpus)) == sorted({row["id"] for row in rows(corpus)})
    assert len(rows(corpus)) == samples
    check_result = generator("check", corpus)
    assert check_result.returncode == 0, check_result.stdout


@pytest.mark.parametrize("seconds", [0.25, 1.0])
def test_a_ledger_that_fails_while_a_timer_lets_calls_in_ends_the_run(
    tmp_path: Path, seconds: float
) -> None:
    corpus = tmp_path / "corpus"
    with rehearsal() as teacher:
        config = configure(
            tmp_path, teacher.url, lane__requests_per_minute=600, shards__rows=2, problems__limit=40
        )
        with started("run", config, measured=False) as process:
            eventually(lambda: len(list(corpus.glob("traces/*.jsonl"))) > 3, "sealed shards")
            with full_for_the_ledger(corpus, process.pid):
                time.sleep(seconds)
            assert_it_ended_in_order(process)
        assert_the_next_run_finishes(config, corpus, 40)


@pytest.mark.parametrize("a_signal_comes", [False, True])
def test_a_ledger_that_another_program_locks_ends_a_paced_run_with_one_line(
    tmp_path: Path, a_signal_comes: bool
) -> None:
    corpus = tmp_path / "corpus"
    with rehearsal() as teacher:
        config = configure(tmp_path, teacher.url, lane__requests_per_minute=600, problems__limit=40)
        with started("run", config) as process:
            eventually(lambda: teacher.stats()["calls"] > 3, "calls")
            other_connection = sqlite3.connect(
                corpus / "ledger.sqlite", isolation_level=None, timeout=10
            )
            other_connection.execute("BEGIN IMMEDIATE")
            if a_signal_comes:
                process.send_signal(signal.SIGTERM)
            _, log = process.communicate(timeout=LONG)
            other_connection.close()
        assert process.returncode == 2, log
        assert "Traceback" not in log
        assert "another program holds this database" in log.splitlines()[-1]
        assert_the_next_run_finishes(config, corpus, 40)


def test_a_ledger_writes_nothing_after_a_write_that_failed(tmp_path: Path) -> None:
    """SQLite rolled the sample back: a shard noted as sealed after that would hide its row for
    ever.
    """
    path = tmp_path / "ledger.sqlite"
    ledger = Ledger(path)
    ledger.add_sample(trace("lost", 0), AT)
    with full_for_the_ledger(tmp_path), pytest.raises(CannotWrite, match=str(path)):
        ledger.reserve_call("lane", "lane", "x:0", 1.0)
    with pytest.raises(CannotWrite):
        ledger.note_sealed(AT.shard)
    with pytest.raises(CannotWrite):
        ledger.settle_call(1, "ok", Usage(), 0.0)
    with pytest.raises(CannotWrite):
        ledger.close()
    ledger = Ledger(path)
    assert ledger.shards() == set()
    assert ledger.totals() == []
    ledger.close()


def test_a_checkpoint_that_cannot_be_written_is_not_kept_quiet(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    for number in range(200):
        ledger.add_sample(trace("one", number), AT)
    ledger.commit()
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, resource.RLIM_INFINITY))
    try:
        with pytest.raises(CannotWrite):
            checkpoint(tmp_path / "ledger.sqlite")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, NO_LIMIT)
    ledger.close()


def test_a_log_on_a_full_disk_is_exit_5_and_no_traceback(tmp_path: Path) -> None:
    with rehearsal() as teacher, Path("/dev/full").open("w") as full:
        config = configure(tmp_path, teacher.url)
        run = subprocess.run(
            command("run", config),
            env=environment(),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=LONG,
            check=False,
        )
    assert run.returncode == 5, run.stderr
    assert "Traceback" not in run.stderr
