"""The table of the students, row by row: each architecture with its own chat template is planned,
trained, probed, merged with proof, chatted with and decoded.
"""

from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from shared.config import load
from shared.inference.continuous_batching import Decoder
from shared.inference.generation import decoder_kind, generate
from shared.inference.hf_generate import HfDecoder
from shared.inference.loading import load_model, load_tokenizer
from shared.inference.requests import Prompt, Sampling
from shared.rendering import ChatRenderer
from shared.template_date import frozen_date
from tests.trainer.corpora import trace, write_corpus
from tests.trainer.process_runs import ROOT, metrics, write_config
from tests.trainer.students.models import STUDENTS, Student, save
from tests.trainer.students.table import HEAD, row_of
from trainer.artifacts.manifest import read_manifest, template_date
from trainer.artifacts.merge import merge
from trainer.chat import SamplingSettings, Speaker
from trainer.config import Method, TrainerConfig
from trainer.data.examples import Encoder, Example
from trainer.layers.backends import Setup, load_config, open_backend
from trainer.layers.loss import loss_sum
from trainer.layers.packing import make_batch
from trainer.layers.recurrent_state import carries_state
from trainer.loop.train import run

LONG = 16  # a sample whose thinking is above the 128 tokens where the frequencies of Phi change
DATED = {"Llama-3.2", "SmolLM3", "Granite"}
HYBRID = {"Qwen3.5"}
DECODED_BY_TRANSFORMERS = {"Qwen3.5", "Gemma-3", "Gemma-3 (4B and larger)"}


class Trained(NamedTuple):
    """A student's run, with what it said."""

    folder: Path
    lines: list[str]


@pytest.fixture(scope="module", params=STUDENTS, ids=lambda student: student.name)
def student(request: pytest.FixtureRequest) -> Student:
    made: Student = request.param
    return made


@pytest.fixture(scope="module")
def folder(student: Student, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(student, tmp_path_factory.mktemp(student.name) / "model")


@pytest.fixture(scope="module")
def trained(student: Student, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Four steps of LoRA, as `python -m trainer run` makes them, then the merge."""
    root = tmp_path_factory.mktemp("run")
    corpus = write_corpus(root / "corpus", [trace(number) for number in range(40)])
    train = {"max_steps": 4, "merge": False, "learning_rate": 1e-2}
    probe = {"problems": 2, "every_steps": 4, "max_new_tokens": 8}
    config = load(TrainerConfig, write_config(root, folder, corpus, train=train, probe=probe))
    lines: list[str] = []
    assert run(config, lines.append) == 0
    assert merge(root / "run", lines.append) == 0
    return Trained(root / "run", lines)


def test_a_student_is_planned_trained_probed_and_merged_with_proof(
    student: Student, trained: Trained
) -> None:
    text = "\n".join(trained.lines)
    losses = metrics(trained.folder)
    assert list(losses) == [1, 2, 3, 4]
    assert losses[4] < losses[1]
    assert "generation eval at step 4" in text
    assert ("one example a row" in text) == (student.name in HYBRID)
    manifest = read_manifest(trained.folder)
    assert manifest is not None
    assert manifest["merge"]["holds"] is True
    assert not manifest["data"]["left_out"]


def test_chat_answers_from_the_adapter_and_from_the_base(trained: Trained) -> None:
    speaker = Speaker(trained.folder)
    for base in (False, True):
        shown: list[str] = []
        question = [{"role": "user", "content": "What is 2 + 3?"}]
        answer = speaker.answer(question, SamplingSettings(max_new_tokens=6), shown.append, base)
        assert answer
        assert shown


def test_the_merged_folder_renders_as_the_model_did_on_the_day_of_its_training(
    student: Student, folder: Path, trained: Trained
) -> None:
    manifest = read_manifest(trained.folder)
    assert manifest is not None
    day = template_date(manifest)
    before = ChatRenderer.of(load_tokenizer(folder), today=day)
    question = [{"role": "user", "content": "What is 2 + 3?"}]
    for name in ("adapter", "merged"):
        after = ChatRenderer.of(load_tokenizer(trained.folder / name), today=datetime(2099, 1, 1))
        assert after.prompt(question) == before.prompt(question)
        assert after.end == before.end
        assert after.digest == manifest["template"]["digest"]
        assert (frozen_date(after.template) == day) == (student.name in DATED)


def test_the_merged_model_is_decoded_to_transformers_own_greedy_tokens(
    student: Student, trained: Trained
) -> None:
    model = load_model(trained.folder / "merged", torch.device("cpu"), torch.float32)
    tokens = load_tokenizer(trained.folder / "merged")
    chat = ChatRenderer.of(tokens)
    prompts = [
        Prompt(tokens(chat.prompt(question), add_special_tokens=False)["input_ids"], 12)
        for question in ([{"role": "user", "content": f"What is {n} + 3?"}] for n in (2, 12345))
    ]
    kind = decoder_kind(model, prompts[0].ids, 100)
    assert kind is (HfDecoder if student.name in DECODED_BY_TRANSFORMERS else Decoder)
    for prompt, answer in zip(prompts, generate(model, prompts, Sampling()), strict=True):
        assert answer.tokens == _greedy(model, prompt)


def test_the_loss_of_packed_examples_is_transformers_own_row_by_row(
    student: Student, folder: Path
) -> None:
    examples = _examples(folder)
    plain = load_model(folder, torch.device("cpu"), torch.float32)
    model = _load(folder)
    padded = carries_state(load_config(str(folder)))
    with torch.no_grad():
        packed = loss_sum(model, make_batch(examples, padded=padded)).item()
        alone = [_loss(plain, example).item() for example in examples]
    assert packed == pytest.approx(sum(alone), rel=3e-6)


@pytest.mark.parametrize("method", ["lora", "full"])
def test_gradients_are_pefts_and_transformers_own(folder: Path, method: Method) -> None:
    examples = _examples(folder)
    padded = carries_state(load_config(str(folder)))
    model = _load(folder, method)
    _disturb(model)
    loss_sum(model, make_batch(examples, padded=padded)).backward()
    gradients = _gradients(model)
    plain = _load_plain(folder, method)
    _disturb(plain)
    for example in examples:
        _loss(plain, example).backward()
    theirs = _gradients(plain)
    assert gradients.keys() == theirs.keys()
    for name, gradient in gradients.items():
        assert (gradient - theirs[name]).norm() <= 1e-4 * theirs[name].norm(), name


def test_what_sees_gets_no_adapter(student: Student, folder: Path) -> None:
    model = _load(folder)
    inside = {id(parameter) for parameter in model.get_base_model().get_decoder().parameters()}
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    assert trained
    assert all(id(parameter) in inside for parameter in trained)


def test_the_table_of_the_documents_says_what_the_code_does(student: Student, folder: Path) -> None:
    page = (ROOT / "docs" / "students.md").read_text(encoding="utf-8")
    assert HEAD in page
    assert row_of(student, folder) in page.splitlines()


def _examples(folder: Path) -> list[Example]:
    """Six examples, one of them long, through the student's own template."""
    tokens = load_tokenizer(folder)
    encoder = Encoder(tokens, ChatRenderer.of(tokens), 1024)
    traces = [trace(number) for number in range(5)] + [trace(5, sample=LONG)]
    encoded = list(encoder.encode(traces))
    examples = [each for each in encoded if isinstance(each, Example)]
    assert examples == encoded
    return examples


def _load(folder: Path, method: Method = "lora") -> Any:
    """With our layers, as a run has it."""
    config = TrainerConfig(run="unused", model=str(folder), corpora=("unused",), method=method)
    setup = Setup("fp32", checkpointing=False, compile=False, device="cpu")
    return open_backend(config).load_model(config, setup)


def _load_plain(folder: Path, method: Method) -> Any:
    """transformers' own model, with adapters by PEFT alone."""
    from peft import LoraConfig, get_peft_model

    plain = load_model(folder, torch.device("cpu"), torch.float32)
    if method == "full":
        return plain
    lora = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")
    return get_peft_model(plain, lora)


def _disturb(model: Any) -> None:
    """Both halves of every adapter, if any, away from their first values: zeros in one."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            if "lora_" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.05)


def _gradients(model: Any) -> dict[str, torch.Tensor]:
    return {
        name: parameter.grad
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    }


def _loss(model: Any, example: Example) -> torch.Tensor:
    """The loss of one example alone, by transformers' own attention and logits."""
    ids = torch.tensor([list(example.ids)])  # [1, L]
    logits = model(input_ids=ids, use_cache=False).logits[0]  # [L, V]
    start = example.prompt_length
    return torch.nn.functional.cross_entropy(
        logits[start - 1 : -1], ids[0, start:], reduction="sum"
    )


def _greedy(model: Any, prompt: Prompt) -> list[int]:
    """transformers' own greedy tokens of one prompt, without any end."""
    ids = list(prompt.ids)
    with torch.inference_mode():
        for _ in range(prompt.limit):
            logits = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1]
            ids.append(int(logits.argmax()))
    return ids[len(prompt.ids) :]
