"""A batch lane against a real server of batches: what it says, what it never does twice."""

import json
import signal
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from generator.__main__ import main
from generator.corpus import check, corpus_status
from shared.errors import InputError
from tests.generator.batch.large_output import large_output
from tests.generator.process_runs import (
    LONG,
    Rehearsal,
    eventually,
    generator,
    rehearsal,
    rows,
    started,
)

QUICK = ("--batch-seconds", "600", "--clock-speed", "2000")


def configure_batches(folder: Path, url: str, batch: str = "", **keys: Any) -> Path:
    """One batch lane, with quick polls; `batch`: more lines of its table."""
    lane = {"name": "files", "mode": "batch", "base_url": url, "model": "rehearsal-r1"}
    settings = {"limit": 20, "wait": False, "sampling": ""} | keys
    lane |= settings.pop("lane", {})
    lane_lines = "\n".join(f"{key} = {json.dumps(value)}" for key, value in lane.items())
    path = folder / "config.toml"
    path.write_text(
        f"""
corpus = "{folder}/corpus"
[problems]
source = "synthetic:arithmetic"
limit = {settings["limit"]}
[sampling]
{settings["sampling"]}
[[lane]]
{lane_lines}
[lane.batch]
poll_seconds = 0.1
gather_seconds = 0.2
{batch}
[daemon]
port = 0
wait = {json.dumps(settings["wait"])}
[grading]
workers = 1
"""
    )
    return path


def stop_after(process: Any, condition: Any, what: str) -> None:
    eventually(condition, what)
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=LONG)


def book(teacher: Rehearsal) -> dict[str, Any]:
    return dict(teacher.stats()["batch"])


def test_rounds_of_until_correct_go_from_file_to_file(tmp_path: Path) -> None:
    with rehearsal(*QUICK, "--faults", "wrong=0.5") as teacher:
        config = configure_batches(
            tmp_path, teacher.url, sampling="until_correct = 1\nmax_samples = 8\nhopeless = 0"
        )
        end = generator("run", config)
        assert end.returncode == 0, end.stderr
        batches = book(teacher)["batches"]
    corpus = tmp_path / "corpus"
    assert batches >= 2
    assert len(rows(corpus, "traces")) >= 19  # a problem in 256 has no right one of eight
    assert check(corpus).faults == []
    assert max(row["sample"] for row in rows(corpus)) >= 1


def test_a_budget_of_lines_is_kept_to_the_line_and_said(tmp_path: Path) -> None:
    with rehearsal(*QUICK) as teacher:
        config = configure_batches(
            tmp_path, teacher.url, "lines = 8", lane={"calls_per_day": 13}, limit=30
        )
        for _ in range(2):
            end = generator("run", config)
            assert end.returncode == 3, end.stderr
            assert "has used 13 of 13 calls today" in end.stderr
        assert book(teacher)["lines_paid"] == 13
    assert len(rows(tmp_path / "corpus")) == 13


def test_a_batch_is_found_again_after_a_kill_and_by_a_ledger_that_was_lost(
    tmp_path: Path,
) -> None:
    with rehearsal("--batch-seconds", "600", "--clock-speed", "300") as teacher:
        config = configure_batches(tmp_path, teacher.url)
        corpus = tmp_path / "corpus"
        with started("run", config) as run:
            stop_after(run, lambda: book(teacher)["batches"] == 1, "a batch")
        status_text = corpus_status(corpus).text()
        assert "batch      batch of 20 at files: " in status_text
        for path in corpus.glob("ledger.sqlite*"):
            path.unlink()
        end = generator("run", config)
        assert end.returncode == 0, end.stderr
        assert "batch found again" in end.stderr
        assert book(teacher)["lines_paid"] == 20
        assert book(teacher)["files_sent_twice"] == 0
    assert len({row["id"] for row in rows(corpus)}) == len(rows(corpus)) == 20


def test_what_may_have_been_sent_is_held_where_nothing_is_listed_and_released_by_hand(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = (*QUICK, "--no-listing", "--batch-faults", "lost_reply=1")
    with rehearsal(*flags) as teacher:
        config = configure_batches(tmp_path, teacher.url)
        corpus = tmp_path / "corpus"
        # Every upload's reply is lost as well: the file that it has is given to it by hand.
        with started("run", config) as run:
            stop_after(run, lambda: book(teacher)["files"] >= 1, "an upload")
        _pretend_it_was_uploaded(corpus, "file-000002")
        end = generator("run", config)
        assert end.returncode == 4, end.stderr
        assert "20 samples may be in batches that their provider does not list" in end.stderr
        assert book(teacher)["batches"] == 0, "it was sent again"
        assert corpus_status(corpus).calls == 20
        assert main(["batches", str(corpus)]) == 0
        listing = capsys.readouterr().out
        assert "held" in listing
        assert main(["batches", str(corpus), "--release", listing.split()[0]]) == 0
        assert "20 samples are asked again by the next run" in capsys.readouterr().out
    with rehearsal(*QUICK) as teacher:
        config = configure_batches(tmp_path, teacher.url)
        assert generator("run", config).returncode == 0
        assert book(teacher)["lines_paid"] == 20
    assert check(corpus).faults == []


def _pretend_it_was_uploaded(corpus: Path, file_id: str) -> None:
    database = sqlite3.connect(corpus / "ledger.sqlite")
    database.execute("UPDATE batches SET state = 'uploaded', file_id = ?", (file_id,))
    database.commit()
    database.close()


@pytest.mark.parametrize(
    ("flags", "batch", "words"),
    [
        (("--no-batches",), "", 'no batch endpoints here? set lane.mode = "stream"'),
        (("--batch-bytes", "900"), "", "set lane.batch.megabytes or lane.batch.lines lower"),
        (("--key", "right"), "", "correct the key"),
    ],
)
def test_a_server_that_takes_no_such_file_is_one_line_and_exit_4(
    tmp_path: Path, flags: tuple[str, ...], batch: str, words: str
) -> None:
    with rehearsal(*QUICK, *flags) as teacher:
        config = configure_batches(tmp_path, teacher.url, batch)
        end = generator("run", config)
    assert end.returncode == 4, end.stderr
    last_line = end.stderr.strip().splitlines()[-1]
    assert last_line.startswith("stopped: no lane can be used: files: ")
    assert words in last_line
    assert rows(tmp_path / "corpus") == []


def test_a_model_without_a_batch_price_is_one_line_before_anything_is_sent(
    tmp_path: Path,
) -> None:
    config = configure_batches(tmp_path, "https://batches.example.com/v1")
    end = generator("run", config)
    assert end.returncode == 2, end.stderr
    assert "lane files: no batch price of rehearsal-r1 is known" in end.stderr
    assert len(end.stderr.strip().splitlines()) == 1
    with pytest.raises(InputError, match="no batch price of rehearsal-r1 is known"):
        main(["plan", str(config)])


def test_output_that_is_named_by_an_address_is_fetched_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with rehearsal(*QUICK, "--output-addresses") as teacher:
        config = configure_batches(tmp_path, teacher.url)
        assert main(["plan", str(config), "--probe"]) == 0
        assert "probe      files: lists its batches; no line was sent" in capsys.readouterr().out
        end = generator("run", config)
        assert end.returncode == 0, end.stderr
    assert len(rows(tmp_path / "corpus")) == 20


def test_a_drained_run_leaves_its_batch_and_a_cancelled_one_keeps_what_was_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Twenty lines in twenty seconds: a signal, then `batches --cancel` when some are done."""
    with rehearsal("--batch-seconds", "600", "--clock-speed", "30") as teacher:
        config = configure_batches(tmp_path, teacher.url)
        corpus = tmp_path / "corpus"
        with started("run", config) as run:
            eventually(lambda: book(teacher)["lines_paid"] >= 2, "some lines")
            run.send_signal(signal.SIGTERM)
            assert run.wait(timeout=LONG) == 0
        assert main(["batches", str(corpus)]) == 0
        name = capsys.readouterr().out.split()[0]
        assert main(["batches", str(corpus), "--cancel", name]) == 0
        eventually(lambda: book(teacher)["files"] >= 2, "its output")
        paid_before = book(teacher)["lines_paid"]
        end = generator("run", config)
        assert end.returncode == 0, end.stderr
        assert f"status=cancelled done={paid_before} failed=0" in end.stderr
        assert book(teacher)["lines_paid"] == 20
    assert 2 <= paid_before < 20
    assert len(rows(corpus)) == 20
    assert check(corpus).faults == []


def test_batch_lanes_of_two_runs_share_an_allowance_to_the_line(tmp_path: Path) -> None:
    with rehearsal(*QUICK) as teacher:
        for name in "ab":
            folder = tmp_path / name
            folder.mkdir()
            config = configure_batches(
                folder, teacher.url, "lines = 7", lane={"calls_per_day": 30, "account": "one"}
            )
            text = config.read_text() + f'[budget]\nshared = "{tmp_path}/shared"\n'
            config.write_text(text)
            end = generator("run", config)
            assert end.returncode == (0 if name == "a" else 3), end.stderr
        assert book(teacher)["lines_paid"] == 30


def test_a_file_that_the_provider_has_let_go_of_is_sent_anew(tmp_path: Path) -> None:
    with rehearsal("--batch-seconds", "600", "--clock-speed", "30") as teacher:
        config = configure_batches(tmp_path, teacher.url)
        with started("run", config) as run:
            stop_after(run, lambda: book(teacher)["batches"] == 1, "a batch")
    _pretend_it_was_uploaded(tmp_path / "corpus", "file-that-is-gone")
    with rehearsal(*QUICK) as teacher:
        config = configure_batches(tmp_path, teacher.url)
        end = generator("run", config)
        assert end.returncode == 0, end.stderr
        assert book(teacher)["lines_paid"] == 20
    assert len(rows(tmp_path / "corpus")) == 20


def test_a_model_that_does_not_think_costs_one_file(tmp_path: Path) -> None:
    with large_output(0) as url:
        config = configure_batches(
            tmp_path, url, "lines = 5\nfiles = 1", lane={"require_reasoning": True}
        )
        end = generator("run", config)
    assert end.returncode == 4, end.stderr
    assert "the model does not think" in end.stderr.strip().splitlines()[-1]
    assert {row["reason"] for row in rows(tmp_path / "corpus")} == {
        "the answer carries no reasoning"
    }
    assert len(rows(tmp_path / "corpus", "rejected")) == 5
