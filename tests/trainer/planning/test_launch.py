"""Several processes, one a card: they take the steps of one, together; the plan counts them.
Two of them on a CPU.
"""

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.trainer.corpora import trace, write_corpus
from tests.trainer.planning.test_plan import R1_LENGTHS, card, planned
from tests.trainer.process_runs import LAUNCH, ROOT, finish, metrics, start, wait_for, write_config
from trainer.config import TrainerConfig
from trainer.data.data_order import shares
from trainer.planning.launch import Launch, check_launch
from trainer.planning.memory_check import describe


def launched(*arguments: str, precision: str = "no") -> str:
    """The output of two processes, which must succeed."""
    process = subprocess.run(
        [*LAUNCH, "--multi_gpu", "--mixed_precision", precision, "-m", "trainer", *arguments],
        cwd=ROOT,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    assert process.returncode == 0, process.stdout
    return process.stdout


@pytest.fixture(scope="module")
def short_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """21 examples: with 8 a step the last step has 5, which no two processes share evenly."""
    return write_corpus(
        tmp_path_factory.mktemp("short"), [trace(i, sample=i % 3) for i in range(21)]
    )


TABLES: dict[str, Any] = {
    "train": {"max_steps": 0, "holdout": 0, "merge": False, "save_steps": 2},
    "probe": {"problems": 0},
}


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, model_folder: Path, short_corpus: Path) -> Path:
    folder = tmp_path_factory.mktemp("alone")
    code, output = finish(
        start("run", str(write_config(folder, model_folder, short_corpus, **TABLES)))
    )
    assert code == 0, output
    return folder / "run"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, model_folder: Path, short_corpus: Path) -> Path:
    """The same run by two processes of a launcher whose configuration says float16."""
    folder = tmp_path_factory.mktemp("pair")
    config = write_config(folder, model_folder, short_corpus, **TABLES)
    launched("run", str(config), precision="fp16")
    return folder / "run"


def test_two_processes_take_the_steps_of_one_to_the_last_example_and_finish_as_one(
    tmp_path: Path, model_folder: Path, short_corpus: Path, alone: Path
) -> None:
    tables = {
        **TABLES,
        "train": {**TABLES["train"], "merge": True},
        "probe": {"problems": 2, "every_steps": 1},
    }
    output = launched("run", str(write_config(tmp_path, model_folder, short_corpus, **tables)))
    both = tmp_path / "run"
    assert list(metrics(both)) == [1, 2, 3]
    assert list(metrics(both).values()) == pytest.approx(list(metrics(alone).values()), abs=1e-4)
    assert metrics(both, "tokens") == metrics(alone, "tokens")
    assert output.count("step 3/3") == 1  # told once
    assert "2 x processor" in output
    assert "tokens/s expected of 2 cards together" in output
    manifest = json.loads((both / "manifest.json").read_bytes())
    assert "merge" in manifest  # by the first process, which waited for nobody
    assert (both / "report.html").exists()


def test_a_run_goes_on_with_another_number_of_processes(
    tmp_path: Path, model_folder: Path, short_corpus: Path, alone: Path, pair: Path
) -> None:
    config = write_config(tmp_path, model_folder, short_corpus, **TABLES)
    run = Path(shutil.copytree(pair, tmp_path / "run"))
    shutil.rmtree(run / "checkpoints/checkpoint-3")
    (run / "report.html").unlink()
    code, output = finish(start("run", str(config)))
    assert code == 0, output
    assert "going on from step 2" in output
    assert list(metrics(run).values()) == pytest.approx(list(metrics(alone).values()), abs=1e-4)


def test_a_signal_to_one_of_two_processes_stops_both_after_the_same_step_and_is_saved(
    tmp_path: Path, model_folder: Path, short_corpus: Path
) -> None:
    endless = {**TABLES["train"], "epochs": 1000, "save_steps": 100_000}
    config = write_config(tmp_path, model_folder, short_corpus, **{**TABLES, "train": endless})
    launcher = subprocess.Popen(
        [*LAUNCH, "--multi_gpu", "--mixed_precision", "no", "-m", "trainer", "run", str(config)],
        cwd=ROOT,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    wait_for(launcher, "step 3/")
    children = [
        process
        for process in psutil.Process(launcher.pid).children(recursive=True)
        if process.environ().get("LOCAL_RANK") == "1"
    ]
    children[0].send_signal(signal.SIGTERM)  # to the one that says nothing
    code, output = finish(launcher)
    assert code == 0, output
    assert "saved; the same command goes on from there" in output
    newest = max(metrics(tmp_path / "run"))
    assert (tmp_path / "run/checkpoints" / f"checkpoint-{newest}" / "whole.json").exists()


def test_the_precision_in_a_launchers_configuration_does_not_change_the_run(
    alone: Path, pair: Path
) -> None:
    losses = list(metrics(pair).values())
    assert losses == pytest.approx(list(metrics(alone).values()), abs=1e-4)


def test_a_plan_counts_the_cards_in_its_speed_time_and_share_of_peak() -> None:
    config = TrainerConfig.model_validate({"run": "r", "model": "m", "corpora": ["c"]})
    plan_of_one = planned(80.0)
    plan_of_two = planned(80.0, world=2)
    assert plan_of_two.steps == plan_of_one.steps
    assert plan_of_two.tokens == plan_of_one.tokens
    assert plan_of_two.seconds < 0.6 * plan_of_one.seconds
    assert "of 2 cards together" in plan_of_two.lines()[-1]
    line = describe(8000, 5.25, 1.0, plan_of_two, card(80.0), config)
    assert "16,000 tokens/s of 2 cards" in line


def test_a_step_is_dealt_whole_and_evenly_in_tokens() -> None:
    step = R1_LENGTHS[:16]
    for world in (1, 2, 3, 5):
        dealt = shares(step, world)
        assert sorted(i for share in dealt for i in share) == list(range(16))
        tokens = [sum(step[i] for i in share) for share in dealt]
        assert max(tokens) - min(tokens) <= max(step)
    assert shares([10, 20], 3) == [[1], [0], []]


def test_a_launch_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (
        ("WORLD_SIZE", "4"),
        ("RANK", "3"),
        ("LOCAL_RANK", "1"),
        ("LOCAL_WORLD_SIZE", "2"),
    ):
        monkeypatch.setenv(name, value)
    assert check_launch(batch=16) == Launch(rank=3, local_rank=1, world=4, local_world=2)
