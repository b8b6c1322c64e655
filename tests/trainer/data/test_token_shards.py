"""Tokens in files: made once, made again where damaged, the same whoever makes them."""

import datetime
import shutil
from pathlib import Path
from typing import Any

import pytest

from shared.rendering import ChatRenderer
from shared.shards import describe, sealed_files
from tests.trainer import tiny_models
from tests.trainer.corpora import trace, write_corpus
from tests.trainer.templates import QWEN
from trainer.data import tokenizing
from trainer.data.examples import Encoder, Example
from trainer.data.token_table import TokenTable
from trainer.data.tokenizing import Progress, token_key, token_shards

TRACES = [trace(i, sample=i % 2) for i in range(30)] + [trace(40, verdict="incorrect")]


@pytest.fixture
def sources(tmp_path: Path) -> list[tuple[Path, str]]:
    """Four sealed shards, each with its SHA-256."""
    corpus = write_corpus(tmp_path / "corpus", TRACES, rows=8)
    paths = sealed_files(corpus, "traces")
    return [(path, describe(corpus, path).sha256) for path in paths]


def made(folder: Path, sources: Any, tokenizer: Any) -> TokenTable:
    shards = token_shards(folder, sources, tokenizer, ChatRenderer.of(tokenizer))
    return TokenTable(shards, [0] * len(shards))


def files(folder: Path) -> dict[str, tuple[int, bytes]]:
    """{name: (time of its making, content)}."""
    paths = folder.rglob("*.tokens")
    return {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in paths}


def test_what_is_read_from_the_files_is_what_the_encoder_makes(
    tmp_path: Path, sources: Any, tokenizer: Any
) -> None:
    table = made(tmp_path / "tokens", sources, tokenizer)
    examples = list(Encoder(tokenizer, ChatRenderer.of(tokenizer), 512).encode(TRACES[:30]))
    assert [table.example(row) for row in range(30)] == examples
    assert all(isinstance(example, Example) for example in examples)
    assert len(table) == 31
    assert table.column("length")[30] == 0  # what is not correct is not tokenized


def test_tokens_are_made_once_and_only_what_is_missing_is_made_later(
    tmp_path: Path, sources: Any, tokenizer: Any
) -> None:
    made(tmp_path / "tokens", sources, tokenizer)
    before = files(tmp_path / "tokens")
    assert len(before) == 4
    missing = next((tmp_path / "tokens").rglob("*.tokens"))
    missing.unlink()  # as if the process had been killed before it
    made(tmp_path / "tokens", sources, tokenizer)
    after = files(tmp_path / "tokens")
    assert {name: content for name, (_, content) in after.items()} == {
        name: content for name, (_, content) in before.items()
    }
    assert {name for name in after if after[name][0] != before[name][0]} == {missing.name}


@pytest.mark.parametrize("damage", ["flipped", "torn", "empty", "another's"])
def test_a_damaged_file_is_made_again(
    tmp_path: Path, sources: Any, tokenizer: Any, damage: str
) -> None:
    made(tmp_path / "tokens", sources, tokenizer)
    before = files(tmp_path / "tokens")
    victim = sorted((tmp_path / "tokens").rglob("*.tokens"))[1]
    content = victim.read_bytes()
    victim.write_bytes(
        {
            "flipped": content[:-50] + bytes([content[-50] ^ 1]) + content[-49:],
            "torn": content[:-100],
            "empty": b"",
            "another's": b"no tokens at all",
        }[damage]
    )
    table = made(tmp_path / "tokens", sources, tokenizer)
    assert [table.texts(row)[0] for row in range(31)] == [trace.id for trace in TRACES]
    assert victim.read_bytes() == content
    assert len(files(tmp_path / "tokens")) == len(before)


def test_the_key_follows_tokenizer_template_and_policy_and_the_day_where_it_is_shown() -> None:
    def key(template: str = QWEN, day: int = 1, system: str | None = None) -> str:
        tokens = tiny_models.tokenizer(template)
        today = datetime.datetime(2026, 11, day)
        return token_key(tokens, ChatRenderer.of(tokens, system, today=today))

    assert key() == key(day=2)
    dated_template = "{{- strftime_now('%d %b %Y') }}" + QWEN
    assert len({key(), key(system=""), key(dated_template), key(dated_template, day=2)}) == 4


@pytest.mark.process
def test_several_processes_make_the_same_files(
    tmp_path: Path, sources: Any, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(tmp_path / "alone", sources, tokenizer)
    monkeypatch.setattr(tokenizing, "BYTES_A_PROCESS", 1000)
    made(tmp_path / "together", sources, tokenizer)
    contents = [
        {name: content for name, (_, content) in files(tmp_path / where).items()}
        for where in ("alone", "together")
    ]
    assert contents[0] == contents[1]


@pytest.mark.process
@pytest.mark.parametrize("bytes_a_process", [1000, 10**9], ids=["several", "one"])
def test_who_waits_for_the_tokens_reads_rows_rate_and_time_left(
    tmp_path: Path,
    sources: Any,
    tokenizer: Any,
    monkeypatch: pytest.MonkeyPatch,
    bytes_a_process: int,
) -> None:
    monkeypatch.setattr(tokenizing, "BYTES_A_PROCESS", bytes_a_process)
    monkeypatch.setattr(tokenizing, "PROGRESS_SECONDS", 0.0)
    lines: list[str] = []
    chat = ChatRenderer.of(tokenizer)
    token_shards(tmp_path / "tokens", sources, tokenizer, chat, say=lines.append)
    counts = [line.split(" rows,")[0] for line in lines]
    assert counts == [
        "tokenizing: 1 of 4 shards, 8",
        "tokenizing: 2 of 4 shards, 16",
        "tokenizing: 3 of 4 shards, 24",
        "tokenizing: 4 of 4 shards, 31",
    ]
    assert lines[-1].endswith("rows/s, left 0 s")


def test_the_time_left_follows_the_bytes_that_are_not_tokens_yet() -> None:
    progress = Progress([100, 300], print)
    progress.add(50)
    assert progress.line(10.0) == "tokenizing: 1 of 2 shards, 50 rows, 5 rows/s, left 30 s"


def test_nothing_is_written_into_the_corpus(tmp_path: Path, sources: Any, tokenizer: Any) -> None:
    before = shutil.copytree(tmp_path / "corpus", tmp_path / "copy")
    made(tmp_path / "tokens", sources, tokenizer)
    now = {path.relative_to(tmp_path / "corpus") for path in (tmp_path / "corpus").rglob("*")}
    assert now == {path.relative_to(before) for path in before.rglob("*")}
