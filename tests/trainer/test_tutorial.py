"""The tutorial's configuration as it stands, on a tiny model: its flags reach adapter and
optimiser.
"""

import json
import shutil
from pathlib import Path

import pytest
import torch

from shared.config import load
from shared.errors import InputError
from tests.trainer.process_runs import ROOT, finish, start
from trainer.__main__ import main
from trainer.artifacts.manifest import read_manifest, write_manifest
from trainer.config import TrainerConfig


def arguments(folder: Path, model: Path, corpus: Path, *changes: str) -> list[str]:
    """The tutorial's configuration where this machine cannot follow: model, data, precision, no
    account.
    """
    sets = [
        f"run={folder / 'run'}",
        f"model={model}",
        f'corpora=["{corpus}"]',
        "track.to=[]",
        "train.precision=fp32",
        "train.max_steps=3",
        "train.save_steps=2",
        *changes,
    ]
    return [
        "run",
        str(ROOT / "configs/tutorial.toml"),
        *(word for item in sets for word in ("--set", item)),
    ]


def with_positions(model: Path, folder: Path, count: int) -> Path:
    """A copy of a model that knows `count` positions."""
    shutil.copytree(model, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"max_position_embeddings": count}))
    return folder


def test_the_tutorials_flags_reach_adapter_and_optimiser_and_a_change_of_them_is_another_run(
    tmp_path: Path, model_folder: Path, corpus: Path
) -> None:
    model = with_positions(model_folder, tmp_path / "model", 4096)  # the tutorial's max_length
    code, output = finish(start(*arguments(tmp_path, model, corpus)))
    assert code == 0, output
    run = tmp_path / "run"
    adapter = json.loads((run / "adapter/adapter_config.json").read_text())
    assert (adapter["r"], adapter["lora_alpha"], adapter["lora_dropout"]) == (16, 32, 0.05)
    optimizer = torch.load(run / "checkpoints/checkpoint-3/optimizer.pt", weights_only=False)
    decayed_group = max(optimizer["param_groups"], key=lambda group: group["weight_decay"])
    assert (
        tuple(decayed_group["betas"]),
        decayed_group["weight_decay"],
        decayed_group["initial_lr"],
    ) == (
        (0.9, 0.95),
        0.1,
        1e-5,
    )
    manifest = read_manifest(run)
    assert manifest is not None
    assert (manifest["data"]["held_out"], manifest["result"]["best_step"], manifest["seed"]) == (
        0,
        3,
        42,
    )
    for change in ("lora.dropout=0.0", "train.adam_beta2=0.999"):
        with pytest.raises(InputError, match=f"differs in {change.partition('=')[0]}"):
            main(arguments(tmp_path, model, corpus, change))


def test_a_run_from_before_a_key_was_there_goes_on_with_what_it_had(tmp_path: Path) -> None:
    write_manifest(tmp_path, {"identity": {"train.seed": 0}, "data": {}, "plan": {}})
    manifest = read_manifest(tmp_path)
    assert manifest is not None
    defaults = load(
        TrainerConfig, None, environ={}, default='run = "r"\nmodel = "m"\ncorpora = ["c"]'
    )
    assert manifest["identity"]["lora.dropout"] == defaults.lora.dropout
    assert manifest["identity"]["train.adam_beta2"] == defaults.train.adam_beta2
