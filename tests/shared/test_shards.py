"""Shards on a real disk: whole lines, sealing, torn tails, small files replaced whole."""

import hashlib
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from shared.errors import CannotWrite, InputError
from shared.file_writing import write_atomically
from shared.shard_writer import ShardWriter
from shared.shards import (
    describe,
    open_files,
    read_rows,
    sealed_files,
    strangers,
    whole_length,
)
from tests.generator.process_runs import environment

LINES = [b'{"n": %d}\n' % n for n in range(7)]


def test_lines_stand_where_append_says(tmp_path: Path) -> None:
    writer = ShardWriter(tmp_path, "traces", 100, 1)
    positions = [writer.append(line) for line in LINES]
    writer.close()
    (path,) = open_files(tmp_path, "traces")
    data = path.read_bytes()
    assert [data[at.offset : at.offset + at.length] for at in positions] == LINES
    assert {at.shard for at in positions} == {"traces/shard-000000.jsonl"}


def test_sealing_gives_the_file_its_final_name_and_the_manifest_its_entry(tmp_path: Path) -> None:
    writer = ShardWriter(tmp_path, "rejected", 3, 1)
    for line in LINES[:3]:
        assert not writer.full
        writer.append(line)
    assert writer.full
    entry = writer.seal()
    assert entry is not None
    assert entry == describe(tmp_path, tmp_path / entry.name)
    assert (entry.name, entry.rows) == ("rejected/shard-000000.jsonl", 3)
    assert entry.sha256 == hashlib.sha256(b"".join(LINES[:3])).hexdigest()
    assert writer.append(LINES[3]).shard == "rejected/shard-000001.jsonl"
    writer.close()


def test_a_shard_is_full_by_size_as_well(tmp_path: Path) -> None:
    writer = ShardWriter(tmp_path, "traces", 1000, 1)
    writer.append(b'"' + b"x" * 1_000_000 + b'"\n')
    assert writer.full
    writer.close()


def test_a_torn_tail_is_cut_when_the_shard_is_opened_again_and_its_hash_goes_on(
    tmp_path: Path,
) -> None:
    writer = ShardWriter(tmp_path, "traces", 100, 1)
    for line in LINES[:4]:
        writer.append(line)
    writer.close()
    (path,) = open_files(tmp_path, "traces")
    path.write_bytes(path.read_bytes() + b'{"torn": "by a kil')
    again = ShardWriter(tmp_path, "traces", 100, 1)
    again.append(LINES[4])
    entry = again.seal()
    assert entry is not None
    assert entry == describe(tmp_path, tmp_path / entry.name)
    assert (tmp_path / entry.name).read_bytes() == b"".join(LINES[:5])


@pytest.mark.parametrize("tail", [b"", b"x" * 200_000])
def test_the_end_of_the_last_whole_line_is_found_behind_a_tail_of_any_length(
    tmp_path: Path, tail: bytes
) -> None:
    path = tmp_path / "shard"
    path.write_bytes(b"".join(LINES) + tail)
    assert whole_length(path) == len(b"".join(LINES))
    path.write_bytes(tail)
    assert whole_length(path) == 0


def test_a_shard_of_no_rows_is_not_sealed(tmp_path: Path) -> None:
    (tmp_path / "traces").mkdir()
    (tmp_path / "traces" / "shard-000000.jsonl.open").write_bytes(b"only a torn line")
    assert ShardWriter(tmp_path, "traces", 10, 1).seal() is None
    assert os.listdir(tmp_path / "traces") == []


def test_a_torn_or_foreign_line_is_named_with_its_file_and_number(tmp_path: Path) -> None:
    path = tmp_path / "shard-000000.jsonl"
    path.write_bytes(b'{"n": 1}\n[1]\n')
    with pytest.raises(InputError, match=r"shard-000000\.jsonl:2: a JSON list"):
        list(read_rows(path))
    path.write_bytes(b'{"n": 1}\n{"n"')
    with pytest.raises(InputError, match=r"shard-000000\.jsonl:2: not JSON"):
        list(read_rows(path))


def test_a_shard_that_cannot_be_read_is_named_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "traces").mkdir()
    # A file whose reading fails, for root too: the process's memory at address 0.
    (tmp_path / "traces/shard-000000.jsonl").symlink_to("/proc/self/mem")
    (unreadable,) = sealed_files(tmp_path, "traces")
    for reader in (lambda: list(read_rows(unreadable)), lambda: describe(tmp_path, unreadable)):
        with pytest.raises(
            InputError, match=r"shard-000000.jsonl: Input/output error: .*take it away"
        ):
            reader()


def test_what_is_no_file_of_ours_is_no_shard_whatever_its_name(tmp_path: Path) -> None:
    pile = tmp_path / "traces"
    (pile / "shard-000007.jsonl").mkdir(parents=True)
    os.mkfifo(pile / "shard-000001.jsonl")
    (pile / "shard-000002.jsonl").symlink_to("nowhere")
    odd_names = ["shard-.jsonl", "shard-abcdef.jsonl", "shard-000003\n.jsonl", "shard-3.jsonl"]
    for name in [*odd_names, "shard-0000003.jsonl", "shard-000003.jsonl~", "shard-000003.jsonl\n"]:
        (pile / name).write_bytes(b"{}\n")
    (pile / os.fsdecode(b"shard-\xff00003.jsonl")).write_bytes(b"{}\n")
    (pile / "shard-99999999999999999999.jsonl").write_bytes(b"{}\n")
    (pile / "shard-000010.jsonl").write_bytes(b'{"n": 1}\n')
    (pile / "shard-1000000.jsonl").write_bytes(b'{"n": 2}\n')
    assert [path.name for path in sealed_files(tmp_path, "traces")] == [
        "shard-000010.jsonl",
        "shard-1000000.jsonl",
    ]
    assert open_files(tmp_path, "traces") == []
    strange_names = {path.name for path in strangers(tmp_path, "traces")}
    assert {*odd_names, "shard-000007.jsonl", "shard-000001.jsonl"} < strange_names
    assert "shard-000003.jsonl~" not in strange_names  # no reader of *.jsonl takes it


def test_a_new_shard_takes_the_place_of_nothing_that_stands_there(tmp_path: Path) -> None:
    (tmp_path / "traces/shard-000004.jsonl").mkdir(parents=True)
    writer = ShardWriter(tmp_path, "traces", 10, 1)
    assert writer.append(b'{"n": 1}\n').shard == "traces/shard-000005.jsonl"
    sealed_shard = writer.seal()
    assert sealed_shard is not None
    assert sealed_shard.name == "traces/shard-000005.jsonl"


def test_a_corpus_that_was_moved_away_before_a_shard_is_begun_is_named_with_the_remedy(
    tmp_path: Path,
) -> None:
    corpus = tmp_path / "corpus"
    writer = ShardWriter(corpus, "traces", 10, 1)
    corpus.rename(tmp_path / "elsewhere")
    with pytest.raises(CannotWrite, match="traces: No such file or directory: correct the path"):
        writer.append(LINES[0])
    (tmp_path / "elsewhere").rename(corpus)
    assert writer.append(LINES[0]).shard == "traces/shard-000000.jsonl"
    writer.close()


def test_a_folder_that_is_no_corpus_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere"):
        sealed_files(tmp_path / "nowhere", "traces")


def test_a_small_file_is_replaced_whole_and_a_failed_replacement_leaves_the_old_one(
    tmp_path: Path,
) -> None:
    path = tmp_path / "manifest.json"
    write_atomically(path, b"old")
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    with pytest.raises(CannotWrite):
        write_atomically(tmp_path / "no folder" / "manifest.json", b"x")
    assert os.listdir(tmp_path) == ["manifest.json"]


def test_a_write_that_does_not_fit_leaves_whole_lines_and_the_writer_goes_on_when_there_is_room(
    tmp_path: Path,
) -> None:
    script = f"""
import resource, sys
from pathlib import Path
from shared.errors import CannotWrite
from shared.shard_writer import ShardWriter
writer = ShardWriter(Path({str(tmp_path)!r}), "traces", 100, 1)
writer.append(b"1" * 600 + b"\\n")
try:
    writer.append(b"2" * 600 + b"\\n")
except CannotWrite as error:
    assert "free some space" in str(error), error
else:
    sys.exit("it fitted")
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
writer.append(b"3" * 600 + b"\\n")
print(writer.seal().rows)
"""
    process = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=False,
        env=environment(measured=False),
        cwd=Path(__file__).parents[2],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 5000)),
    )
    assert process.stdout == "2\n", process.stderr
    assert (
        tmp_path / "traces" / "shard-000000.jsonl"
    ).read_bytes() == b"1" * 600 + b"\n" + b"3" * 600 + b"\n"
