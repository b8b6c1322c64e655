"""A template's date, and a base without a template: what both models of a comparison are asked with."""

import json
from datetime import datetime
from pathlib import Path

import pytest

from evaluation.__main__ import main
from evaluation.engines import prompt_template as module
from evaluation.engines.prompt_template import DAY_FILE, prompt_template
from shared.template_date import freeze_date
from tests.evaluation.conftest import rows_of, write_config, write_problems
from tests.evaluation.tiny_models import CHATML, write_model

DATED = "{{- 'Today Date: ' + strftime_now('%d %b %Y') }}" + CHATML


class Tomorrow(datetime):
    """A clock that is a day ahead."""

    @classmethod
    def now(cls, tz: object = None) -> "Tomorrow":
        today = datetime.now()
        return cls.fromordinal(today.toordinal() + 1)


def model_with(folder: Path, template: str) -> Path:
    write_model(folder)
    (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    return folder


def test_the_next_day_no_answer_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = model_with(tmp_path / "model", DATED)
    problems = write_problems(tmp_path / "sums.jsonl", 2)
    config = write_config(tmp_path / "c.toml", None, [str(folder)], str(problems), max_new_tokens=4)
    assert main(["run", str(config)]) == 0
    (answers,) = (tmp_path / "out").glob("*/*/answers.jsonl")
    before = rows_of(answers)
    monkeypatch.setattr(module, "datetime", Tomorrow)
    assert main(["run", str(config)]) == 0
    assert rows_of(answers) == before
    assert len(before) == 2


def test_all_models_are_asked_with_the_day_of_the_one_that_was_trained(tmp_path: Path) -> None:
    day = datetime(2026, 1, 2)
    base = model_with(tmp_path / "base", DATED)
    tuned_model = model_with(tmp_path / "tuned", freeze_date(DATED, day))
    out = tmp_path / "out"
    out.mkdir()
    assert prompt_template([base, tuned_model], out).today == day
    assert json.loads((out / DAY_FILE).read_bytes()) == {"date": "2026-01-02"}
    assert prompt_template([base], out).today == day


def test_a_base_without_a_template_is_asked_with_the_tuned_models(tmp_path: Path) -> None:
    base = write_model(tmp_path / "base")
    (base / "chat_template.jinja").unlink()
    tuned_model = model_with(tmp_path / "tuned", CHATML)
    problems = write_problems(tmp_path / "sums.jsonl", 1)
    models = [str(base), str(tuned_model)]
    config = write_config(tmp_path / "c.toml", None, models, str(problems), max_new_tokens=4)
    assert main(["run", str(config)]) == 0
    rows = [rows_of(path) for path in sorted((tmp_path / "out").glob("*/*/answers.jsonl"))]
    assert len(rows) == 2
    assert rows[0][0]["prompt_sha"] == rows[1][0]["prompt_sha"]
    assert not (tmp_path / "out" / DAY_FILE).exists()
