"""ModelScope through its real client, against a local server that speaks its protocol."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.benchmarks.opening import BenchmarkSources, open_benchmark
from shared.errors import InputError
from shared.hubs import modelscope as hub
from tests.modelscope_server import TOKEN, ModelScopeServer, modelscope

CARD = """---
configs:
- config_name: clean
  data_files:
  - split: train
    path: data/mathr_*.jsonl
---
# MathR
"""


def lines(*rows: dict[str, str]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ModelScopeServer]:
    repositories = {
        "datasets/AI-ModelScope/gsm8k": {
            "README.md": b"# GSM8K",
            "main/train.jsonl": lines({"question": "1+1?", "answer": "#### 2"}),
            "main/test.jsonl": lines({"question": "2+2?", "answer": "#### 4"}),
            "socratic/test.jsonl": lines({"question": "3+3?", "answer": "#### 6"}),
        },
        "datasets/modelscope/MathR": {
            "README.md": CARD.encode(),
            "data/mathr_a.jsonl": lines({"problem": "4+4?", "answer": "8"}),
            "data/mathr_b.jsonl": lines({"problem": "5+5?", "answer": "10"}),
            "data/raw.jsonl": lines({"problem": "6+6?", "answer": "12"}),
        },
        "models/Qwen/tiny": {
            "config.json": b"{}",
            "model.safetensors": b"weights",
            "pytorch_model.bin": b"a pickle",
        },
    }
    monkeypatch.setenv("MODELSCOPE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("MODELSCOPE_HOME", str(tmp_path / "home"))
    for name in (hub.HUB, *hub.TOKENS):
        monkeypatch.delenv(name, raising=False)
    hub._fetched.cache_clear()
    with modelscope(repositories) as server:
        monkeypatch.setenv("MODELSCOPE_ENDPOINT", server.url)
        yield server
    hub._fetched.cache_clear()


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_name_is_modelscopes_by_its_prefix_or_by_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert hub.modelscope_name("modelscope:Qwen/tiny") == "Qwen/tiny"
    assert hub.modelscope_name("Qwen/tiny") == ""
    monkeypatch.setenv("HUB", "modelscope")
    assert hub.modelscope_name("Qwen/tiny") == "Qwen/tiny"
    assert hub.modelscope_name(str(tmp_path)) == ""
    assert hub.modelscope_name("problems.jsonl") == ""
    monkeypatch.setenv("HUB", "modelscop")
    with pytest.raises(InputError, match="set it to modelscope or huggingface"):
        hub.modelscope_name("Qwen/tiny")


def test_a_model_is_fetched_once_and_without_pickles(server: ModelScopeServer) -> None:
    folder = Path(hub.model_folder("modelscope:Qwen/tiny"))
    assert names(folder) == ["config.json", "model.safetensors"]
    requests = len(server.requests)
    assert hub.model_folder("modelscope:Qwen/tiny") == folder
    assert len(server.requests) == requests
    assert hub.model_folder("Qwen/tiny") == "Qwen/tiny"  # another hub's


def test_a_subset_is_its_folder_or_what_the_card_lists(server: ModelScopeServer) -> None:
    assert names(hub.data_set_folder("AI-ModelScope/gsm8k:main")) == ["test.jsonl", "train.jsonl"]
    clean = hub.data_set_folder("modelscope/MathR:clean")
    assert names(clean) == ["data/mathr_a.jsonl", "data/mathr_b.jsonl"]
    assert hub.data_set_folder("modelscope/MathR:raw").name == "raw.jsonl"
    with pytest.raises(InputError, match="no files of a subset 'dirty'"):
        hub.data_set_folder("modelscope/MathR:dirty")


@pytest.mark.slow
def test_what_was_fetched_serves_when_the_network_is_gone(server: ModelScopeServer) -> None:
    folder = hub.data_set_folder("modelscope/MathR")
    server.stop()
    hub._fetched.cache_clear()
    assert hub.data_set_folder("modelscope/MathR") == folder


def test_a_name_that_is_not_there_is_one_line(server: ModelScopeServer) -> None:
    with pytest.raises(InputError, match=r"modelscope:no/such: .*check OWNER/NAME") as caught:
        hub.data_set_folder("no/such")
    assert "\n" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["gsm8k", "modelscope:gsm8k", "modelscope:AI-ModelScope/gsm8k:main:test"]
)
def test_a_benchmark_is_read_from_modelscope(
    server: ModelScopeServer, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    if ":" not in name:
        monkeypatch.setenv("HUB", "modelscope")

    def other_hub(hub_set: object) -> list[str]:
        raise AssertionError(f"{hub_set}: nothing in this path needs the other hub")

    benchmark = open_benchmark(name, BenchmarkSources("benchmarks", other_hub))
    assert [row["question"] for _, row in benchmark.rows] == ["2+2?"]


def test_a_benchmark_that_modelscope_lacks_is_told_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sources = BenchmarkSources("benchmarks", lambda _: [])
    with pytest.raises(InputError, match="give a local file"):
        open_benchmark("modelscope:amc23", sources)


def test_a_folder_is_pushed_with_the_token_that_asks(
    server: ModelScopeServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    (folder / "data").mkdir(parents=True)
    (folder / "README.md").write_text("# card")
    (folder / "data" / "train.parquet").write_bytes(b"PAR1")  # goes the way of large files
    with pytest.raises(InputError, match="set MODELSCOPE_SDK_TOKEN"):
        hub.push_folder(folder, "me/set", "dataset", private=True, licence="mit")
    monkeypatch.setenv("MODELSCOPE_SDK_TOKEN", "ms-bad")
    with pytest.raises(InputError, match="may not write"):
        hub.push_folder(folder, "me/set", "dataset", private=True, licence="mit")
    monkeypatch.setenv("MODELSCOPE_SDK_TOKEN", TOKEN)
    hub.push_folder(folder, "me/set", "dataset", private=True, licence="mit")
    assert sorted(server.repositories["datasets/me/set"]) == ["README.md", "data/train.parquet"]
    assert server.visibility["datasets/me/set"] == 1  # private
    assert server.licences["datasets/me/set"] == "mit"
