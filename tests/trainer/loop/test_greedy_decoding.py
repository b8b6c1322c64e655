"""Greedy is greedy: whatever decoding a model's folder ships, probe, chat and merge take the
most likely token.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from shared.config import load
from shared.inference.loading import load_model, load_tokenizer
from shared.inference.stop_tokens import end_of_turn_id
from shared.rendering import ChatRenderer
from tests.trainer.corpora import trace
from tests.trainer.process_runs import finish, start, write_config
from trainer.artifacts.merge import observe
from trainer.chat import SamplingSettings, Speaker
from trainer.config import TrainerConfig
from trainer.loop.generation_eval import generate

SHIPPED: list[dict[str, Any]] = [
    {
        "do_sample": True,
        "temperature": 0.7,
        "top_p": 0.8,
        "top_k": 20,
        "repetition_penalty": 1.1,
    },  # Qwen2.5-Instruct
    {"repetition_penalty": 8.0},
    {"no_repeat_ngram_size": 1},
    {"min_new_tokens": 12},
    {"num_beams": 4, "length_penalty": 3.0},
    {"do_sample": True, "typical_p": 0.2},
    {"do_sample": True, "min_p": 0.3, "epsilon_cutoff": 0.1},
    {"forced_eos_token_id": 7},
    {"exponential_decay_length_penalty": [1, 5.0]},
    {"begin_suppress_tokens": list(range(3, 500))},
    {"suppress_tokens": list(range(3, 400))},
    {"bad_words_ids": [[i] for i in range(3, 400)]},
    {"sequence_bias": [[[5], 50.0]]},
    {"guidance_scale": 3.0},
    {"encoder_repetition_penalty": 9.0},
    {"num_return_sequences": 3, "num_beams": 3},
    {"max_length": 30},
    {"max_time": 1e-9},
]
QUESTION = f"{trace(3).problem}"
TOKENS = 16


def shipping(model_folder: Path, folder: Path, settings: dict[str, Any]) -> Path:
    """The model with these settings in its generation_config.json."""
    shutil.copytree(model_folder, folder)
    path = folder / "generation_config.json"
    path.write_text(json.dumps(json.loads(path.read_bytes()) | settings))
    return folder


def most_likely(model: Any, prompt: list[int], end: int) -> list[int]:
    """The most likely token each time, by the logits of whole forward passes."""
    ids = list(prompt)
    with torch.no_grad():
        while len(ids) < len(prompt) + TOKENS and ids[-1] != end:
            ids.append(int(model(input_ids=torch.tensor([ids])).logits[0, -1].argmax()))
    return ids[len(prompt) :]


@pytest.mark.parametrize("settings", SHIPPED, ids=lambda settings: "-".join(settings))
def test_probe_chat_and_merge_take_the_most_likely_token_whatever_the_folder_ships(
    tmp_path: Path, model_folder: Path, settings: dict[str, Any]
) -> None:
    run = tmp_path / "run"
    folder = shipping(model_folder, run / "merged", settings)
    tokenizer = load_tokenizer(folder)
    model = load_model(folder)
    chat = ChatRenderer.of(tokenizer)
    prompt = chat.prompt([{"role": "user", "content": QUESTION}])
    ids = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    end = end_of_turn_id(tokenizer, chat)
    reference = most_likely(model, ids, end)
    text = tokenizer.decode([token for token in reference if token != end])

    assert generate(model, tokenizer, chat, [prompt], TOKENS)[0][0] == text
    assert observe(model, tokenizer, [prompt], (end,))[0].tokens[: len(reference)] == reference
    assert (
        model.generation_config.to_diff_dict().items()
        >= {k: v for k, v in settings.items() if v}.items()
    )  # put back

    (run / "config.json").write_text(
        load(TrainerConfig, write_config(tmp_path, folder, tmp_path)).model_dump_json()
    )
    reply = Speaker(run).answer(
        [{"role": "user", "content": QUESTION}],
        SamplingSettings(0.0, TOKENS),
        lambda _: None,
        base=False,
    )
    assert reply == chat.answer(text)


@pytest.mark.parametrize("method", ["lora", "full"])
def test_what_a_run_leaves_behind_decodes_as_it_was_measured(
    tmp_path: Path, model_folder: Path, corpus: Path, method: str
) -> None:
    base = shipping(
        model_folder, tmp_path / "base", SHIPPED[0] | {"no_repeat_ngram_size": 2, "pad_token_id": 0}
    )
    tables = {"train": {"max_steps": 2}, "method": method, "probe": {"problems": 0}}
    code, output = finish(start("run", str(write_config(tmp_path, base, corpus, **tables))))
    assert (tmp_path / "run/merged").exists(), f"{code} {output}"
    generation_config = json.loads((tmp_path / "run/merged/generation_config.json").read_bytes())
    for name in (
        "transformers_version",
        "bos_token_id",
        "pad_token_id",
    ):  # the Trainer takes the tokenizer's
        generation_config.pop(name, None)
    assert generation_config == {
        "eos_token_id": [2],
        "do_sample": False,
        "temperature": 1.0,
        "top_p": 1.0,
        "repetition_penalty": 1.0,
        "no_repeat_ngram_size": 0,
    }
