"""The command line: every mistake is exit 2 and one line with the place and the remedy."""

import json
from pathlib import Path

import pytest

from tests.generator.process_runs import configure, generator, rehearsal

NOWHERE = "http://127.0.0.1:9/v1"


def complaint(*args: str | Path, **env: str) -> str:
    """The one line that a mistake is answered with."""
    process = generator(*args, **env)
    assert process.returncode == 2, process.stdout + process.stderr
    (line,) = process.stderr.splitlines()
    assert line.startswith("error: ")
    return line


def test_a_missing_configuration_file_is_named(tmp_path: Path) -> None:
    assert "nowhere.toml: No such file" in complaint("run", tmp_path / "nowhere.toml")


def test_bad_toml_is_named_with_its_line(tmp_path: Path) -> None:
    config = tmp_path / "bad.toml"
    config.write_text('corpus = "x"\n[problems\nsource = "y"\n')
    line = complaint("run", config)
    assert "bad.toml: not valid TOML" in line
    assert "line 2" in line


def test_an_unknown_key_is_told_its_line_and_the_nearest_known_key(tmp_path: Path) -> None:
    config = configure(tmp_path, NOWHERE, sampling__temprature=0.5)
    line = complaint("run", config)
    number = config.read_text().splitlines().index("temprature = 0.5") + 1
    assert (
        f"config.toml:{number}: sampling.temprature: unknown key; did you mean"
        " sampling.temperature?" in line
    )


@pytest.mark.parametrize(
    ("setting", "part"),
    [
        ("sampling.samples=0", "sampling.samples"),
        ("sampling.samples=many", "sampling.samples"),
        ("sampling.prompt=no place", "{problem}"),
        ("sampling.until_correct=5", "max_samples"),
        ("lane.0.base_url=ftp://x", "http://"),
        ("lane.0.base_url=''", "base_url"),
        ("lane.0.base_url=http://", "lane.0.base_url"),
        ("lane.0.base_url=http://[::1/v1", "lane.0.base_url"),
        ("lane.0.base_url=http://127.0.0.1:99999/v1", "lane.0.base_url"),
        ("lane.0.model=''", "model"),
        ("lane=[]", "add a [[lane]]"),
        ("judge.lane=local", "judge.lane"),
        ("lane.1.concurrency=5", "lane has 1 tables, numbered from 0"),
        ("lane.0.day_timezone=Mars/Base", "Asia/Shanghai"),
        ("lane.0.windows=['someday']", "someday"),
        ("daemon.host=0.0.0.0", "daemon."),
        ("problems.source=synthetic:poetry", "synthetic:arithmetic"),
        ("problems.source=nowhere.jsonl", "nowhere.jsonl"),
        ("nonsense", "key=value"),
    ],
)
def test_a_bad_value_is_told_by_its_key(tmp_path: Path, setting: str, part: str) -> None:
    config = configure(tmp_path, NOWHERE, daemon__port=8700)
    assert part in complaint("run", config, "--set", setting)


def test_a_configuration_without_a_lane_is_refused_and_not_done_at_once(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text(
        f'corpus = "{tmp_path / "corpus"}"\n[problems]\nsource = "synthetic:arithmetic"\nlimit'
        " = 3\n"
    )
    assert "add a [[lane]]" in complaint("run", config)


def test_a_user_in_the_address_and_a_key_exclude_each_other(tmp_path: Path) -> None:
    config = configure(tmp_path, "http://bob:word@127.0.0.1:9/v1", lane__api_key_env="TEACHER_KEY")
    line = complaint("run", config, TEACHER_KEY="sk-0123456789")
    assert "api_key_env" in line
    assert "word" not in line


def test_an_empty_key_names_its_variable(tmp_path: Path) -> None:
    config = configure(tmp_path, NOWHERE, lane__api_key_env="STILL_NO_KEY")
    assert "STILL_NO_KEY" in complaint("run", config, STILL_NO_KEY=" ")


def test_a_bad_jsonl_line_stops_the_run_before_the_first_call(tmp_path: Path) -> None:
    problems = tmp_path / "problems.jsonl"
    problems.write_text(json.dumps({"problem": "1+1?", "answer": "2"}) + "\n{torn\n")
    config = configure(
        tmp_path, NOWHERE, problems__source=str(problems), problems__answer_field="answer"
    )
    assert "problems.jsonl:2" in complaint("run", config)


def test_the_environment_overrides_the_file_and_set_overrides_both(tmp_path: Path) -> None:
    config = configure(tmp_path, NOWHERE)
    assert "-5" in complaint("run", config, STILLHOUSE_PROBLEMS__LIMIT="-5")
    assert "-7" in complaint(
        "run", config, "--set", "problems.limit=-7", STILLHOUSE_PROBLEMS__LIMIT="-5"
    )
    assert "STILL_NO_KEY" in complaint(
        "run", config, STILLHOUSE_LANE__0__API_KEY_ENV="STILL_NO_KEY"
    )


def test_an_unknown_verdict_to_retry_is_told_the_known_ones(tmp_path: Path) -> None:
    assert "truncated" in complaint("run", configure(tmp_path, NOWHERE), "--retry", "fialed")


@pytest.mark.parametrize("name", ["status", "check", "reindex"])
def test_a_folder_that_is_no_corpus_is_named(tmp_path: Path, name: str) -> None:
    assert str(tmp_path / "nowhere") in complaint(name, tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()
    assert str(tmp_path) in complaint(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_tilde_in_the_corpus_is_the_home_folder(tmp_path: Path) -> None:
    with rehearsal() as teacher:
        process = generator(
            "run",
            configure(tmp_path, teacher.url, corpus="~/c", problems__limit=2),
            HOME=str(tmp_path),
        )
    assert process.returncode == 0, process.stderr
    assert (tmp_path / "c" / "manifest.json").exists()


def test_help_explains_every_key() -> None:
    text = generator("--help").stdout
    for key in (
        "until_correct",
        "calls_per_day",
        "give_up_minutes",
        "api_key_env",
        "[[lane]]",
        "tokens_per_second",
    ):
        assert key in text
    assert not [
        line
        for line in text.splitlines()
        if " = " in line and "#" not in line and "  " not in line[:2]
    ]


def test_the_version_names_the_release(tmp_path: Path) -> None:
    process = generator("--version")
    assert process.returncode == 0
    assert process.stdout.startswith("stillhouse ")


def test_json_says_what_the_text_says(tmp_path: Path) -> None:
    with rehearsal() as teacher:
        config = configure(tmp_path, teacher.url, problems__limit=3)
        assert generator("run", config).returncode == 0
    corpus = tmp_path / "corpus"
    status = json.loads(generator("status", corpus, "--json").stdout)
    assert status["kept"] + status["rejected"] == 3
    assert status["calls"] >= 3
    findings = json.loads(generator("check", corpus, "--json").stdout)
    assert findings["faults"] == []
    assert sum(findings["rows"].values()) == 3
    outlook = json.loads(generator("plan", config, "--json").stdout)
    assert outlook["samples_finished"] == 3
    assert outlook["forecast"]["samples"] == 0
