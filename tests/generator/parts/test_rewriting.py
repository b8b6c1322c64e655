"""`regrade` and `flags`: a new corpus, the source untouched, what changed in words."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from generator.__main__ import main
from generator.corpus import reindex
from generator.corpus.ledger import Ledger
from generator.parts.transforms import flag, regrade
from generator.parts.whole import check_whole
from shared.errors import InputError
from shared.folder_lock import holder
from shared.parts import part_folder, part_of, record_parts
from shared.records import Trace, read_traces
from shared.shard_writer import ShardWriter
from shared.shards import PILES, sealed_files
from tests.generator.corpora import trace
from tests.generator.process_runs import eventually, rows, started


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def old_traces(count: int) -> list[Trace]:
    """Of ten each: two that an old grader called wrong, one right, one cut, one failed."""
    traces = []
    for number in range(count):
        keys: dict[str, Any] = {}
        kind = number % 10
        if kind < 2:
            keys = {"verdict": "incorrect", "reason": "an old grader"}
        if kind == 2:
            keys = {"verdict": "correct", "final_answer": "9", "response": "So \\boxed{9}."}
        if kind == 3:
            keys = {"verdict": "truncated", "finish_reason": "length", "final_answer": None}
        if kind == 4:
            keys = {"verdict": "failed", "finish_reason": "stop", "final_answer": None}
        traces.append(trace(f"What is {number} + 4 - {number}?", **keys))
    return traces


def write(folder: Path, traces: Sequence[Trace], shard_rows: int) -> None:
    writers = {pile: ShardWriter(folder, pile, shard_rows, 64) for pile in PILES}
    for each in traces:
        writer = writers["traces" if each.kept else "rejected"]
        writer.append(each.to_line())
        if writer.full:
            writer.seal()
    for writer in writers.values():
        writer.seal()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    corpus = tmp_path / "source"
    write(corpus, old_traces(200), 30)
    reindex(corpus, lambda lane: lane)
    (corpus / "screening").mkdir()
    (corpus / "screening" / "state.json").write_text("{}")
    return corpus


def test_todays_grader_judges_old_answers_into_a_new_corpus(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = digests(source)
    destination = tmp_path / "new"
    assert main(["regrade", str(source), str(destination), "--on", "local:2"]) == 0
    output = capsys.readouterr().out
    assert digests(source) == before
    assert "200 traces, 60 of them changed" in output
    assert "incorrect → correct: 40\n" in output
    assert "correct → incorrect: 20\n" in output
    assert "gold '4', answer '9'" in output
    assert check_whole(destination).faults == []
    kept_ids = {each.id for each in read_traces(destination)}
    assert kept_ids == {each.id for each in map(_todays, old_traces(200)) if each.kept}
    assert {row["id"] for row in rows(destination)} == {row["id"] for row in rows(source)}
    assert (destination / "screening" / "state.json").exists()
    ledger = Ledger(destination / "ledger.sqlite", read_only=True)
    assert ledger.spent(None, 0.0).calls == 200
    ledger.close()
    manifest_before = (destination / "manifest.json").read_bytes()
    reindex(destination, lambda lane: lane)
    assert check_whole(destination).faults == []
    assert (destination / "manifest.json").read_bytes() == manifest_before


def _todays(one: Trace) -> Trace:
    return regrade(one, one.kept, keep_unverifiable=False).trace


@pytest.mark.process
def test_any_number_of_workers_writes_the_same_corpus(source: Path, tmp_path: Path) -> None:
    for workers in (1, 3):
        main(["flags", str(source), str(tmp_path / f"by-{workers}"), "--on", f"local:{workers}"])
    for pile in PILES:
        by_one, by_three = (sealed_files(tmp_path / f"by-{workers}", pile) for workers in (1, 3))
        assert [file.read_bytes() for file in by_one] == [file.read_bytes() for file in by_three]
        assert len(by_one) > 1


def test_flags_are_looked_for_again_and_verdicts_stay(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    traces = [trace("What is 2 + 2?"), trace("What is 3 + 1?", reasoning="Easy: 4.")]
    write(tmp_path / "source", traces, 10)
    main(["flags", str(tmp_path / "source"), str(tmp_path / "new"), "--on", "local:1"])
    assert "none → no thinking: 1" in capsys.readouterr().out
    assert [each.flags for each in read_traces(tmp_path / "new")] == [[], ["no thinking"]]
    assert not flag(trace("Again?", verdict="failed", reasoning="x"), False, False).trace.flags


def test_what_no_grader_judged_stays_as_it_is() -> None:
    cut = trace("What is 2 + 2?", verdict="truncated", finish_reason="length")
    failed_trace = trace("What is 2 + 2?", verdict="failed")
    judged_trace = trace("What is 2 + 2?", answer="5", verdict="correct", checked_by="judge")
    for each in (cut, failed_trace, judged_trace):
        assert regrade(each, True, False).trace == each
    unjudged_trace = trace("What is 2 + 2?", answer="5", verdict="correct", checked_by="exact")
    assert regrade(unjudged_trace, True, False).after == "incorrect"


@pytest.mark.parametrize(
    ("keep", "was_kept", "is_kept"),
    [(False, False, False), (True, False, True), (False, True, True)],
)
def test_an_answer_that_cannot_be_verified_stays_where_the_run_put_it(
    keep: bool, was_kept: bool, is_kept: bool
) -> None:
    unverifiable = trace("What is 2 + 2?", gold=None, verdict="unverifiable")
    assert regrade(unverifiable, was_kept, keep).is_kept == is_kept


def test_a_corpus_in_parts_becomes_one_in_the_same_parts(tmp_path: Path) -> None:
    source = tmp_path / "source"
    record_parts(source, 3)
    for part in (0, 2):
        own = [each for each in old_traces(60) if part_of(each.problem_id, 3) == part]
        write(part_folder(source, part), own, 10)
    before = digests(source)
    main(["regrade", str(source), str(tmp_path / "new"), "--on", "local:2"])
    assert digests(source) == before
    assert check_whole(tmp_path / "new").faults == []
    assert [path.name for path in sorted((tmp_path / "new").glob("part-*"))] == [
        "part-0000",
        "part-0002",
    ]


def test_a_destination_that_would_harm_is_refused(source: Path, tmp_path: Path) -> None:
    for place in (source, source / "new", source / "traces"):
        with pytest.raises(InputError, match="inside the corpus"):
            main(["regrade", str(source), str(place)])
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").touch()
    with pytest.raises(InputError, match="is not empty"):
        main(["regrade", str(source), str(tmp_path / "full")])
    main(["flags", str(source), str(tmp_path / "new"), "--on", "local:1"])
    with pytest.raises(InputError, match="made before, and whole"):
        main(["flags", str(source), str(tmp_path / "new")])


def test_killed_in_the_middle_the_same_command_goes_on(source: Path, tmp_path: Path) -> None:
    write(source, [trace(f"And {number} + 4 - {number}?") for number in range(6000)], 500)
    destination = tmp_path / "new"
    words = ("flags", source, destination, "--on", "local:1")
    with started(*words) as process:
        eventually(lambda: list(destination.glob(".rewrite/*.json")), "a shard that is done")
        process.kill()
    assert not (destination / "ledger.sqlite").exists()
    eventually(lambda: holder(destination) is None, "the lock of the killed one is gone")
    times_before = {path: path.stat().st_mtime_ns for path in destination.glob("*/shard-*.jsonl")}
    with pytest.raises(InputError, match="begun as flags of"):
        main(["regrade", str(source), str(destination)])
    assert main([str(word) for word in words]) == 0
    assert check_whole(destination).faults == []
    assert len(rows(destination)) == 6200
    assert all(path.stat().st_mtime_ns == moment for path, moment in times_before.items())
