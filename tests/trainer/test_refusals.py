"""What cannot be trained is refused at the door: exit code 2, one line with place and remedy,
nothing loaded before.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shared.errors import InputError
from tests.small_disk import mounted
from tests.trainer.corpora import trace, write_corpus
from tests.trainer.process_runs import LAUNCH, ROOT, finish, start, write_config
from trainer.__main__ import main
from trainer.planning.launch import WRAPPERS


def refused(tmp_path: Path, model: Path, corpus: Path, **tables: Any) -> str:
    """The line that `plan` ends with."""
    with pytest.raises(InputError) as refusal:
        main(["plan", str(write_config(tmp_path, model, corpus, **tables))])
    return str(refusal.value)


def test_an_unsealed_corpus_ends_a_run_with_exit_2_and_one_line(
    tmp_path: Path, model_folder: Path
) -> None:
    corpus = write_corpus(tmp_path / "c", [trace(1)], seal=False)
    code, output = finish(start("run", str(write_config(tmp_path, model_folder, corpus))))
    assert code == 2
    assert output.count("\n") == 1
    assert "only 1 open shards: let the generator end" in output


def test_a_run_folder_that_cannot_be_written_is_one_line_and_exit_5(
    tmp_path: Path, model_folder: Path, corpus: Path
) -> None:
    with mounted(tmp_path / "disk", 1, read_only=True) as disk:
        run = str(disk / "run")
        code, output = finish(
            start("run", str(write_config(tmp_path, model_folder, corpus, run=run)))
        )
    assert code == 5
    assert (
        output == f"stopped: {run}: Read-only file system: correct `run` or the folder's"
        " permissions\n"
    )


def test_a_model_folder_without_a_chat_template_is_refused(
    tmp_path: Path, model_folder: Path, corpus: Path
) -> None:
    bare = shutil.copytree(model_folder, tmp_path / "bare")
    (bare / "chat_template.jinja").unlink()
    assert "no chat template: use an instruct model" in refused(tmp_path, bare, corpus)


def test_a_folder_that_is_no_model_is_refused(tmp_path: Path, corpus: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "the folder has no config.json" in refused(tmp_path, tmp_path / "empty", corpus)
    assert "no such folder" in refused(tmp_path, tmp_path / "nowhere", corpus)


def _without(folder: Path, name: str) -> None:
    """Take one tensor out of a model's file."""
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    del weights[name]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (
            lambda m: (m / "model.safetensors").write_bytes(b"PK"),
            "cannot be loaded (SafetensorError",
        ),
        (
            lambda m: _without(m, "model.layers.1.mlp.down_proj.weight"),
            "1 of its weights are in none of its files",
        ),
        (lambda m: (m / "tokenizer.json").write_text("{}"), "cannot be loaded (KeyError"),
        (lambda m: (m / "config.json").write_text("[]"), "cannot be loaded (TypeError"),
        (
            lambda m: (m / "config.json").write_text('{"model_type": "gpt2"}'),
            "gpt2 has no intermediate_size",
        ),
        (
            lambda m: (m / "chat_template.jinja").write_text("{{ raise_exception('no') }}"),
            "chat template: no: correct",
        ),
    ],
)
def test_a_damaged_model_folder_is_refused_in_one_line(
    tmp_path: Path, model_folder: Path, corpus: Path, damage: Callable[[Path], object], says: str
) -> None:
    damaged_model = shutil.copytree(model_folder, tmp_path / "damaged")
    damage(damaged_model)
    with pytest.raises(InputError) as refusal:
        main(["run", str(write_config(tmp_path, damaged_model, corpus, train={"merge": False}))])
    assert says in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_run_folder_that_cannot_be_or_is_something_else_is_refused_and_left_alone(
    tmp_path: Path, model_folder: Path, corpus: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"Not a directory: give a folder"):
        main(
            [
                "run",
                str(write_config(tmp_path, model_folder, corpus, run=str(tmp_path / "file/run"))),
            ]
        )
    assert "run: string should have at least 1 character" in refused(
        tmp_path, model_folder, corpus, run=""
    )
    foreign_manifest = '{"schema": 1, "shards": [], "totals": {}}'  # a corpus's
    (tmp_path / "manifest.json").write_text(foreign_manifest)
    with pytest.raises(
        InputError, match=r"manifest.json: not a training run's: give another `run` folder"
    ):
        main(["run", str(write_config(tmp_path, model_folder, corpus, run=str(tmp_path)))])
    assert (tmp_path / "manifest.json").read_text() == foreign_manifest
    assert not (tmp_path / "config.json").exists()


def test_epochs_that_hold_no_example_are_refused(
    tmp_path: Path, model_folder: Path, corpus: Path
) -> None:
    assert "train.epochs 0.001: not one of 114 examples" in refused(
        tmp_path, model_folder, corpus, train={"epochs": 0.001}
    )


def test_a_machine_too_small_for_one_example_is_refused(
    tmp_path: Path, model_folder: Path, corpus: Path
) -> None:
    line = refused(tmp_path, model_folder, corpus, train={"memory_gib": 0.1})
    assert "one longest example at a time needs about" in line
    assert "a smaller model" in line


@pytest.mark.skipif(
    shutil.which("nvidia-smi") is not None, reason="this machine may have what is missing here"
)
@pytest.mark.parametrize(
    ("tables", "words"),
    [
        ({"backend": "unsloth"}, 'Unsloth needs an NVIDIA GPU; set backend = "auto" or "trl"'),
        ({"method": "qlora"}, '4-bit weights need an NVIDIA GPU; set method = "lora"'),
    ],
)
def test_what_needs_a_gpu_is_refused_without_one(
    tmp_path: Path, model_folder: Path, corpus: Path, tables: dict[str, Any], words: str
) -> None:
    assert words in refused(tmp_path, model_folder, corpus, **tables)


def test_a_tracker_that_is_not_installed_is_refused_before_the_model_is_loaded(
    tmp_path: Path, model_folder: Path, corpus: Path
) -> None:
    line = refused(tmp_path, model_folder, corpus, track={"to": ["wandb"]})
    assert f"wandb is not installed: `{sys.executable} -m pip install 'wandb'`" in line


def test_a_tracker_that_is_too_new_for_the_pinned_transformers_is_refused_with_the_release_to_install(
    tmp_path: Path, model_folder: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site"
    (site / "swanlab-0.10.3.dist-info").mkdir(parents=True)
    (site / "swanlab-0.10.3.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: swanlab\nVersion: 0.10.3\n"
    )
    (site / "swanlab.py").touch()
    monkeypatch.syspath_prepend(str(site))
    line = refused(tmp_path, model_folder, corpus, track={"to": ["swanlab"]})
    assert "swanlab 0.10.3 does not work with this transformers" in line
    assert "pip install 'swanlab<0.8'`" in line


def test_more_processes_than_examples_of_a_step_are_refused(
    tmp_path: Path, model_folder: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "9")
    assert "train.batch 8: less than the 9 processes of this launch" in refused(
        tmp_path, model_folder, corpus
    )


def test_an_fsdp_launch_is_refused_with_the_reason(
    tmp_path: Path, model_folder: Path, corpus: Path
) -> None:
    config = write_config(tmp_path, model_folder, corpus)
    command = [
        *LAUNCH,
        "--mixed_precision",
        "no",
        "--use_fsdp",
        "-m",
        "trainer",
        "run",
        str(config),
    ]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (
        "error: launched with FSDP, which wraps a forward pass that a step here never calls"
        in process.stderr
    )
    assert not (tmp_path / "run/manifest.json").exists()


@pytest.mark.parametrize("variable", WRAPPERS)  # what accelerate's launcher sets
def test_every_launch_that_wraps_the_forward_pass_is_refused_with_a_remedy(
    tmp_path: Path, model_folder: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "true")
    line = refused(tmp_path, model_folder, corpus)
    assert f"launched with {WRAPPERS[variable]}, which wraps a forward pass" in line
    assert "start it with `python -m trainer run … --gpus" in line


@pytest.mark.parametrize("command", ["chat", "merge", "export", "report"])
def test_a_folder_that_is_no_run_is_refused_by_every_command(tmp_path: Path, command: str) -> None:
    with pytest.raises(InputError, match="not a run's folder"):
        main([command, str(tmp_path)])


@pytest.mark.parametrize(
    ("command", "name"), [("merge", "config.json"), ("report", "manifest.json")]
)
def test_a_damaged_file_of_a_run_is_named_with_the_remedy(
    tmp_path: Path, command: str, name: str
) -> None:
    (tmp_path / name).write_text("{")
    with pytest.raises(InputError, match=rf"{name}: damaged .* run the training again"):
        main([command, str(tmp_path)])


def test_an_attention_whose_logits_are_capped_is_refused(
    tmp_path: Path, model_folder: Path, corpus: Path
) -> None:
    scaled_model = shutil.copytree(model_folder, tmp_path / "scaled")
    config = json.loads((scaled_model / "config.json").read_bytes())
    (scaled_model / "config.json").write_text(json.dumps(config | {"attn_logit_softcapping": 50.0}))
    assert "attn_logit_softcapping" in refused(tmp_path, scaled_model, corpus)


@pytest.mark.parametrize("command", [[], ["plan"], ["inspect"], ["run"]])
def test_help_explains_every_key(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([*command, "--help"])
    help_text = capsys.readouterr().out
    assert all(
        f"\n{name} = " in help_text
        for name in ("run", "max_length", "target", "every_steps", "project")
    )


def test_no_library_that_unsloth_patches_is_imported_before_the_backend_is_opened() -> None:
    code = (
        "import sys, trainer.loop.train, trainer.layers.backends, trainer.data.selection,"
        " trainer.planning.plan\nprint(sorted({'trl', 'transformers', 'peft', 'accelerate',"
        " 'torch'} & set(sys.modules)))"
    )
    process = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert process.stdout.strip() == "[]"


def test_the_pins_leave_out_the_releases_that_do_not_work() -> None:
    pins = dict(
        line.split("==")
        for line in (ROOT / "constraints/trainer.txt").read_text().split()
        if "==" in line
    )
    assert pins["trl"] != "1.15.0"  # its SFTTrainer does not run on a processor
    assert (
        "unsloth" not in pins
    )  # refuses to be imported without a GPU: added by `make setup-trainer` where one is
    extra = dict(
        line.split("==")
        for line in (ROOT / "constraints/unsloth.txt").read_text().split()
        if "==" in line
    )
    assert extra["unsloth"] != "2026.10.9"  # asks for a package that is not published


def test_a_max_length_above_the_models_context_is_refused_unless_rope_scaling_reaches_it(
    tmp_path: Path, model_folder: Path, corpus: Path
) -> None:
    short = shutil.copytree(model_folder, tmp_path / "short")
    config = json.loads((short / "config.json").read_bytes())
    (short / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 256}))
    line = refused(tmp_path, short, corpus, train={"max_length": 512})
    assert "train.max_length 512: above the 256 positions" in line
    assert "max_position_embeddings" in line
    assert "set train.max_length = 256" in line
    assert 'train.rope_scaling = "yarn"' in line
    rope = {
        "rope_type": "yarn",
        "factor": 2.0,
        "original_max_position_embeddings": 256,
        "rope_theta": 10000.0,
    }
    longer = config | {"max_position_embeddings": 256, "rope_parameters": rope}
    (short / "config.json").write_text(json.dumps(longer))
    assert (
        main(["plan", str(write_config(tmp_path, short, corpus, train={"max_length": 512}))]) == 0
    )
