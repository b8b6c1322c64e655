"""`new`: five questions, and a configuration that `plan` accepts."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from generator.config import GeneratorConfig
from generator.new_configuration import ask, configuration, teachers
from generator.plan import plan
from shared.config import load
from shared.errors import InputError

ROOT = Path(__file__).parents[2]


def asked(*lines: str) -> str:
    """The configuration after the user typed these lines."""
    typed_lines: Iterator[str] = iter(lines)

    def next_line(_: str) -> str:
        try:
            return next(typed_lines)
        except StopIteration:
            raise InputError("the input ended") from None

    return configuration(ask(next_line))


def loaded(folder: Path, text: str) -> GeneratorConfig:
    file = folder / "mine.toml"
    file.write_text(text)
    return load(GeneratorConfig, file, environ={})


def test_five_empty_lines_give_a_rehearsal_that_plan_accepts(tmp_path: Path) -> None:
    text = asked("", "", "", "", str(tmp_path / "corpus"))
    outlook = plan(loaded(tmp_path, text))
    assert outlook.usable
    assert outlook.problems == 300


@pytest.mark.parametrize("teacher", teachers())
def test_each_teacher_gives_a_lane_that_plan_accepts(tmp_path: Path, teacher: str) -> None:
    problems = tmp_path / "problems.jsonl"
    problems.write_text(json.dumps({"question": "1+1?", "answer": "#### 2"}) + "\n")
    text = asked(str(problems), teacher, "0", "3", str(tmp_path / "corpus"))
    outlook = plan(loaded(tmp_path, text))
    assert outlook.problems == 1
    assert outlook.forecast.samples == 3
    assert [lane.name for lane in outlook.forecast.lanes] == [teacher]


def test_an_answer_that_cannot_be_used_is_asked_for_again(tmp_path: Path) -> None:
    text = asked("nowhere.jsonl", "", "gpt", "vllm", "many", "-1", "7", "0", "2", "out")
    config = loaded(tmp_path, text)
    assert config.lane[0].preset == "vllm"
    assert config.problems.limit == 7
    assert config.sampling.samples == 2


def test_problems_of_a_hub_are_screened_against_what_will_judge_the_student(tmp_path: Path) -> None:
    config = loaded(tmp_path, asked("AI-MO/NuminaMath-CoT", "deepseek", "", "", ""))
    assert config.problems.exclude == ("gsm8k:test", "MATH-500")


def test_quotes_and_letters_of_any_script_are_kept_as_they_are(tmp_path: Path) -> None:
    config = loaded(tmp_path, asked("", "", "", "", 'data/"数学"\\'))
    assert config.corpus == 'data/"数学"\\'


def test_the_command_writes_the_file_once_and_says_what_to_type_next(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "generator", "new", "mine.toml"]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}

    def new(lines: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, input=lines, cwd=tmp_path, env=environment, capture_output=True, text=True
        )

    early_end = new("\n\n")
    assert early_end.returncode == 2
    assert "nothing was written" in early_end.stderr
    assert not (tmp_path / "mine.toml").exists()
    process = new("\nmodelscope\n\n\n\n")
    assert process.returncode == 0, process.stderr
    assert "export MODELSCOPE_SDK_TOKEN=" in process.stdout
    assert "plan mine.toml" in process.stdout
    again = new("\n\n\n\n\n")
    assert again.returncode == 2
    assert "exists already" in again.stderr
