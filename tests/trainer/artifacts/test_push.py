"""`push`: a run's weights as one repository with a card that tells the evaluation, the data and the
licence.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shared.errors import InputError
from tests.modelscope_server import TOKEN, ModelScopeServer, modelscope
from tests.trainer.artifacts.test_report import manifest
from trainer.artifacts.push import push

COMPARISON = {
    "benchmarks": {
        "gsm8k": {
            "n": 1319,
            "base": {"model": "base", "correct": 800, "accuracy": 0.6065},
            "tuned": {"model": "tuned", "correct": 900, "accuracy": 0.6823},
            "fixed": 150,
            "broken": 50,
            "difference": 0.0758,
            "interval95": [0.055, 0.097],
            "mcnemar_p": 1e-9,
        }
    }
}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ModelScopeServer]:
    with modelscope({}) as server:
        monkeypatch.setenv("MODELSCOPE_ENDPOINT", server.url)
        monkeypatch.setenv("MODELSCOPE_HOME", str(tmp_path / "home"))
        monkeypatch.setenv("MODELSCOPE_SDK_TOKEN", TOKEN)
        yield server


def finished_run(folder: Path, **changes: Any) -> Path:
    for name in ("merged", "adapter"):
        (folder / name).mkdir(parents=True)
        (folder / name / "README.md").write_text("an older card")
    (folder / "merged" / "config.json").write_text("{}")
    (folder / "merged" / "model.safetensors").write_bytes(b"merged weights")
    (folder / "adapter" / "adapter_config.json").write_text("{}")
    (folder / "adapter" / "adapter_model.safetensors").write_bytes(b"adapter weights")
    (folder / "model-q8_0.gguf").write_bytes(b"GGUF")
    facts = manifest() | {
        "identity": {},
        "model": "modelscope:Qwen/Qwen2.5-1.5B-Instruct",
        **changes,
    }
    (folder / "manifest.json").write_text(json.dumps(facts))
    return folder


def test_the_merged_model_stands_at_the_root_with_adapter_gguf_and_card(
    server: ModelScopeServer, tmp_path: Path
) -> None:
    run = finished_run(tmp_path / "run")
    (run / "evaluation").mkdir()
    (run / "evaluation" / "comparison.json").write_text(json.dumps(COMPARISON))
    lines: list[str] = []
    assert push(run, "modelscope:me/student", lines.append, licence="apache-2.0") == 0
    files = server.repositories["models/me/student"]
    assert files["model.safetensors"] == b"merged weights"
    assert files["adapter/adapter_model.safetensors"] == b"adapter weights"
    assert files["model-q8_0.gguf"] == b"GGUF"
    assert json.loads(files["manifest.json"])["seed"] == manifest()["seed"]
    card = files["README.md"].decode()
    assert "base_model: Qwen/Qwen2.5-1.5B-Instruct\n" in card
    assert "license: apache-2.0" in card
    assert "| gsm8k | 1,319 | 60.7% | 68.2% | +7.6% (+5.5% to +9.7%) | 1e-09 |" in card
    assert server.licences["models/me/student"] == "apache-2.0"
    assert server.visibility["models/me/student"] == 1
    assert lines[-1].endswith("me/student")


def test_a_card_without_an_evaluation_claims_nothing(
    server: ModelScopeServer, tmp_path: Path
) -> None:
    push(finished_run(tmp_path / "run"), "modelscope:me/student", print)
    card = server.repositories["models/me/student"]["README.md"].decode()
    assert "no claim is made that the model got better" in card


@pytest.mark.parametrize(
    ("destination", "message"),
    [("me/student", "hf:OWNER/NAME"), ("hf:student", "hf:OWNER/NAME")],
)
def test_a_destination_that_is_no_repository_is_refused(
    tmp_path: Path, destination: str, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        push(finished_run(tmp_path / "run"), destination, print)


def test_a_run_without_weights_or_with_a_wrong_merge_is_refused(tmp_path: Path) -> None:
    wrong = finished_run(
        tmp_path / "wrong", merge={"holds": False, "same_answers": 1, "prompts": 20}
    )
    with pytest.raises(InputError, match="not the trained one"):
        push(wrong, "modelscope:me/student", print)
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "manifest.json").write_text(json.dumps(manifest() | {"identity": {}}))
    with pytest.raises(InputError, match="no weights"):
        push(bare, "modelscope:me/student", print)
    with pytest.raises(InputError, match="not a run's folder"):
        push(tmp_path / "nowhere", "modelscope:me/student", print)


def test_an_evaluation_that_was_named_must_be_there(tmp_path: Path) -> None:
    run = finished_run(tmp_path / "run")
    with pytest.raises(InputError, match="give an evaluation's folder"):
        push(run, "modelscope:me/student", print, evaluation=tmp_path / "none")
