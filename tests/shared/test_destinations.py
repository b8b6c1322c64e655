"""Destinations that a user names: nothing in a corpus, nothing of somebody else's."""

import os
from pathlib import Path

import pytest

from shared.destinations import check_destination, check_outside_corpora, note_ours
from shared.errors import InputError
from shared.shard_writer import ShardWriter


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    writer = ShardWriter(tmp_path / "corpus", "traces", 10, 1)
    writer.append(b"{}\n")
    writer.seal()
    return tmp_path / "corpus"


@pytest.mark.parametrize(
    "name", ["traces/shard-000000.jsonl", "manifest.json", "new.jsonl", "a/b/c.html", ""]
)
@pytest.mark.parametrize("force", [False, True])
def test_nothing_is_written_into_a_corpus(corpus: Path, name: str, force: bool) -> None:
    with pytest.raises(InputError, match=r"inside the corpus .*: choose a place outside"):
        check_destination(corpus / name, force)


def test_a_corpus_is_seen_through_links_and_relative_paths(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "folder").symlink_to(corpus / "traces")
    (tmp_path / "file.jsonl").symlink_to(corpus / "traces/shard-000000.jsonl")
    (tmp_path / "dangling.jsonl").symlink_to(corpus / "not-there.jsonl")
    monkeypatch.chdir(corpus / "traces")
    for path in (
        "../../folder/x.jsonl",
        "../../file.jsonl",
        "../../dangling.jsonl",
        "../x.jsonl",
        "x.jsonl",
        ".",
    ):
        with pytest.raises(InputError, match="inside the corpus"):
            check_destination(Path(path))
    with pytest.raises(InputError, match="inside the corpus"):
        check_outside_corpora(Path("deep/er"))


def test_a_file_of_ours_is_replaced_and_anything_else_is_not(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    check_destination(path)
    path.write_text("ours")
    with pytest.raises(InputError, match="choose another name, or add --force"):
        check_destination(path)
    check_destination(path, force=True)
    note_ours(path)
    check_destination(path)
    path.write_text("edited since")
    with pytest.raises(InputError, match="not as this program wrote it"):
        check_destination(path)


def test_a_folder_and_a_pipe_are_no_files_to_replace(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jsonl")
    (tmp_path / "folder.html").mkdir()
    for name in ("pipe.jsonl", "folder.html"):
        with pytest.raises(InputError, match="name"):
            check_destination(tmp_path / name)
