"""A corpus in parts: what belongs where, and that whoever reads the corpus reads all parts."""

from pathlib import Path

import pytest

from shared.destinations import check_outside_corpora
from shared.errors import InputError
from shared.parts import check_not_divided, part_folder, part_of, record_parts, recorded_parts
from shared.records import problem_id, read_traces
from shared.shard_writer import ShardWriter
from shared.shards import describe, listed_sha256, sealed_files
from tests.generator.corpora import trace

TEXTS = [f"What is {number} plus 4?" for number in range(40)]


@pytest.fixture
def divided(tmp_path: Path) -> Path:
    """A corpus in three parts of which two are begun."""
    corpus = tmp_path / "corpus"
    record_parts(corpus, 3)
    for part in (0, 2):
        folder = part_folder(corpus, part)
        writer = ShardWriter(folder, "traces", 5, 64)
        for text in TEXTS:
            if part_of(problem_id(text), 3) == part:
                writer.append(trace(text).to_line())
        writer.seal()
    return corpus


def test_a_problem_belongs_to_the_part_that_its_id_names() -> None:
    assert part_of("000000000000000f", 4) == 3
    assert {part_of(problem_id(text), 4) for text in TEXTS} == {0, 1, 2, 3}


def test_whoever_reads_the_corpus_reads_its_parts(divided: Path) -> None:
    texts_of_others = [text for text in TEXTS if part_of(problem_id(text), 3) != 1]
    traces = list(read_traces(divided))
    assert sorted(each.problem for each in traces) == sorted(texts_of_others)
    assert [part_of(each.problem_id, 3) for each in traces] == sorted(
        part_of(each.problem_id, 3) for each in traces
    )


def test_shards_of_parts_are_named_from_the_corpus(divided: Path) -> None:
    (first_shard, second_shard) = sealed_files(divided, "traces")
    assert describe(divided, first_shard).name == "part-0000/traces/shard-000000.jsonl"
    manifest = second_shard.parents[1] / "manifest.json"
    manifest.write_text('{"shards": [{"name": "traces/shard-000000.jsonl", "sha256": "5"}]}')
    assert listed_sha256(divided) == {"part-0002/traces/shard-000000.jsonl": "5"}
    passed_over = {"part-0000/traces/shard-000000.jsonl"}
    assert all(part_of(each.problem_id, 3) == 2 for each in read_traces(divided, passed_over))


def test_a_corpus_is_divided_once_for_all(divided: Path) -> None:
    record_parts(divided, 3)
    assert recorded_parts(divided) == 3
    with pytest.raises(InputError, match="divided into 3 parts: go on with 3"):
        record_parts(divided, 4)
    with pytest.raises(InputError, match="--parts 3"):
        check_not_divided(divided)


def test_a_corpus_of_one_process_is_not_divided_later(tmp_path: Path) -> None:
    (tmp_path / "ledger.sqlite").touch()
    with pytest.raises(InputError, match="filled by one process"):
        record_parts(tmp_path, 4)


def test_a_damaged_number_of_parts_is_named_with_its_remedy(tmp_path: Path) -> None:
    for text in ("{", '{"parts": "4"}', '{"parts": 0}', "[]"):
        (tmp_path / "parts.json").write_text(text)
        with pytest.raises(InputError, match=r"parts\.json"):
            recorded_parts(tmp_path)


def test_nothing_is_written_into_a_corpus_whose_parts_are_not_begun(tmp_path: Path) -> None:
    record_parts(tmp_path / "corpus", 2)
    with pytest.raises(InputError, match="inside the corpus"):
        check_outside_corpora(tmp_path / "corpus" / "deep" / "x.jsonl")


def test_a_path_that_is_no_folder_holds_no_parts(tmp_path: Path) -> None:
    """What is wrong with it is told by whoever makes the corpus there."""
    (tmp_path / "file").touch()
    assert recorded_parts(tmp_path / "file") == 0
    assert recorded_parts(tmp_path / "file" / "corpus") == 0
