"""A folder of the system is nobody's corpus, run or evaluation."""

import os
from pathlib import Path

import pytest

from evaluation.config import EvaluationConfig
from generator.config import BudgetConfig, GeneratorConfig
from shared.config import Config, load
from shared.destinations import check_own_folder
from shared.errors import InputError
from shared.system_folders import refuse_system_folder
from trainer.config import TrainerConfig

CONFIGS = Path(__file__).parents[2] / "configs"


@pytest.mark.parametrize(
    "path",
    [
        *("/", "//", "/etc", "/etc/", "/etc/stillhouse", "/usr", "/usr/bin/x", "/bin", "/sys/fs"),
        *("/dev/null", "/dev/shm", "/tmp", "/var", "/home", "/boot/../etc", "../" * 60),
    ],
)
def test_a_folder_of_the_system_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="is a folder of the system: give one of your own"):
        refuse_system_folder(path)


@pytest.mark.parametrize(
    "path",
    [
        *("corpus", "~/corpus", "/home/ann/corpus", "/dev/shm/corpus", "/tmp/corpus", "/data"),
        *("/usr/local/share/corpus", "/mnt", "/mnt/disk", "/var/lib/corpus", "/etcetera"),
    ],
)
def test_a_folder_of_ones_own_is_not_refused(path: str) -> None:
    refuse_system_folder(path)


def test_a_link_to_the_system_is_followed(tmp_path: Path) -> None:
    os.symlink("/etc", tmp_path / "corpus")
    with pytest.raises(InputError, match="corpus: /etc is a folder of the system"):
        check_own_folder(tmp_path / "corpus")


@pytest.mark.parametrize(
    ("model", "file", "key"),
    [
        (GeneratorConfig, "rehearsal.toml", "corpus"),
        (GeneratorConfig, "rehearsal.toml", "budget.shared"),
        (TrainerConfig, "train-smollm2-cpu.toml", "run"),
        (EvaluationConfig, "evaluate-gsm8k.toml", "out"),
    ],
)
def test_a_configuration_that_names_one_is_one_line_with_its_key(
    model: type[Config], file: str, key: str
) -> None:
    with pytest.raises(InputError) as refusal:
        load(model, CONFIGS / file, sets=[f'{key}="/etc"'])
    (line,) = str(refusal.value).splitlines()
    assert key in line
    assert "/etc is a folder of the system: give one of your own" in line


def test_an_empty_shared_budget_is_none() -> None:
    assert BudgetConfig(shared="").shared == ""
