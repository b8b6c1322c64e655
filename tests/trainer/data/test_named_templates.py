"""A base model without a chat template is trained with one by name, which goes where its weights go."""

import json
from pathlib import Path

import pytest

from shared.config import load
from shared.errors import InputError
from shared.inference.loading import load_tokenizer
from shared.rendering import ChatRenderer
from tests.trainer import tiny_models
from tests.trainer.corpora import trace, write_corpus
from tests.trainer.process_runs import write_config
from trainer.artifacts.merge import merge
from trainer.chat import SamplingSettings, Speaker
from trainer.config import TrainerConfig
from trainer.data.named_templates import NAMED_TEMPLATES
from trainer.data.student_tokenizer import load_student_tokenizer
from trainer.loop.train import run

USER = {"role": "user", "content": "2 + 2?"}
ANSWER = {"role": "assistant", "content": "<think>\ntwo\n</think>\n\n\\boxed{4}"}
TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}


@pytest.mark.parametrize(
    ("name", "prompt", "end"),
    [
        ("chatml", "<|im_start|>user\n2 + 2?<|im_end|>\n<|im_start|>assistant\n", "<|im_end|>"),
        (
            "qwen",
            "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful"
            " assistant.<|im_end|>\n<|im_start|>user\n2 + 2?<|im_end|>\n<|im_start|>assistant\n",
            "<|im_end|>",
        ),
        (
            "llama3",
            "<s><|start_header_id|>user<|end_header_id|>\n\n2 + 2?<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\n",
            "<|eot_id|>",
        ),
        ("plain", "<s>User: 2 + 2?\n\nAssistant: ", "</s>"),
    ],
)
def test_a_named_template_follows_its_familys_convention(name: str, prompt: str, end: str) -> None:
    example = ChatRenderer(NAMED_TEMPLATES[name], TOKENS).example([USER, ANSWER])
    assert example.prompt == prompt
    assert example.completion == ANSWER["content"] + end


def test_a_base_model_trains_merges_and_chats_with_the_named_template(tmp_path: Path) -> None:
    base = tiny_models.save_model(tmp_path / "base", template=None)
    corpus = write_corpus(tmp_path / "corpus", [trace(number) for number in range(24)])
    train = {"max_steps": 2, "merge": False, "learning_rate": 1e-3}
    path = write_config(
        tmp_path, base, corpus, train=train, probe={"problems": 0}, data={"template": "chatml"}
    )
    lines: list[str] = []
    assert run(load(TrainerConfig, path), lines.append) == 0
    assert merge(tmp_path / "run", lines.append) == 0
    manifest = json.loads((tmp_path / "run/manifest.json").read_bytes())
    for folder in ("adapter", "merged"):
        saved_chat = ChatRenderer.of(load_tokenizer(tmp_path / "run" / folder))
        assert saved_chat.template == NAMED_TEMPLATES["chatml"]
        assert saved_chat.digest == manifest["template"]["digest"]
    assert Speaker(tmp_path / "run").answer(
        [USER], SamplingSettings(max_new_tokens=4), print, False
    )


def test_a_base_model_without_a_template_is_one_line_that_names_the_key(tmp_path: Path) -> None:
    base = tiny_models.save_model(tmp_path / "base", template=None)
    config = TrainerConfig(run=str(tmp_path / "run"), model=str(base), corpora=("none",))
    with pytest.raises(InputError, match=r'no chat template: .*data\.template = "chatml"'):
        load_student_tokenizer(config)


def test_a_named_template_whose_end_is_no_token_of_the_model_is_refused(tmp_path: Path) -> None:
    base = tiny_models.save_model(tmp_path / "base", template=None)
    corpus = write_corpus(tmp_path / "corpus", [trace(0)])
    path = write_config(tmp_path, base, corpus, data={"template": "llama3"})
    with pytest.raises(InputError, match=r"'<\|eot_id\|>' is \d+ tokens.*data\.template = \"plain"):
        run(load(TrainerConfig, path), print)
