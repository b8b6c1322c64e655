"""Every configuration that comes with the project loads as it is, and says what the documents say of it."""

import re
import tomllib
from pathlib import Path

import pytest

from evaluation.config import EvaluationConfig
from generator.config import GeneratorConfig
from generator.lanes.windows import windows_of
from shared.config import Config, load
from trainer.config import TrainerConfig

ROOT = Path(__file__).parent.parent
CONFIGS = sorted((ROOT / "configs").glob("*.toml"))
# The key that only this program's configurations have.
PROGRAMS: dict[str, type[Config]] = {
    "corpus": GeneratorConfig,
    "corpora": TrainerConfig,
    "benchmarks": EvaluationConfig,
}


def program_of(path: Path) -> type[Config]:
    keys = tomllib.loads(path.read_text()).keys()
    (program,) = (model for key, model in PROGRAMS.items() if key in keys)
    return program


def of(program: type[Config]) -> list[Path]:
    return [path for path in CONFIGS if program_of(path) is program]


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_configuration_loads_with_the_model_of_its_program(path: Path) -> None:
    load(program_of(path), path, environ={})


@pytest.mark.parametrize("path", of(GeneratorConfig), ids=lambda path: path.stem)
def test_every_lane_has_an_address_a_model_and_hours_that_can_be_read(path: Path) -> None:
    for lane in load(GeneratorConfig, path, environ={}).lane:
        assert lane.base_url
        assert lane.model
        windows_of(lane)


@pytest.mark.parametrize("path", of(GeneratorConfig), ids=lambda path: path.stem)
def test_no_generator_configuration_needs_a_file_that_does_not_come_with_the_project(path: Path) -> None:
    source = load(GeneratorConfig, path, environ={}).problems.source
    assert not source.endswith((".jsonl", ".parquet"))


@pytest.mark.parametrize("path", of(GeneratorConfig), ids=lambda path: path.stem)
def test_what_evaluates_is_kept_out_of_every_corpus_of_real_problems(path: Path) -> None:
    config = load(GeneratorConfig, path, environ={})
    assert config.problems.source.startswith("synthetic:") or config.problems.exclude


def test_the_tutorials_run_is_the_tutorials() -> None:
    config = load(TrainerConfig, ROOT / "configs/tutorial.toml", environ={})
    train = config.train
    assert (config.model, config.method, config.lora.r) == ("Qwen/Qwen2.5-1.5B-Instruct", "lora", 16)
    assert (train.max_length, train.epochs, train.batch, train.micro_batch) == (4096, 1, 16, 1)
    assert (train.learning_rate, train.precision) == (1e-5, "bf16")
    assert (train.save_steps, train.save_total_limit, train.logging_steps) == (100, 10, 5)
    assert config.track.to == ("swanlab",)


def test_each_card_has_its_configuration() -> None:
    methods = {path.stem: load(TrainerConfig, path, environ={}).method for path in of(TrainerConfig)}
    assert methods["train-8gb-qlora"] == "qlora"
    assert methods["train-24gb-lora"] == "lora"
    assert methods["train-full"] == "full"


def documents() -> list[Path]:
    return [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]


@pytest.mark.parametrize("page", documents(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_configuration_and_file_that_a_document_names_exists(page: Path) -> None:
    text = page.read_text()
    named = {ROOT / name for name in re.findall(r"\bconfigs/[\w.-]+\.toml", text)} - {ROOT / "configs/x.toml"}
    linked = {page.parent / link for link in re.findall(r"\]\((?!https?:|#)([^)#\s]+)", text)}
    assert sorted(str(path) for path in named | linked if not path.exists()) == []
