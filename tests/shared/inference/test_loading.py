"""A model is loaded whole or refused in one line, and what is no fault of its folder is not blamed
on it.
"""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from jinja2.exceptions import SecurityError
from safetensors.torch import load_file, save_file
from transformers import Gemma2Config, Gemma2ForCausalLM

from shared.errors import InputError, Stopped
from shared.inference.loading import (
    from_pretrained,
    load_model,
    load_tokenizer,
    prompt_token_ids,
)
from tests.evaluation.tiny_models import write_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("loading") / "model")


def test_a_whole_model_comes_ready_to_answer(folder: Path) -> None:
    model = load_model(folder, torch.device("cpu"), torch.bfloat16)
    assert not model.training
    assert model.dtype == torch.bfloat16
    assert load_model(folder, torch.device("cpu")).dtype == torch.float32


def test_an_architecture_that_needs_its_own_attention_is_loaded_with_it(tmp_path: Path) -> None:
    """Gemma 2 caps its attention logits, which torch's fused attention cannot do."""
    config = Gemma2Config(
        vocab_size=96,
        hidden_size=48,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        intermediate_size=64,
        head_dim=8,
    )
    Gemma2ForCausalLM(config).save_pretrained(tmp_path)
    assert load_model(tmp_path).config._attn_implementation == "eager"


def test_a_model_that_lacks_weights_is_refused_with_their_names(
    tmp_path: Path, folder: Path
) -> None:
    torn = tmp_path / "torn"
    torn.mkdir()
    for file in folder.iterdir():
        (torn / file.name).write_bytes(file.read_bytes())
    weights = load_file(torn / "model.safetensors")
    del weights["model.layers.1.mlp.down_proj.weight"]
    save_file(weights, torn / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"1 of its weights .*layers.1.mlp.down_proj.weight"):
        load_model(torn)


@pytest.mark.parametrize(
    "cause", [Stopped("SIGTERM"), MemoryError(), torch.OutOfMemoryError("64 GiB")]
)
def test_a_signal_or_too_little_memory_is_no_damaged_folder(folder: Path, cause: Exception) -> None:
    def load(model: str, **options: Any) -> Any:
        raise cause

    with pytest.raises(type(cause)) as exception_info:
        from_pretrained(load, folder)
    assert exception_info.value is cause


def test_a_hub_name_that_cannot_be_had_has_another_remedy_than_a_damaged_folder(
    tmp_path: Path,
) -> None:
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(InputError, match=r"cannot be loaded .* copy or download the folder again"):
        load_model(tmp_path)
    with pytest.raises(InputError, match=r"cannot be loaded .* check the network"):
        load_model(tmp_path / "missing")


def test_a_question_without_tokens_is_refused(folder: Path) -> None:
    tokenizer = load_tokenizer(folder)
    assert prompt_token_ids(tokenizer, "ab<|im_end|>") == tokenizer.convert_tokens_to_ids(
        ["a", "b", "<|im_end|>"]
    )
    with pytest.raises(InputError, match="makes no tokens of a question"):
        prompt_token_ids(tokenizer, "")


class Bomb:
    """What a hostile pickle does when it is read."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "adapter_model.bin", "model.pt", "x.ckpt"])
def test_a_folder_of_pickled_weights_is_refused_and_not_read(
    tmp_path: Path, folder: Path, name: str
) -> None:
    hostile = tmp_path / "hostile"
    hostile.mkdir()
    for file in folder.iterdir():
        if file.suffix != ".safetensors":
            (hostile / file.name).write_bytes(file.read_bytes())
    torch.save({"weight": Bomb(tmp_path / "it-ran")}, hostile / name)
    for load in (load_model, load_tokenizer):
        with pytest.raises(InputError, match=rf"its weights are pickles \({name}\)"):
            load(hostile)
    assert not (tmp_path / "it-ran").exists()


def test_beside_safetensors_a_pickle_is_never_opened(tmp_path: Path, folder: Path) -> None:
    both = tmp_path / "both"
    shutil.copytree(folder, both)
    torch.save({"weight": Bomb(tmp_path / "it-ran")}, both / "pytorch_model.bin")
    load_model(both, torch.device("cpu"))
    assert not (tmp_path / "it-ran").exists()


def test_code_that_comes_with_a_model_is_not_run(tmp_path: Path, folder: Path) -> None:
    """As a repository of the hub may bring it: `auto_map` in config.json and a module."""
    hostile = tmp_path / "hostile"
    shutil.copytree(folder, hostile)
    (hostile / "evil.py").write_text(
        f"import os\nos.mkdir({str(tmp_path / 'it-ran')!r})\nclass Config: pass\nclass Model: pass\n"
    )
    config = json.loads((hostile / "config.json").read_text())
    config["model_type"] = "something-new"
    config["auto_map"] = {"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"}
    (hostile / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="cannot be loaded"):
        load_model(hostile)
    assert not (tmp_path / "it-ran").exists()


def test_a_chat_template_cannot_leave_its_sandbox(folder: Path) -> None:
    tokenizer = load_tokenizer(folder)
    hostile = "{{ messages.__class__.__mro__[1].__subclasses__() }}"
    with pytest.raises(SecurityError):
        tokenizer.apply_chat_template(
            [{"role": "user", "content": "x"}], chat_template=hostile, tokenize=False
        )
