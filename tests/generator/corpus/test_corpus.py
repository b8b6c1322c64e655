"""The corpus: what is added stands in shards and ledger, and the two are brought together again
after any accident.
"""

import asyncio
import dataclasses
import json
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import pytest

from generator.corpus import Ledger, check, holder, open_corpus, reindex
from generator.corpus.status import corpus_status
from shared.errors import CannotWrite, InputError
from shared.records import Trace, read_traces
from tests.generator.process_runs import ROOT, manifest, rows
from tests.generator.traces import trace


def fill(
    path: Path,
    traces: Iterable[Trace],
    seal: bool = True,
    rows_a_shard: int = 3,
    secrets: Iterable[str] = (),
) -> None:
    """Add traces the way a run does: correct ones kept, others rejected."""

    async def work() -> None:
        corpus = open_corpus(path, rows_a_shard, 64, secrets)
        async with asyncio.TaskGroup() as group:
            group.create_task(corpus.keep_writing())
            async with asyncio.TaskGroup() as workers:
                for each_trace in traces:
                    workers.create_task(corpus.add(each_trace, each_trace.kept))
            corpus.stop_writing()
        await corpus.close(seal)

    asyncio.run(work())


def some(count: int) -> list[Trace]:
    return [
        trace(f"problem {n}", verdict="incorrect" if n % 4 == 3 else "correct")
        for n in range(count)
    ]


def test_what_is_added_stands_in_its_pile_sealed_listed_and_noted(tmp_path: Path) -> None:
    fill(tmp_path, some(10))
    assert {row["id"] for row in rows(tmp_path, "traces")} == {
        each_trace.id for each_trace in some(10) if each_trace.kept
    }
    assert {row["id"] for row in rows(tmp_path, "rejected")} == {
        each_trace.id for each_trace in some(10) if not each_trace.kept
    }
    assert [(s["name"], s["rows"]) for s in manifest(tmp_path)["shards"]] == [
        ("traces/shard-000000.jsonl", 3),
        ("traces/shard-000001.jsonl", 3),
        ("traces/shard-000002.jsonl", 2),
        ("rejected/shard-000000.jsonl", 2),
    ]
    assert manifest(tmp_path)["totals"]["traces"]["rows"] == 8
    assert check(tmp_path).faults == []
    assert "10 finished: 8 kept, 2 rejected" in corpus_status(tmp_path).text()


def test_a_key_that_a_provider_says_anywhere_stands_in_no_file(tmp_path: Path) -> None:
    key = 'sk-"5f2c9e81'
    provider_texts = {
        "reasoning": f"It is {key}.",
        "response": f"{key}\n",
        "finish_reason": key,
        "model_returned": f"m {key}",
    }
    fill(tmp_path, [dataclasses.replace(trace("one"), **provider_texts)], secrets=[key])
    (row,) = rows(tmp_path)
    assert [row[name] for name in provider_texts] == ["It is [key].", "[key]\n", "[key]", "m [key]"]
    files = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert not [
        text for text in files if key.encode() in text or json.dumps(key)[1:-1].encode() in text
    ]


@pytest.mark.parametrize("stand_in", ["1", "null", "EMPTY", "sample", "reasoning"])
def test_a_word_that_stands_in_for_a_key_leaves_the_rows_whole(
    tmp_path: Path, stand_in: str
) -> None:
    original = trace("one", reasoning="Not 1 but EMPTY.")
    fill(tmp_path, [original], secrets=[stand_in])
    assert rows(tmp_path) == [json.loads(original.to_line())]
    assert check(tmp_path).faults == []


@pytest.mark.slow
def test_the_corpus_is_read_by_datasets_without_code_of_ours(tmp_path: Path) -> None:
    from datasets import load_dataset

    fill(tmp_path / "corpus", some(10))
    cache = {"cache_dir": str(tmp_path / "cache")}
    data_set = load_dataset(
        "json", data_files=str(tmp_path / "corpus" / "traces" / "*.jsonl"), **cache
    )["train"]
    assert sorted(data_set["id"]) == sorted(
        each_trace.id for each_trace in some(10) if each_trace.kept
    )


def test_datasets_takes_shards_whose_first_rows_have_no_flags_and_no_cost(tmp_path: Path) -> None:
    from datasets import load_dataset

    plain_traces = [dataclasses.replace(each_trace, cost_usd=0.0) for each_trace in some(3)]
    flagged_traces = [
        dataclasses.replace(trace(f"q {n}"), flags=["loop", "no thinking"], cost_usd=0.5)
        for n in range(3)
    ]
    fill(tmp_path / "corpus", plain_traces)
    fill(tmp_path / "corpus", flagged_traces)
    files = str(tmp_path / "corpus" / "traces" / "*.jsonl")
    data_set = load_dataset("json", data_files=files, cache_dir=str(tmp_path / "cache"))["train"]
    assert data_set["flags"] == [""] * 3 + ["loop, no thinking"] * 3
    assert [each_trace.flags for each_trace in read_traces(tmp_path / "corpus")][3:] == [
        ["loop", "no thinking"]
    ] * 3


def test_a_shard_that_a_kill_left_full_and_open_gets_no_row_more(tmp_path: Path) -> None:
    fill(tmp_path, some(3), seal=False, rows_a_shard=100)
    fill(tmp_path, some(7)[4:], rows_a_shard=3)
    assert [shard["rows"] for shard in manifest(tmp_path)["shards"]] == [3, 3]
    assert check(tmp_path).faults == []


@pytest.mark.parametrize("lost", ["ledger.sqlite", "manifest.json", "both"])
def test_a_lost_ledger_or_manifest_is_made_again_from_the_shards(tmp_path: Path, lost: str) -> None:
    fill(tmp_path, some(10), seal=False)
    for name in ("ledger.sqlite", "manifest.json") if lost == "both" else (lost,):
        (tmp_path / name).unlink()
    assert check(tmp_path).faults
    fill(tmp_path, [])
    assert check(tmp_path).faults == []
    ledger = Ledger(tmp_path / "ledger.sqlite", read_only=True)
    assert sum(total.samples for total in ledger.totals()) == 10
    ledger.close()


def test_reindex_rebuilds_samples_and_calls_of_a_damaged_ledger_and_keeps_the_old_file(
    tmp_path: Path,
) -> None:
    fill(tmp_path, some(10))
    (tmp_path / "ledger.sqlite").write_bytes(b"damaged" * 1000)
    with pytest.raises(InputError, match="reindex"):
        fill(tmp_path, [])
    assert reindex(tmp_path, lambda lane: f"account of {lane}") == 10
    assert (tmp_path / "ledger.sqlite.damaged").exists()
    ledger = Ledger(tmp_path / "ledger.sqlite", read_only=True)
    assert ledger.spent("account of lane", 0.0).calls == 10
    ledger.close()
    assert check(tmp_path).faults == []


def test_reindex_of_a_sound_ledger_keeps_the_calls_that_were_really_made(tmp_path: Path) -> None:
    fill(tmp_path, some(4))
    ledger = Ledger(tmp_path / "ledger.sqlite")
    ledger.reserve_call("lane", "lane", "x:0", 1.0, 100)
    ledger.close()
    assert reindex(tmp_path, lambda lane: lane) == 4
    ledger = Ledger(tmp_path / "ledger.sqlite", read_only=True)
    assert ledger.spent("lane", 0.0).calls == 1
    ledger.close()


def test_rows_that_a_power_cut_took_are_forgotten_and_asked_again(tmp_path: Path) -> None:
    fill(tmp_path, some(3), seal=False, rows_a_shard=100)
    (shard,) = tmp_path.glob("traces/*.open")
    lines = shard.read_bytes().splitlines(keepends=True)
    shard.write_bytes(b"".join(lines[:1]))
    ledger = Ledger(tmp_path / "ledger.sqlite")
    ledger.note("place", "where all before is finished")
    ledger.close()
    fill(tmp_path, [])
    ledger = Ledger(tmp_path / "ledger.sqlite", read_only=True)
    assert ledger.noted("place") == ""
    assert sum(total.samples for total in ledger.totals()) == 1
    ledger.close()
    assert check(tmp_path).faults == []


def damage_a_row(path: Path) -> None:
    data = path.read_bytes().replace(b"Okay.", b"Nope.", 1)
    path.write_bytes(data)


def double_a_row(path: Path) -> None:
    path.write_bytes(path.read_bytes() + path.read_bytes().splitlines(keepends=True)[0])


def tear_the_last_row(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


def lose_the_file(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize(
    ("accident", "message"),
    [
        (damage_a_row, "sha256"),
        (double_a_row, "stands in traces/shard-000000.jsonl as well"),
        (tear_the_last_row, "torn line"),
        (lose_the_file, "no such file"),
    ],
)
def test_check_names_what_happened_to_a_sealed_shard(
    tmp_path: Path, accident: object, message: str
) -> None:
    fill(tmp_path, some(10))
    assert callable(accident)
    accident(tmp_path / "traces" / "shard-000000.jsonl")
    faults = check(tmp_path).faults
    assert any(message in fault and "shard-000000.jsonl" in fault for fault in faults), faults


def test_check_finds_a_wrong_answer_among_the_kept_and_an_id_that_does_not_belong(
    tmp_path: Path,
) -> None:
    wrong = trace("wrong", verdict="incorrect")

    async def work() -> None:
        corpus = open_corpus(tmp_path, 10, 1)
        async with asyncio.TaskGroup() as group:
            group.create_task(corpus.keep_writing())
            await corpus.add(wrong, is_kept=True)
            corpus.stop_writing()
        await corpus.close(seal=True)

    asyncio.run(work())
    assert any("'incorrect' among the kept" in fault for fault in check(tmp_path).faults)


def test_a_secret_in_any_text_reaches_no_shard(tmp_path: Path) -> None:
    async def work() -> None:
        corpus = open_corpus(tmp_path, 10, 1, secrets=['s"cret'])
        async with asyncio.TaskGroup() as group:
            group.create_task(corpus.keep_writing())
            await corpus.add(trace("p", reasoning='I know s"cret.'), is_kept=True)
            corpus.stop_writing()
        await corpus.close(seal=True)

    asyncio.run(work())
    assert [row["reasoning"] for row in rows(tmp_path)] == ["I know [key]."]


def test_the_lock_dies_with_its_holder(tmp_path: Path) -> None:
    script = f"""
import os, signal
from pathlib import Path
from generator.corpus import open_corpus
corpus = open_corpus(Path({str(tmp_path)!r}), 10, 1)
print(os.getpid(), flush=True)
os.kill(os.getpid(), signal.SIGSTOP)
"""
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        assert holder(tmp_path) == pid
        with pytest.raises(InputError, match=f"held by process {pid}"):
            open_corpus(tmp_path, 10, 1)
        process.kill()
    assert holder(tmp_path) is None
    fill(tmp_path, some(1))


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_without_permission_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(CannotWrite, match="locked"):
        open_corpus(tmp_path / "locked" / "corpus", 10, 1)


def test_the_latest_traces_are_read_from_open_and_sealed_shards(tmp_path: Path) -> None:
    async def work() -> list[str]:
        corpus = open_corpus(tmp_path, 2, 1)
        async with asyncio.TaskGroup() as group:
            group.create_task(corpus.keep_writing())
            for each_trace in some(3):
                await corpus.add(each_trace, each_trace.kept)
            corpus.stop_writing()
        latest_ids = [each_trace.id for each_trace in corpus.latest_traces(10)]
        await corpus.close(seal=True)
        return latest_ids

    assert sorted(asyncio.run(work())) == sorted(each_trace.id for each_trace in some(3))
    assert json.loads((tmp_path / "manifest.json").read_text())["schema"] == 1


def forget_a_row(corpus: Path) -> None:
    """What was left when SQLite rolled a sample back and the shard was noted as sealed all the
    same.
    """
    with closing(sqlite3.connect(corpus / "ledger.sqlite")) as db:
        db.execute(
            "DELETE FROM samples WHERE (pile, shard, offset) IN (SELECT 0, 0, max(offset) FROM"
            " samples WHERE pile = 0 AND shard = 0)"
        )
        db.commit()


def test_a_row_that_the_ledger_lost_is_noted_again_although_its_shard_is_noted_as_sealed(
    tmp_path: Path,
) -> None:
    fill(tmp_path, some(10))
    forget_a_row(tmp_path)
    assert any("is not in the ledger" in fault for fault in check(tmp_path).faults)
    fill(tmp_path, [])
    assert check(tmp_path).faults == []
    ledger = Ledger(tmp_path / "ledger.sqlite", read_only=True)
    assert sum(total.samples for total in ledger.totals()) == 10
    ledger.close()


def test_an_older_copy_of_the_ledger_gets_the_calls_that_it_does_not_know(tmp_path: Path) -> None:
    def with_a_call(each_trace: Trace) -> Trace:
        return dataclasses.replace(each_trace, attempts=2, cost_usd=0.5)

    first_traces = [with_a_call(each_trace) for each_trace in some(4)]
    later_traces = [with_a_call(each_trace) for each_trace in some(9)[4:]]
    fill(tmp_path, first_traces)
    ledger = Ledger(tmp_path / "ledger.sqlite")
    for each_trace in first_traces:
        for _ in range(each_trace.attempts):
            ledger.reserve_call(each_trace.lane, each_trace.lane, each_trace.id, 1.0)
    ledger.close()
    old = (tmp_path / "ledger.sqlite").read_bytes()
    fill(tmp_path, later_traces)
    (tmp_path / "ledger.sqlite").write_bytes(old)
    fill(tmp_path, [])
    ledger = Ledger(tmp_path / "ledger.sqlite", read_only=True)
    assert ledger.outcomes() == {"rebuilt": 10, "unsettled": 8}
    assert ledger.spent(None, 0.0).usd == pytest.approx(2.5)
    ledger.close()


def test_a_reader_waits_for_the_tables_of_a_run_that_is_starting(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(b"")
    starting_run = threading.Timer(0.2, lambda: Ledger(path).close())
    starting_run.start()
    ledger = Ledger(path, read_only=True)
    assert ledger.outcomes() == {}
    ledger.close()
    starting_run.join()


@pytest.mark.slow
def test_a_ledger_that_never_got_its_tables_is_told_in_one_line(tmp_path: Path) -> None:
    fill(tmp_path, some(3))
    (tmp_path / "ledger.sqlite").write_bytes(b"")
    assert any("has no tables yet" in fault for fault in check(tmp_path).faults)
    with pytest.raises(InputError, match="reindex"):
        corpus_status(tmp_path)
    fill(tmp_path, [])
    assert check(tmp_path).faults == []
