"""`--gpus N`: one command, several processes; here two of them on a processor, with gloo."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from safetensors.torch import load_file, save_file

from shared.errors import InputError
from tests.trainer.corpora import trace, write_corpus
from tests.trainer.process_runs import ROOT, finish, metrics, start, wait_for, write_config
from tests.trainer.tiny_models import save_model
from trainer.config import TrainerConfig
from trainer.layers.backends import open_backend

TABLES: dict[str, Any] = {
    "train": {
        "max_steps": 0,
        "epochs": 3,
        "holdout": 0.1,
        "merge": False,
        "save_steps": 2,
        "max_grad_norm": 0.1,  # clips every step
    },
    "probe": {"problems": 0},
}
FULL = {**TABLES, "method": "full", "train": {**TABLES["train"], "learning_rate": 1e-3}}
ON_THE_PROCESSOR = {"CUDA_VISIBLE_DEVICES": ""}


@pytest.fixture(scope="module")
def short_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """19 examples to learn from: the last of three steps has 3, which two share unevenly."""
    return write_corpus(
        tmp_path_factory.mktemp("short"), [trace(i, sample=i % 3) for i in range(21)], rows=8
    )


def curve_of_one(folder: Path, model: Path, corpus: Path, tables: dict[str, Any]) -> list[float]:
    """The losses of the same run in one process."""
    config = write_config(folder, model, corpus, **tables)
    code, output = finish(start("run", str(config), **ON_THE_PROCESSOR))
    assert code == 0, output
    return list(metrics(folder / "run").values())


def rank_of(launcher: "subprocess.Popen[str]", rank: int) -> psutil.Process:
    children = psutil.Process(launcher.pid).children()
    return next(c for c in children if c.environ().get("RANK") == str(rank))


def test_adapters_on_sharded_weights_take_the_steps_of_one_process(
    tmp_path: Path, model_folder: Path, short_corpus: Path
) -> None:
    reference_curve = curve_of_one(tmp_path / "one", model_folder, short_corpus, TABLES)
    config = write_config(tmp_path / "two", model_folder, short_corpus, **TABLES)
    command = ["run", str(config), "--gpus", "2", "--set", "train.fsdp=on"]
    code, output = finish(start(*command, **ON_THE_PROCESSOR))
    assert code == 0, output
    assert "weights in shards over 2 cards (FSDP2)" in output
    assert output.count("traces: 21 read") == 1  # told once
    run = tmp_path / "two/run"
    assert list(metrics(run).values()) == pytest.approx(reference_curve, abs=1e-4)
    (newest,) = (run / "checkpoints").glob("checkpoint-8")
    weights = {file.name for file in newest.glob("*.safetensors")}
    assert weights == {"adapter_model.safetensors"}  # no frozen weight is saved


def test_first_small_updates_on_sharded_weights_do_as_much_as_on_whole_ones_in_bfloat16(
    tmp_path: Path, short_corpus: Path
) -> None:
    """Of a model whose layers put out numbers as large as a 7B one's, beside such updates."""
    model = save_model(tmp_path / "model", hidden=128)
    weights = load_file(model / "model.safetensors")
    scaled = {name: 4 * w if "proj.weight" in name else w for name, w in weights.items()}
    save_file(scaled, model / "model.safetensors", metadata={"format": "pt"})
    train = {**TABLES["train"], "precision": "bf16", "learning_rate": 1e-4, "max_steps": 5}
    tables = {**TABLES, "train": train}
    expected = curve_of_one(tmp_path / "one", model, short_corpus, tables)
    config = write_config(tmp_path / "two", model, short_corpus, **tables)
    command = ["run", str(config), "--gpus", "2", "--set", "train.fsdp=on"]
    code, output = finish(start(*command, **ON_THE_PROCESSOR))
    assert code == 0, output
    losses = list(metrics(tmp_path / "two/run").values())
    assert losses == pytest.approx(expected, abs=6e-4)  # with PEFT's layers 2e-3 at the third


def test_a_killed_process_ends_the_other_and_the_same_command_gives_the_undisturbed_curve(
    tmp_path: Path, model_folder: Path, short_corpus: Path
) -> None:
    """Of a full fine-tune in shards, whose moments are shards of a checkpoint as well."""
    reference_curve = curve_of_one(tmp_path / "one", model_folder, short_corpus, FULL)
    config = write_config(tmp_path / "two", model_folder, short_corpus, **FULL)
    command = ["run", str(config), "--gpus", "2", "--set", "train.fsdp=on"]
    first_run = start(*command, **ON_THE_PROCESSOR)
    wait_for(first_run, "step 4/8")
    rank_of(first_run, 1).kill()
    killed_at = time.monotonic()
    code, output = finish(first_run)
    assert time.monotonic() - killed_at < 20
    assert code == 1
    assert "stopped: process 1 of 2 was ended by SIGKILL" in output
    assert "Traceback" not in output
    code, output = finish(start(*command, **ON_THE_PROCESSOR))
    assert code == 0, output
    assert "going on from step" in output
    run = tmp_path / "two/run"
    assert list(metrics(run).values()) == pytest.approx(reference_curve, abs=1e-4)
    assert (run / "merged/model.safetensors").exists()


def test_a_signal_is_answered_in_one_line_and_everything_is_saved(
    tmp_path: Path, model_folder: Path, short_corpus: Path
) -> None:
    endless = {**TABLES["train"], "epochs": 1000, "save_steps": 100_000}
    config = write_config(tmp_path, model_folder, short_corpus, **{**TABLES, "train": endless})
    running = start("run", str(config), "--gpus", "2", **ON_THE_PROCESSOR)
    wait_for(running, "step 3/")
    children = psutil.Process(running.pid).children()
    running.send_signal(signal.SIGTERM)
    code, output = finish(running)
    assert code == 0, output
    own_lines = [line for line in output.splitlines() if not line.startswith(("step", "held-out"))]
    assert own_lines[0].startswith("SIGTERM: the run stops after this step")
    assert "and saved; the same command goes on from there" in own_lines[-1]
    assert len(own_lines) == 2
    assert not any(child.is_running() for child in children)
    newest = max(metrics(tmp_path / "run"))
    assert (tmp_path / f"run/checkpoints/checkpoint-{newest}/whole.json").exists()


def test_what_is_wrong_is_said_once_and_ends_all_with_its_code(
    tmp_path: Path, model_folder: Path, short_corpus: Path
) -> None:
    config = write_config(tmp_path, model_folder, short_corpus, **TABLES)
    code, output = finish(
        start("run", str(config), "--gpus", "2", "--set", "train.batch=1", **ON_THE_PROCESSOR)
    )
    assert code == 2
    assert output == "error: train.batch 1: less than the 2 processes of this launch: give more\n"
    wrong = start("run", str(config), "--gpus", "2", "--set", "train.fspd=on", **ON_THE_PROCESSOR)
    code, output = finish(wrong)
    assert code == 2
    assert output.count("error:") == 1


def test_a_process_whose_launcher_is_killed_does_not_stay_behind(
    tmp_path: Path, model_folder: Path, short_corpus: Path
) -> None:
    config = write_config(tmp_path, model_folder, short_corpus, **TABLES)
    running = start("run", str(config), "--gpus", "2", **ON_THE_PROCESSOR)
    wait_for(running, "traces:")
    children = psutil.Process(running.pid).children()
    assert len(children) == 2
    running.kill()
    _, alive = psutil.wait_procs(children, timeout=60)
    assert not alive
    running.communicate()  # to the end of what they said


def test_unsloth_is_refused_for_several_processes() -> None:
    config = TrainerConfig.model_validate(
        {"run": "r", "model": "m", "corpora": ["c"], "backend": "unsloth"}
    )
    with pytest.raises(InputError, match=r'backend = "unsloth": one process, and this run has 4'):
        open_backend(config, processes=4)


def test_make_train_hands_on_cards_configuration_and_keys(tmp_path: Path) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    variables = ["CONFIG=configs/mine.toml", "GPUS=4", "SET=train.batch=32 train.seed=1"]
    process = subprocess.run(
        ["make", "-n", "-o", "setup-trainer", "train", *variables, f"PYTHON={sys.executable}"],
        cwd=tmp_path,
        env={**os.environ, "MAKEFLAGS": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    command = " ".join(process.stdout.replace("\\", " ").split())
    assert "-m trainer run configs/mine.toml --gpus 4" in command
    assert "--set 'train.batch=32' --set 'train.seed=1'" in command
