"""A context longer than the model's: RoPE scaled where it is asked, and saved with what was trained."""

import json
from pathlib import Path

import pytest
import torch

from shared.config import load
from shared.errors import InputError
from shared.inference.context_length import context_length
from shared.inference.loading import load_model
from tests.trainer.corpora import trace, write_corpus
from tests.trainer.process_runs import write_config
from tests.trainer.students.models import STUDENTS, save
from trainer.artifacts.merge import merge
from trainer.chat import SamplingSettings, Speaker
from trainer.config import TrainerConfig
from trainer.layers.backends import Setup, load_config, open_backend
from trainer.loop.train import run

SHORT = 256  # positions of the model
LONG = 384


def short_model(folder: Path, model_folder: Path) -> Path:
    """A model that knows few positions."""
    config = json.loads((model_folder / "config.json").read_bytes())
    folder.mkdir()
    for path in model_folder.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    config["max_position_embeddings"] = SHORT
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize("kind", ["yarn", "linear"])
def test_a_run_extends_the_context_and_saves_it_with_the_merged_model(
    tmp_path: Path, model_folder: Path, kind: str
) -> None:
    model = short_model(tmp_path / "short", model_folder)
    corpus = write_corpus(tmp_path / "corpus", [trace(number, sample=8) for number in range(16)])
    train = {
        "max_steps": 2,
        "max_length": LONG,
        "rope_scaling": kind,
        "merge": False,
        "learning_rate": 1e-3,
    }
    path = write_config(tmp_path, model, corpus, train=train, probe={"problems": 0})
    lines: list[str] = []
    assert run(load(TrainerConfig, path), lines.append) == 0
    assert any(f"RoPE scaled by {kind}" in line for line in lines)
    assert merge(tmp_path / "run", lines.append) == 0
    merged_model = load_model(tmp_path / "run/merged", torch.device("cpu"), torch.float32)
    assert context_length(merged_model.config) == LONG
    assert merged_model.config.rope_parameters["rope_type"] == kind
    speaker = Speaker(tmp_path / "run")
    question = [{"role": "user", "content": "2 + 2?"}]
    assert speaker.answer(question, SamplingSettings(max_new_tokens=4), print, False)


def test_the_frequencies_of_a_loaded_model_are_transformers_own_of_that_scaling(
    tmp_path: Path, model_folder: Path
) -> None:
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    model = short_model(tmp_path / "short", model_folder)
    config = TrainerConfig.model_validate(
        {
            "run": "unused",
            "model": str(model),
            "corpora": ["unused"],
            "train": {"max_length": LONG, "rope_scaling": "yarn"},
        }
    )
    setup = Setup("fp32", checkpointing=False, compile=False, device="cpu")
    student = open_backend(config).load_model(config, setup).get_base_model()
    frequencies, _ = ROPE_INIT_FUNCTIONS["yarn"](student.config, torch.device("cpu"))
    torch.testing.assert_close(student.model.rotary_emb.inv_freq, frequencies)
    plain = load_model(model, torch.device("cpu"), torch.float32).model.rotary_emb.inv_freq
    assert not torch.allclose(plain, frequencies)


def test_a_model_that_knows_as_many_positions_is_left_as_it_is(model_folder: Path) -> None:
    config = load_config(str(model_folder), ("yarn", 512))
    assert config.rope_parameters["rope_type"] == "default"


def test_a_model_whose_rope_is_scaled_already_is_refused(tmp_path: Path) -> None:
    llama = next(student for student in STUDENTS if student.name == "Llama-3.2")
    folder = save(llama, tmp_path / "llama")
    with pytest.raises(InputError, match=r"has a RoPE of its own \(llama3\): .* = 2048"):
        load_config(str(folder), ("yarn", 4096))
