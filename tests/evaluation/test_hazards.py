"""Each way in which an evaluation has published a wrong number, and what happens here instead."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from evaluation.__main__ import main
from shared.errors import InputError
from tests.evaluation.conftest import (
    number_of,
    rows_of,
    write_config,
    write_problems,
)
from tests.evaluation.hazard_runs import ROOT, Serve, answers, endpoint_run, tiny_run
from tests.evaluation.tiny_models import write_model


def test_a_retrained_model_at_the_same_path_is_asked_again_and_an_old_one_put_back_is_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = write_model(tmp_path / "m", seed=1)
    config = tiny_run(tmp_path, model)
    assert main(["run", str(config)]) == 0
    earlier_answers = answers(config)
    shutil.move(model, tmp_path / "aside")
    write_model(model, seed=2)
    capsys.readouterr()
    assert main(["run", str(config)]) == 0
    new_answers = answers(config)
    assert "from the cache" not in capsys.readouterr().out
    assert [row["text"] for row in earlier_answers] != [row["text"] for row in new_answers]
    assert {row["key"] for row in earlier_answers}.isdisjoint(row["key"] for row in new_answers)
    shutil.rmtree(model)
    shutil.move(tmp_path / "aside", model)
    assert main(["run", str(config)]) == 0
    assert "5 from the cache" in capsys.readouterr().out
    assert answers(config) == earlier_answers


def test_nothing_is_written_into_the_models_folder(tmp_path: Path) -> None:
    model = write_model(tmp_path / "m")
    before = sorted(path.name for path in model.iterdir())
    assert main(["run", str(tiny_run(tmp_path, model))]) == 0
    assert sorted(path.name for path in model.iterdir()) == before


def test_a_box_inside_thinking_that_never_ended_scores_nothing(
    serve: Serve, tmp_path: Path
) -> None:
    config, _ = endpoint_run(
        serve, tmp_path, lambda p, *_: {"text": f"<think>\nit must be \\boxed{{{number_of(p)}}}"}
    )
    assert main(["run", str(config)]) == 0
    summary = json.loads((tmp_path / "out/comparison.json").read_text())["benchmarks"]["p"]["base"]
    assert (summary["correct"], summary["unfinished"]) == (0, 6)
    assert summary["second_opinion"]["correct"] == 0


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("model.safetensors", b"PK", "cannot be loaded (SafetensorError"),
        ("config.json", b"{", "cannot be loaded (OSError"),
        ("tokenizer.json", b"{}", "cannot be loaded (KeyError"),
        (
            "model.safetensors",
            None,
            "1 of its weights are in none of its files (model.layers.1.mlp.down_proj.weight",
        ),
    ],
)
def test_a_damaged_model_folder_is_an_error_and_no_zero(
    tmp_path: Path, name: str, content: bytes | None, says: str
) -> None:
    model = write_model(tmp_path / "m")
    if content is None:
        weights = load_file(model / name)
        del weights["model.layers.1.mlp.down_proj.weight"]
        save_file(weights, model / name, metadata={"format": "pt"})
    else:
        (model / name).write_bytes(content)
    with pytest.raises(InputError) as error:
        main(["run", str(tiny_run(tmp_path, model))])
    assert says in str(error.value)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out/comparison.json").exists()


def test_a_device_that_holds_no_numbers_is_refused(tmp_path: Path) -> None:
    config = tiny_run(tmp_path, write_model(tmp_path / "m"))
    with pytest.raises(InputError, match=r'engine.device = "meta": no such device here'):
        main(["run", str(config), "--set", "engine.device=meta"])


def test_a_model_of_our_own_makes_just_as_many_tokens_as_the_user_said(tmp_path: Path) -> None:
    model = write_model(tmp_path / "m")
    config = tiny_run(tmp_path, model, max_new_tokens=23)
    assert main(["run", str(config)]) == 0
    for row in answers(config):
        assert (
            row["completion_tokens"] == 23
            if row["finish_reason"] == "length"
            else row["completion_tokens"] <= 23
        )
    assert any(row["finish_reason"] == "length" for row in answers(config))


def test_more_tokens_than_the_model_has_places_for_are_refused_before_the_first_question(
    tmp_path: Path,
) -> None:
    config = tiny_run(
        tmp_path, write_model(tmp_path / "m", max_position_embeddings=256), max_new_tokens=200
    )
    with pytest.raises(InputError, match=r"exceed the 256 positions .* set at most"):
        main(["run", str(config)])


def test_an_adapter_is_refused_with_the_command_that_merges_it(tmp_path: Path) -> None:
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text("{}")
    (adapter / "adapter_model.safetensors").write_bytes(b"x")
    with pytest.raises(InputError, match="trainer merge"):
        main(["run", str(tiny_run(tmp_path, adapter))])


_NO_NETWORK = """
import os, socket
def refuse(self, address, *rest):
    if self.family == socket.AF_UNIX:
        return connect(self, address, *rest)
    with open(os.environ["ATTEMPTS"], "a") as file:
        print(address, file=file)
    raise OSError("no network here")
connect = socket.socket.connect
socket.socket.connect = refuse
socket.socket.connect_ex = refuse
def no_names(*names, **_):
    with open(os.environ["ATTEMPTS"], "a") as file:
        print(names, file=file)
    raise socket.gaierror("no network here")
socket.getaddrinfo = no_names
"""


def test_a_run_on_local_files_never_looks_for_the_network_and_leaves_nothing_in_the_working_directory(
    tmp_path: Path,
) -> None:
    config = tiny_run(tmp_path, write_model(tmp_path / "m"))
    (tmp_path / "site").mkdir()
    (tmp_path / "site/sitecustomize.py").write_text(_NO_NETWORK)
    (tmp_path / "cwd").mkdir()
    attempts = tmp_path / "attempts"
    environment = os.environ | {
        "PYTHONPATH": f"{tmp_path / 'site'}{os.pathsep}{ROOT}",
        "ATTEMPTS": str(attempts),
        "OMP_NUM_THREADS": "1",
        "HF_HOME": str(tmp_path / "empty-cache"),
    }
    command = [sys.executable, "-m", "evaluation", "run", str(config)]
    process = subprocess.run(
        command, cwd=tmp_path / "cwd", env=environment, capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stderr
    assert not attempts.exists(), attempts.read_text()
    assert list((tmp_path / "cwd").iterdir()) == []
    assert process.stderr == ""
    opinions = [
        row["second_opinion"]
        for row in rows_of(next((tmp_path / "out").glob("*/p/verdicts.jsonl")))
    ]
    assert None not in opinions


def test_a_model_that_is_missing_is_told_before_the_one_that_is_there_has_answered(
    tmp_path: Path,
) -> None:
    problems = write_problems(tmp_path / "sums.jsonl", 3)
    models = [str(write_model(tmp_path / "base")), str(tmp_path / "run" / "merged")]
    config = write_config(tmp_path / "c.toml", None, models, str(problems))
    with pytest.raises(InputError, match="merged: no such folder: train and merge first"):
        main(["run", str(config)])
    assert not (tmp_path / "out").exists()
