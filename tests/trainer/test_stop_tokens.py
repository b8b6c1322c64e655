"""Probe, chat and merge proof end an answer at the same tokens, whichever file of the model names
them.
"""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from shared.config import load
from shared.inference.loading import load_model, load_tokenizer
from shared.rendering import ChatRenderer
from tests.trainer import tiny_models
from tests.trainer.process_runs import write_config
from trainer.artifacts.merge import merge
from trainer.chat import SamplingSettings, Speaker
from trainer.config import TrainerConfig
from trainer.loop.generation_eval import generate

END_OF_TEXT = 0
END_OF_TURN = 2


def model_that_says(token: int, folder: Path, ends: int | list[int]) -> Path:
    """A model whose most likely token is always `token`, and whose generation_config names
    `ends`.
    """
    tiny_models.tokenizer().save_pretrained(folder)
    model = tiny_models.model()
    with torch.no_grad():
        embedding = model.get_input_embeddings().weight  # [vocabulary, hidden], tied to the output
        embedding[:, 0] = 1.0
        embedding[token, 0] = 20.0
    model.generation_config.eos_token_id = ends
    model.save_pretrained(folder)
    return folder


def write_run(run: Path, model: Path) -> None:
    config = load(TrainerConfig, write_config(run.parent, model, run.parent))
    run.mkdir(exist_ok=True)
    (run / "config.json").write_text(config.model_dump_json())


def adapter_for(model: Any) -> Any:
    """An adapter that changes nothing yet."""
    from peft import LoraConfig, get_peft_model

    return get_peft_model(model, LoraConfig(r=2, target_modules="all-linear"))


def test_a_merge_is_proved_where_the_base_does_not_name_the_end_of_turn(tmp_path: Path) -> None:
    """A base model of a kind that is common: it names the end of a text, its template the end of
    a turn.
    """
    base = model_that_says(END_OF_TURN, tmp_path / "base", ends=END_OF_TEXT)
    run = tmp_path / "run"
    write_run(run, base)
    adapter_for(load_model(base)).save_pretrained(run / "adapter")
    tiny_models.tokenizer(end="<|endoftext|>").save_pretrained(run / "adapter")
    lines: list[str] = []
    assert merge(run, lines.append) == 0
    assert "20 of 20 greedy answers the same" in lines[0]
    shipped_config = json.loads((run / "merged/generation_config.json").read_bytes())
    assert shipped_config["eos_token_id"] == [END_OF_TURN, END_OF_TEXT]


@pytest.mark.parametrize("said", [END_OF_TEXT, END_OF_TURN])
def test_probe_and_chat_end_at_a_token_that_only_the_model_or_only_the_template_names(
    tmp_path: Path, said: int
) -> None:
    run = tmp_path / "run"
    folder = model_that_says(said, run / "merged", ends=END_OF_TEXT)
    tokenizer = load_tokenizer(str(folder))
    chat = ChatRenderer.of(tokenizer)
    question = "What is 2 + 3?"
    prompt = chat.prompt([{"role": "user", "content": question}])
    model = load_model(folder)
    assert generate(model, tokenizer, chat, [prompt], 16) == [("", 0, True)]

    write_run(run, folder)
    shown: list[str] = []
    answer = Speaker(run).answer(
        [{"role": "user", "content": question}], SamplingSettings(0.0, 16), shown.append, base=False
    )
    assert answer == ""
    assert "".join(shown) == ""


def test_a_chat_shows_while_it_goes_on_what_it_answers_and_says_where_it_was_cut(
    tmp_path: Path, model_folder: Path
) -> None:
    run = tmp_path / "run"
    (run / "merged").mkdir(parents=True)
    for file in model_folder.iterdir():
        (run / "merged" / file.name).write_bytes(file.read_bytes())
    write_run(run, run / "merged")
    speaker = Speaker(run)
    shown: list[str] = []
    answer = speaker.answer(
        [{"role": "user", "content": "What is 2 + 3?"}],
        SamplingSettings(1.0, 24),
        shown.append,
        base=True,
    )
    assert "".join(shown) == answer + "\n(cut at 24 tokens)"
    assert len(shown) > 2
