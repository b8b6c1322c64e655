"""What other programs and people leave in a corpus: none of it stops a run, or ends in a
traceback.
"""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from generator.corpus import check, corpus_status, reindex
from generator.recorded_config import accounts
from shared.errors import Stopped
from shared.records import read_traces
from tests.generator.corpora import trace, write_corpus

TRACES = 5


def folder(path: Path) -> None:
    path.mkdir()
    (path / "inside").write_bytes(b"x")


def link_to_a_folder(path: Path) -> None:
    path.symlink_to("/tmp")


def link_to_itself(path: Path) -> None:
    path.symlink_to(path.name)


def empty_file(path: Path) -> None:
    path.touch()


STRANGERS = [
    "shard-000099.jsonl",
    "shard-000001.jsonl.open",
    "shard-abcdef.jsonl",
    "shard-.jsonl",
    "shard-000002\n.jsonl",
    os.fsdecode(b"shard-\xff\xfe.jsonl"),
    "shard-99999999999999999999.jsonl",
    "-rf.jsonl",
]


@pytest.mark.parametrize("make", [folder, os.mkfifo, link_to_a_folder, link_to_itself])
@pytest.mark.parametrize("name", STRANGERS)
def test_what_only_looks_like_a_shard_is_told_and_read_by_nobody(
    tmp_path: Path, name: str, make: Callable[[Path], None]
) -> None:
    corpus = tmp_path / "corpus"
    write_corpus(corpus, [trace(f"What is {n}?") for n in range(TRACES)])
    reindex(corpus, accounts(corpus))
    make(corpus / "traces" / name)
    report = check(corpus)
    assert [fault for fault in report.faults if "named like a shard, and none" in fault]
    assert report.rows["traces"] == TRACES
    assert len(list(read_traces(corpus))) == TRACES
    assert corpus_status(corpus)
    assert reindex(corpus, accounts(corpus)) == TRACES


@pytest.mark.parametrize("name", ["manifest.json", "config.json", "budgets.json", "ledger.sqlite"])
def test_a_folder_in_the_place_of_a_file_of_ours_is_one_line(tmp_path: Path, name: str) -> None:
    corpus = tmp_path / "corpus"
    write_corpus(corpus, [trace(f"What is {n}?") for n in range(TRACES)])
    reindex(corpus, accounts(corpus))
    (corpus / name).unlink(missing_ok=True)
    (corpus / name).mkdir()
    assert check(corpus).faults or name in ("config.json", "budgets.json")
    accounts(corpus)
    with contextlib.suppress(Stopped):
        corpus_status(corpus)
