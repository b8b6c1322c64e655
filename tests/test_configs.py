"""Every configuration that comes with the project loads as it is, and says what the documents
say of it.
"""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from evaluation.config import EvaluationConfig
from generator.config import GeneratorConfig
from generator.lanes.windows import windows_of
from shared.command_line import print_schema
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

MODELS = {"generator": GeneratorConfig, "trainer": TrainerConfig, "evaluation": EvaluationConfig}


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
def test_no_generator_configuration_needs_a_file_that_does_not_come_with_the_project(
    path: Path,
) -> None:
    source = load(GeneratorConfig, path, environ={}).problems.source
    assert not source.endswith((".jsonl", ".parquet"))


@pytest.mark.parametrize("path", of(GeneratorConfig), ids=lambda path: path.stem)
def test_what_evaluates_is_kept_out_of_every_corpus_of_real_problems(path: Path) -> None:
    config = load(GeneratorConfig, path, environ={})
    assert config.problems.source.startswith("synthetic:") or config.problems.exclude


# The tutorial's flags of `swift sft`, and our key for each.
TUTORIALS_FLAGS: dict[str, tuple[str, object]] = {
    "--model": ("model", "Qwen/Qwen2.5-1.5B-Instruct"),
    "--train_type lora": ("method", "lora"),
    "--lora_rank 16": ("lora.r", 16),
    "--torch_dtype bfloat16": ("train.precision", "bf16"),
    "--split_dataset_ratio 0": ("train.holdout", 0.0),
    "--max_length 4096": ("train.max_length", 4096),
    "--num_train_epochs 1": ("train.epochs", 1),
    "--per_device_train_batch_size 1": ("train.micro_batch", 1),
    "--gradient_accumulation_steps 16": ("train.batch", 16),
    "--learning_rate 1e-5": ("train.learning_rate", 1e-5),
    "--save_steps 100": ("train.save_steps", 100),
    "--save_total_limit 10": ("train.save_total_limit", 10),
    "--logging_steps 5": ("train.logging_steps", 5),
    "--report_to swanlab": ("track.to", ["swanlab"]),
}
# What ms-swift does where the tutorial has no flag.
MS_SWIFTS_DEFAULTS: dict[str, tuple[str, object]] = {
    "default: --lora_alpha": ("lora.alpha", 32),
    "default: --lora_dropout": ("lora.dropout", 0.05),
    "default: --target_modules": ("lora.target", "all-linear"),
    "default: --lr_scheduler_type": ("train.schedule", "cosine"),
    "default: --warmup_ratio": ("train.warmup", 0.0),
    "default: --weight_decay": ("train.weight_decay", 0.1),
    "default: --adam_beta2": ("train.adam_beta2", 0.95),
    "default: --max_grad_norm": ("train.max_grad_norm", 1.0),
    "default: --gradient_checkpointing": ("train.checkpointing", "on"),
    "default: --seed": ("train.seed", 42),
    "default: --system": ("data.system", "template"),
}


@pytest.mark.parametrize("flag", [*TUTORIALS_FLAGS, *MS_SWIFTS_DEFAULTS])
def test_the_tutorials_configuration_has_its_flags_and_says_which_is_which(flag: str) -> None:
    key, value = (TUTORIALS_FLAGS | MS_SWIFTS_DEFAULTS)[flag]
    path = ROOT / "configs/tutorial.toml"
    node: Any = tomllib.loads(path.read_text())  # written out, not a default of ours
    for name in key.split("."):
        node = node[name]
    assert node == value
    (line,) = (
        line
        for line in path.read_text().splitlines()
        if line.startswith(f"{key.rpartition('.')[2]} = ")
    )
    assert flag in line.partition("#")[2]


def test_every_line_of_the_tutorials_configuration_says_where_it_comes_from() -> None:
    lines = (ROOT / "configs/tutorial.toml").read_text().splitlines()
    for line in lines:
        if " = " in line and not line.startswith("#"):
            assert re.search(r"# (?:--|default: --|ours\b)", line), line
    every_row = load(TrainerConfig, ROOT / "configs/tutorial.toml", environ={})
    assert (every_row.data.max_per_problem, every_row.probe.problems) == (0, 0)


def test_the_page_attributes_nothing_to_the_tutorial_that_is_ours() -> None:
    rows = [
        line.split("|")[1]
        for line in (ROOT / "docs/tutorial.md").read_text().splitlines()
        if line.startswith("|")
    ]
    assert any("swift sft" in row for row in rows)
    assert any("evalscope" in row for row in rows)
    for word in ("asyncio", "Unsloth", "TRL", "lighteval", "alpha 16"):
        assert not [row for row in rows if word in row]


def test_each_card_has_its_configuration() -> None:
    methods = {
        path.stem: load(TrainerConfig, path, environ={}).method for path in of(TrainerConfig)
    }
    assert methods["train-8gb-qlora"] == "qlora"
    assert methods["train-24gb-lora"] == "lora"
    assert methods["train-full"] == "full"


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_configuration_names_the_schema_of_its_program_for_editors(path: Path) -> None:
    program = next(name for name, model in MODELS.items() if model is program_of(path))
    first_line = path.read_text().splitlines()[0]
    assert first_line == f"#:schema schemas/{program}.json"
    assert (path.parent / first_line.removeprefix("#:schema ")).is_file()


@pytest.mark.parametrize("program", ["generator", "trainer", "evaluation"])
def test_the_schema_that_editors_read_is_that_of_the_program(
    program: str, capsys: pytest.CaptureFixture[str]
) -> None:
    print_schema(MODELS[program])
    shipped_schema = (ROOT / "configs" / "schemas" / f"{program}.json").read_text()
    assert shipped_schema == capsys.readouterr().out, (
        f"run `python -m {program} schema` into that file"
    )
