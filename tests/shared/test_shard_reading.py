"""Shards read back: whatever was written stands where it was said to stand, torn anywhere."""

import hashlib
from pathlib import Path

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.errors import InputError
from shared.shard_writer import ShardWriter
from shared.shards import (
    listed_sha256,
    measure,
    open_files,
    read_lines,
    read_rows,
    sealed_files,
    shard_name,
    whole_length,
)

ROWS = st.lists(
    st.dictionaries(st.text(max_size=5), st.text(max_size=20) | st.integers(-9, 9), max_size=3),
    min_size=1,
    max_size=12,
)
IN_ONE_FOLDER = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@IN_ONE_FOLDER
@given(rows=ROWS)
def test_rows_come_back_in_order_with_the_places_that_append_gave(
    tmp_path: Path, rows: list[dict[str, object]]
) -> None:
    corpus = tmp_path / hashlib.sha256(repr(rows).encode()).hexdigest()
    writer = ShardWriter(corpus, "traces", 1000, 1)
    lines = [orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows]
    positions = [writer.append(line) for line in lines]
    writer.close()
    (path,) = open_files(corpus, "traces")
    assert [row for _, row in read_rows(path)] == rows
    numbered = list(read_lines(path))
    assert [offset for _, offset, _ in numbered] == [place.offset for place in positions]
    assert [line for _, _, line in numbered] == lines
    assert [number for number, _, _ in numbered] == list(range(1, len(rows) + 1))
    path.unlink()


@IN_ONE_FOLDER
@given(
    lines=st.lists(st.binary(max_size=30).map(lambda raw: raw.replace(b"\n", b"") + b"\n")),
    cut=st.integers(0, 400),
)
def test_a_shard_cut_anywhere_keeps_its_whole_lines(
    tmp_path: Path, lines: list[bytes], cut: int
) -> None:
    path = tmp_path / "shard"
    path.write_bytes(b"".join(lines)[:cut])
    whole = 0
    for line in lines:
        if whole + len(line) > cut:
            break
        whole += len(line)
    assert whole_length(path) == whole


def test_rows_bytes_and_hash_are_those_of_the_file_over_many_blocks(tmp_path: Path) -> None:
    data = (b"x" * 99 + b"\n") * 30_000
    path = tmp_path / "shard"
    path.write_bytes(data)
    rows, size, digest = measure(path)
    assert (rows, size) == (30_000, 3_000_000)
    assert digest.hexdigest() == hashlib.sha256(data).hexdigest()


def test_shards_are_read_in_the_order_of_their_numbers_and_others_files_left_aside(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "traces"
    folder.mkdir()
    for name in ("shard-000010.jsonl", "shard-000002.jsonl", "shard-000003.jsonl.open", "x.jsonl"):
        (folder / name).write_bytes(b"{}\n")
    assert [path.name for path in sealed_files(tmp_path, "traces")] == [
        "shard-000002.jsonl",
        "shard-000010.jsonl",
    ]
    assert [path.name for path in open_files(tmp_path, "traces")] == ["shard-000003.jsonl.open"]
    assert sealed_files(tmp_path, "rejected") == []
    assert shard_name("rejected", 12) == "rejected/shard-000012.jsonl"


def test_the_manifest_says_what_was_sealed(tmp_path: Path) -> None:
    digest = hashlib.sha256(b"{}\n").hexdigest()
    manifest = {"shards": [{"name": "traces/shard-000000.jsonl", "sha256": digest, "rows": 1}]}
    (tmp_path / "manifest.json").write_bytes(orjson.dumps(manifest))
    assert listed_sha256(tmp_path) == {"traces/shard-000000.jsonl": digest}


@pytest.mark.parametrize(
    "content",
    [None, b"", b'{"shards": [{"na', b"[]", b'{"shards": 3}', b'{"shards": [{"name": "x"}]}'],
)
def test_a_manifest_that_is_not_whole_says_nothing(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "manifest.json").write_bytes(content)
    assert listed_sha256(tmp_path) == {}


def test_a_line_that_is_no_utf_8_is_named_with_its_number(tmp_path: Path) -> None:
    path = tmp_path / "shard-000000.jsonl"
    path.write_bytes(b'{"a": "b"}\n{"a": "\xff"}\n')
    with pytest.raises(InputError, match=r"shard-000000\.jsonl:2: not JSON"):
        list(read_rows(path))
