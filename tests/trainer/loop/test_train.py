"""Runs in processes of their own: a stop in any way, and the run after it, give the loss curve
of a run without it.
"""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.small_disk import mounted
from tests.trainer.corpora import trace, write_corpus
from tests.trainer.process_runs import finish, metrics, start, wait_for, write_config

STEPS = {"max_steps": 40, "epochs": 4, "merge": False}


@pytest.fixture(scope="module")
def uninterrupted(
    tmp_path_factory: pytest.TempPathFactory, model_folder: Path, corpus: Path
) -> dict[int, float]:
    folder = tmp_path_factory.mktemp("uninterrupted")
    code, output = finish(
        start("run", str(write_config(folder, model_folder, corpus, train=STEPS)))
    )
    assert code == 0, output
    curve = metrics(folder / "run")
    assert list(curve) == list(range(1, 41))
    assert curve[40] < curve[1] - 0.3
    return curve


def test_after_kill_9_and_a_torn_checkpoint_the_loss_curve_is_the_uninterrupted_one(
    tmp_path: Path, model_folder: Path, corpus: Path, uninterrupted: dict[int, float]
) -> None:
    config = write_config(tmp_path, model_folder, corpus, train=STEPS)
    first_run = start("run", str(config))
    wait_for(first_run, "step 10/40")
    first_run.kill()
    first_run.communicate()
    newest = max(
        (tmp_path / "run/checkpoints").glob("checkpoint-*/whole.json"),
        key=lambda p: p.stat().st_mtime,
    ).parent
    state = newest / "optimizer.pt"
    state.write_bytes(state.read_bytes()[:-100])
    code, output = finish(start("run", str(config)))
    assert code == 0, output
    assert f"{newest.name} is torn (optimizer.pt has" in output
    assert "going on from step" in output
    assert metrics(tmp_path / "run") == uninterrupted


def test_sigterm_saves_and_exits_0_and_a_new_micro_batch_is_the_one_used_after_it(
    tmp_path: Path, model_folder: Path, corpus: Path, uninterrupted: dict[int, float]
) -> None:
    config = write_config(
        tmp_path, model_folder, corpus, train=STEPS | {"micro_batch": 8, "logging_steps": 5}
    )
    first_run = start("run", str(config))
    wait_for(first_run, "step 5/40")
    first_run.send_signal(signal.SIGTERM)
    time.sleep(0.005)
    first_run.send_signal(signal.SIGTERM)  # as `make` hands on the one that the whole group got
    code, output = finish(first_run)
    assert code == 0, output
    assert (
        output.count("SIGTERM: the run stops after this step and is saved; once more ends it now\n")
        == 1
    )
    assert "and saved; the same command goes on from there" in output
    second_run = start("run", str(config), "--set", "train.micro_batch=2")
    code, output = finish(second_run)
    assert code == 0, output
    assert "micro-batch: 2 examples" in output
    for step, loss in metrics(tmp_path / "run").items():
        mean = sum(uninterrupted[i] for i in range(step - 4, step + 1)) / 5
        assert loss == pytest.approx(mean, abs=1e-4)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_before_the_first_step_is_one_line_and_exit_0(
    tmp_path: Path, model_folder: Path, corpus: Path, number: signal.Signals
) -> None:
    config = write_config(tmp_path, model_folder, corpus)
    running = start("run", str(config))
    wait_for(running, "traces:")
    running.send_signal(number)
    code, output = finish(running, timeout=60)
    assert code == 0, output
    assert (
        f"stopped: {number.name}: no step was made by this call; the same command goes on where"
        " the run" in output
    )
    assert "Traceback" not in output


@pytest.mark.parametrize(
    ("said", "number"),
    [("held-out loss at step 12", signal.SIGTERM), ("weights of step", signal.SIGINT)],
)
def test_a_signal_after_the_last_step_ends_the_run_there_and_the_next_one_completes_it(
    tmp_path: Path, model_folder: Path, corpus: Path, said: str, number: signal.Signals
) -> None:
    config = write_config(tmp_path, model_folder, corpus)
    first_run = start("run", str(config), group=True)
    wait_for(first_run, said)
    if said == "weights of step":
        time.sleep(1)  # the merge has begun, in a process of its own
    os.killpg(first_run.pid, number)  # as Ctrl-C in a terminal does, or systemd
    code, output = finish(first_run, timeout=30)
    assert code == 0, output
    assert "the same command goes on from there" in output
    assert "Traceback" not in output
    assert not (tmp_path / "run" / "merged").exists()
    with pytest.raises(ProcessLookupError):  # nothing of it runs on
        os.killpg(first_run.pid, 0)
    code, output = finish(start("run", str(config)))
    assert code == 0, output
    assert "greedy answers the same" in output
    assert list(metrics(tmp_path / "run")) == list(range(1, 13))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Room for some checkpoints of the tiny model."""
    with mounted(tmp_path / "disk", 3) as folder:
        yield folder


def test_a_full_disk_is_one_line_with_exit_5_and_room_lets_the_run_go_on(
    tmp_path: Path,
    small_disk: Path,
    model_folder: Path,
    corpus: Path,
    uninterrupted: dict[int, float],
) -> None:
    config = write_config(tmp_path, model_folder, corpus, run=str(small_disk / "run"), train=STEPS)
    code, output = finish(start("run", str(config)))
    assert code == 5, output
    assert (
        output.splitlines()[-1]
        == f"stopped: {small_disk}/run: the disk is full: free some space, then run again: "
        "it goes on from the last whole checkpoint"
    )
    assert "Traceback" not in output
    subprocess.run(["mount", "-o", "remount,size=60m", str(small_disk)], check=True)
    code, output = finish(start("run", str(config)))
    assert code == 0, output
    assert metrics(small_disk / "run") == uninterrupted


def test_two_processes_share_no_run_folder_and_a_changed_run_is_refused(
    tmp_path: Path, model_folder: Path, corpus: Path
) -> None:
    config = write_config(
        tmp_path, model_folder, corpus, train=STEPS | {"max_steps": 100000, "epochs": 5000}
    )
    first_run = start("run", str(config))
    try:
        wait_for(first_run, "step 4/")
        code, output = finish(start("run", str(config)))
        assert code == 2
        assert "held by process" in output
        while not list((tmp_path / "run/checkpoints").glob("checkpoint-*/whole.json")):
            time.sleep(0.1)
    finally:
        first_run.kill()
        first_run.communicate()
    code, output = finish(start("run", str(config), "--set", "train.seed=1"))
    assert code == 2
    assert "holds a run that differs in" in output
    assert "train.seed" in output
    assert "Traceback" not in output


def test_the_manifest_ties_data_template_versions_and_plan_together(
    tmp_path: Path, model_folder: Path, corpus: Path
) -> None:
    config = write_config(
        tmp_path,
        model_folder,
        corpus,
        train={"max_steps": 1, "merge": False},
        probe={"problems": 0},
    )
    code, output = finish(start("run", str(config)))
    assert code == 0, output
    manifest = json.loads((tmp_path / "run/manifest.json").read_bytes())
    assert [len(shard["sha256"]) for shard in manifest["data"]["shards"]] == [64, 64, 64]
    assert (
        manifest["template"]["inserted_by_template"] == "You are a test model, created by nobody."
    )
    assert manifest["libraries"]["trl"]
    assert manifest["result"]["best_step"] == 1
    assert manifest["data"]["train"] + manifest["data"]["held_out"] == 120


def test_a_shard_sealed_while_training_was_down_is_named_and_the_run_goes_on_without_it(
    tmp_path: Path, model_folder: Path
) -> None:
    corpus = write_corpus(tmp_path / "corpus", [trace(i) for i in range(40)])
    steps = {"max_steps": 4, "merge": False, "save_steps": 2}
    config = write_config(tmp_path, model_folder, corpus, train=steps, probe={"problems": 0})
    code, output = finish(start("run", str(config)))
    assert code == 0, output
    before = metrics(tmp_path / "run")
    shutil.rmtree(tmp_path / "run/checkpoints/checkpoint-4")
    (tmp_path / "run/report.html").unlink()
    write_corpus(corpus, [trace(i) for i in range(40, 60)])
    code, output = finish(start("run", str(config)))
    assert code == 0, output
    assert f"not read: sealed after this run began: {corpus}/traces/shard-000001.jsonl" in output
    assert "going on from step 2" in output
    assert metrics(tmp_path / "run") == before
    shards = json.loads((tmp_path / "run/manifest.json").read_bytes())["data"]["shards"]
    assert [shard["name"] for shard in shards] == ["traces/shard-000000.jsonl"]
    (corpus / "traces/shard-000000.jsonl").unlink()
    code, output = finish(start("plan", str(config)))
    assert code == 2
    assert "this run began with it and it is gone" in output


def test_a_date_in_the_template_does_not_keep_a_run_from_going_on_the_next_day(
    tmp_path: Path, model_folder: Path, corpus: Path
) -> None:
    dated_model = shutil.copytree(model_folder, tmp_path / "dated")
    template = dated_model / "chat_template.jinja"
    template.write_text("{{- strftime_now('%d %b %Y') }}" + template.read_text())
    steps = {"max_steps": 4, "merge": False, "save_steps": 2}
    config = write_config(tmp_path, dated_model, corpus, train=steps, probe={"problems": 0})
    code, output = finish(start("run", str(config)))
    assert code == 0, output
    before = metrics(tmp_path / "run")
    shutil.rmtree(tmp_path / "run/checkpoints/checkpoint-4")
    (tmp_path / "run/report.html").unlink()
    code, output = finish(start("run", str(config), module="tests.trainer.tomorrow"))
    assert code == 0, output
    assert "going on from step 2" in output
    assert metrics(tmp_path / "run") == before
