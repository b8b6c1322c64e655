"""Each way in which an evaluation has published a wrong number, and what happens here instead."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from evaluation.__main__ import main
from evaluation.engines.protocol import EndpointDead
from shared.errors import InputError
from tests.evaluation.conftest import (
    Endpoint,
    Reply,
    Script,
    number_of,
    rows_of,
    write_config,
    write_problems,
)
from tests.evaluation.tiny_models import write_model

Serve = Callable[[Script], Endpoint]
ROOT = Path(__file__).parents[2]


def right(problem: str, *_: Any) -> Reply:
    return {"text": f"\\boxed{{{number_of(problem)}}}"}


def endpoint_run(
    serve: Serve, folder: Path, script: Script, n: int = 6, **generation: Any
) -> tuple[Path, Endpoint]:
    endpoint = serve(script)
    problems = write_problems(folder / "p.jsonl", n)
    return (
        write_config(
            folder / "c.toml",
            endpoint,
            ["m"],
            str(problems),
            **({"max_new_tokens": 64} | generation),
        ),
        endpoint,
    )


def tiny_run(folder: Path, model: Path, n: int = 5, **generation: Any) -> Path:
    problems = write_problems(folder / "p.jsonl", n)
    return write_config(
        folder / "c.toml",
        None,
        [str(model)],
        str(problems),
        **({"max_new_tokens": 12} | generation),
    )


def answers(config: Path, model: str = "m") -> list[dict[str, Any]]:
    return rows_of(next((config.parent / "out").glob(f"*{model}/p/answers.jsonl")))


def test_a_retrained_model_at_the_same_path_is_asked_again_and_an_old_one_put_back_is_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = write_model(tmp_path / "m", seed=1)
    config = tiny_run(tmp_path, model)
    assert main(["run", str(config)]) == 0
    earlier_answers = answers(config)
    shutil.move(model, tmp_path / "aside")
    write_model(model, seed=2)
    capsys.readouterr()
    assert main(["run", str(config)]) == 0
    new_answers = answers(config)
    assert "from the cache" not in capsys.readouterr().out
    assert [row["text"] for row in earlier_answers] != [row["text"] for row in new_answers]
    assert {row["key"] for row in earlier_answers}.isdisjoint(row["key"] for row in new_answers)
    shutil.rmtree(model)
    shutil.move(tmp_path / "aside", model)
    assert main(["run", str(config)]) == 0
    assert "5 from the cache" in capsys.readouterr().out
    assert answers(config) == earlier_answers


def test_nothing_is_written_into_the_models_folder(tmp_path: Path) -> None:
    model = write_model(tmp_path / "m")
    before = sorted(path.name for path in model.iterdir())
    assert main(["run", str(tiny_run(tmp_path, model))]) == 0
    assert sorted(path.name for path in model.iterdir()) == before


def test_a_box_inside_thinking_that_never_ended_scores_nothing(
    serve: Serve, tmp_path: Path
) -> None:
    config, _ = endpoint_run(
        serve, tmp_path, lambda p, *_: {"text": f"<think>\nit must be \\boxed{{{number_of(p)}}}"}
    )
    assert main(["run", str(config)]) == 0
    summary = json.loads((tmp_path / "out/comparison.json").read_text())["benchmarks"]["p"]["base"]
    assert (summary["correct"], summary["unfinished"]) == (0, 6)
    assert summary["second_opinion"]["correct"] == 0


def test_a_server_that_sends_reasoning_alone_has_not_answered(serve: Serve, tmp_path: Path) -> None:
    config, _ = endpoint_run(
        serve,
        tmp_path,
        lambda p, *_: {
            "reasoning": f"\\boxed{{{number_of(p)}}}",
            "text": "",
            "finish": "length",
            "tokens": 64,
        },
    )
    assert main(["run", str(config)]) == 0
    assert {row["verdict"] for row in rows_of(tmp_path / "out/m/p/verdicts.jsonl")} == {"truncated"}


THOUGHT = "2 and 2, perhaps \\boxed{{{}}}, wait"


@pytest.mark.parametrize("finish", ["length", "max_tokens", "MAX_TOKENS", "model_length"])
@pytest.mark.parametrize(
    "shape",
    [
        {"text": f"<think>\n{THOUGHT}"},
        {"text": THOUGHT},  # the template opened the thinking, the server has no reasoning parser
        {"text": "", "reasoning": THOUGHT},
        {"text": THOUGHT, "reasoning": THOUGHT},  # under both names
        {"text": f"The answer is \\boxed{{{{{{}}}}}}. <think>\n{THOUGHT}"},
    ],
)
def test_a_thought_that_was_cut_is_truncated_however_a_server_sends_it(
    serve: Serve, tmp_path: Path, shape: Reply, finish: str
) -> None:
    def script(problem: str, *_: Any) -> Reply:
        number = number_of(problem)
        return {k: text.format(number, number) for k, text in shape.items()} | {
            "finish": finish,
            "tokens": 64,
        }

    config, _ = endpoint_run(serve, tmp_path, script, 2)
    assert main(["run", str(config)]) == 0
    assert {row["verdict"] for row in rows_of(tmp_path / "out/m/p/verdicts.jsonl")} == {"truncated"}
    base = json.loads((tmp_path / "out/comparison.json").read_text())["benchmarks"]["p"]["base"]
    assert (base["correct"], base["unfinished"], base["second_opinion"]["correct"]) == (0, 2, 0)


def verdicts_of(serve: Serve, folder: Path, texts: list[str]) -> list[str]:
    """What becomes of answers that all end by themselves; {} in a text is the right number."""
    config, _ = endpoint_run(
        serve, folder, lambda p, *_: {"text": texts[number_of(p)].format(number_of(p))}, len(texts)
    )
    assert main(["run", str(config)]) == 0
    return [row["verdict"] for row in rows_of(folder / "out/m/p/verdicts.jsonl")]


CLOSED, BARE = "hm\n</think>\n\n\\boxed{{{}}}", "It is \\boxed{{{}}}."


def test_where_other_answers_only_close_their_thinking_one_without_a_tag_never_ended_it(
    serve: Serve, tmp_path: Path
) -> None:
    assert verdicts_of(serve, tmp_path, [CLOSED, CLOSED, BARE, CLOSED]) == [
        *["correct"] * 2,
        "truncated",
        "correct",
    ]


@pytest.mark.parametrize(
    "further_texts", [[BARE, BARE], [CLOSED, BARE], [f"<think>\n{CLOSED}"] * 2]
)
def test_an_answer_without_a_tag_that_ended_counts_where_nothing_shows_that_it_began_inside_a_thought(
    serve: Serve, tmp_path: Path, further_texts: list[str]
) -> None:
    assert verdicts_of(serve, tmp_path, [BARE, *further_texts]) == ["correct"] * 3


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        ({"text": ""}, "empty text"),
        ({"status": 503, "text": "loading"}, "status 503"),
        ({"text": "", "drop": True}, "no answer after 2 calls"),
        ({"status": 200, "text": "<html>"}, "not a chat completion"),
        (
            {"status": 200, "text": '{"choices": [{"message": {"content": "7"}}], "usage": [7]}'},
            "not a chat completion",
        ),
    ],
)
def test_a_dead_endpoint_is_an_error_and_no_zero(
    serve: Serve, tmp_path: Path, reply: Reply, says: str
) -> None:
    config, _ = endpoint_run(serve, tmp_path, lambda *_: reply)
    with pytest.raises(EndpointDead, match=says) as error:
        main(["run", str(config), "--set", "engine.attempts=2"])
    assert error.value.exit_code == 4
    assert not (tmp_path / "out/comparison.json").exists()


def test_an_endpoint_that_dies_half_way_keeps_what_it_answered(
    serve: Serve, tmp_path: Path
) -> None:
    dead = True

    def script(problem: str, *_: Any) -> Reply:
        return (
            {"status": 500, "text": "gone"} if dead and number_of(problem) >= 10 else right(problem)
        )

    config, endpoint = endpoint_run(serve, tmp_path, script, 20)
    with pytest.raises(EndpointDead):
        main(["run", str(config), "--set", "engine.attempts=1"])
    cached_problems = [answer["problem"] for answer in answers(config)]
    assert 0 < len(cached_problems) <= 10
    dead = False
    assert main(["run", str(config)]) == 0
    assert all(endpoint.asked["m", problem] == 1 for problem in cached_problems)
    assert (
        json.loads((tmp_path / "out/comparison.json").read_text())["benchmarks"]["p"]["base"][
            "correct"
        ]
        == 20
    )


def test_a_moments_fault_and_a_full_server_cost_nothing_but_time(
    serve: Serve, tmp_path: Path
) -> None:
    def script(problem: str, _: str, call: int) -> Reply:
        if call == 1:
            return {"status": 429, "text": "", "headers": {"Retry-After": "0.1"}}
        return {"text": ""} if call == 2 else right(problem)

    config, _ = endpoint_run(serve, tmp_path, script)
    assert main(["run", str(config)]) == 0
    assert (
        json.loads((tmp_path / "out/comparison.json").read_text())["benchmarks"]["p"]["base"][
            "correct"
        ]
        == 6
    )


def test_a_refused_key_is_the_users_to_mend_and_is_never_shown(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-1")
    config, endpoint = endpoint_run(
        serve, tmp_path, lambda *_: {"status": 401, "text": "bad key sk-secret-1"}
    )
    with pytest.raises(InputError, match=r"status 401 .* set OPENAI_API_KEY") as error:
        main(["run", str(config)])
    assert "sk-secret-1" not in str(error.value)
    assert endpoint.headers[0]["Authorization"] == "Bearer sk-secret-1"


def test_a_key_that_a_cut_would_halve_is_never_shown_and_one_that_no_header_holds_is_refused(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-1\n")  # as a file's content comes
    config, endpoint = endpoint_run(
        serve, tmp_path, lambda *_: {"status": 500, "text": "x" * 193 + "sk-secret-1"}
    )
    with pytest.raises(EndpointDead) as error:
        main(["run", str(config), "--set", "engine.attempts=1"])
    assert "sk-" not in str(error.value)
    assert endpoint.headers[0]["Authorization"] == "Bearer sk-secret-1"
    monkeypatch.setenv("OPENAI_API_KEY", "sk-\nsecret")
    with pytest.raises(InputError, match="OPENAI_API_KEY: holds characters that no key has"):
        main(["run", str(config)])


def test_half_a_surrogate_pair_in_an_answer_is_kept_as_text(serve: Serve, tmp_path: Path) -> None:
    config, _ = endpoint_run(
        serve, tmp_path, lambda p, *_: {"text": f"\ud83d \\boxed{{{number_of(p)}}}"}
    )
    assert main(["run", str(config)]) == 0
    assert {row["text"][0] for row in answers(config)} == {"\ufffd"}
    assert (
        json.loads((tmp_path / "out/comparison.json").read_text())["benchmarks"]["p"]["base"][
            "correct"
        ]
        == 6
    )


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("model.safetensors", b"PK", "cannot be loaded (SafetensorError"),
        ("config.json", b"{", "cannot be loaded (OSError"),
        ("tokenizer.json", b"{}", "cannot be loaded (KeyError"),
        (
            "model.safetensors",
            None,
            "1 of its weights are in none of its files (model.layers.1.mlp.down_proj.weight",
        ),
    ],
)
def test_a_damaged_model_folder_is_an_error_and_no_zero(
    tmp_path: Path, name: str, content: bytes | None, says: str
) -> None:
    model = write_model(tmp_path / "m")
    if content is None:
        weights = load_file(model / name)
        del weights["model.layers.1.mlp.down_proj.weight"]
        save_file(weights, model / name, metadata={"format": "pt"})
    else:
        (model / name).write_bytes(content)
    with pytest.raises(InputError) as error:
        main(["run", str(tiny_run(tmp_path, model))])
    assert says in str(error.value)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out/comparison.json").exists()


def test_a_device_that_holds_no_numbers_is_refused(tmp_path: Path) -> None:
    config = tiny_run(tmp_path, write_model(tmp_path / "m"))
    with pytest.raises(InputError, match=r'engine.device = "meta": no such device here'):
        main(["run", str(config), "--set", "engine.device=meta"])


def test_a_server_that_ignores_max_new_tokens_is_refused(serve: Serve, tmp_path: Path) -> None:
    config, _ = endpoint_run(serve, tmp_path, lambda p, *_: right(p) | {"tokens": 65})
    with pytest.raises(InputError, match="65 tokens where max_new_tokens = 64"):
        main(["run", str(config)])


def test_a_server_that_cuts_below_max_new_tokens_is_refused(serve: Serve, tmp_path: Path) -> None:
    config, _ = endpoint_run(
        serve, tmp_path, lambda p, *_: right(p) | {"tokens": 40, "finish": "length"}
    )
    with pytest.raises(InputError, match="cut an answer at 40 tokens where max_new_tokens = 64"):
        main(["run", str(config)])


def test_a_model_of_our_own_makes_just_as_many_tokens_as_the_user_said(tmp_path: Path) -> None:
    model = write_model(tmp_path / "m")
    config = tiny_run(tmp_path, model, max_new_tokens=23)
    assert main(["run", str(config)]) == 0
    for row in answers(config):
        assert (
            row["completion_tokens"] == 23
            if row["finish_reason"] == "length"
            else row["completion_tokens"] <= 23
        )
    assert any(row["finish_reason"] == "length" for row in answers(config))


def test_more_tokens_than_the_model_has_places_for_are_refused_before_the_first_question(
    tmp_path: Path,
) -> None:
    config = tiny_run(
        tmp_path, write_model(tmp_path / "m", max_position_embeddings=256), max_new_tokens=200
    )
    with pytest.raises(InputError, match=r"exceed the 256 positions .* set at most"):
        main(["run", str(config)])


def test_an_adapter_is_refused_with_the_command_that_merges_it(tmp_path: Path) -> None:
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text("{}")
    (adapter / "adapter_model.safetensors").write_bytes(b"x")
    with pytest.raises(InputError, match="trainer merge"):
        main(["run", str(tiny_run(tmp_path, adapter))])


_NO_NETWORK = """
import os, socket
def refuse(self, address, *rest):
    if self.family == socket.AF_UNIX:
        return connect(self, address, *rest)
    with open(os.environ["ATTEMPTS"], "a") as file:
        print(address, file=file)
    raise OSError("no network here")
connect = socket.socket.connect
socket.socket.connect = refuse
socket.socket.connect_ex = refuse
def no_names(*names, **_):
    with open(os.environ["ATTEMPTS"], "a") as file:
        print(names, file=file)
    raise socket.gaierror("no network here")
socket.getaddrinfo = no_names
"""


def test_a_run_on_local_files_never_looks_for_the_network_and_leaves_nothing_in_the_working_directory(
    tmp_path: Path,
) -> None:
    config = tiny_run(tmp_path, write_model(tmp_path / "m"))
    (tmp_path / "site").mkdir()
    (tmp_path / "site/sitecustomize.py").write_text(_NO_NETWORK)
    (tmp_path / "cwd").mkdir()
    attempts = tmp_path / "attempts"
    environment = os.environ | {
        "PYTHONPATH": f"{tmp_path / 'site'}{os.pathsep}{ROOT}",
        "ATTEMPTS": str(attempts),
        "OMP_NUM_THREADS": "1",
        "HF_HOME": str(tmp_path / "empty-cache"),
    }
    command = [sys.executable, "-m", "evaluation", "run", str(config)]
    process = subprocess.run(
        command, cwd=tmp_path / "cwd", env=environment, capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stderr
    assert not attempts.exists(), attempts.read_text()
    assert list((tmp_path / "cwd").iterdir()) == []
    assert process.stderr == ""
    opinions = [
        row["second_opinion"]
        for row in rows_of(next((tmp_path / "out").glob("*/p/verdicts.jsonl")))
    ]
    assert None not in opinions


def test_a_model_that_is_missing_is_told_before_the_one_that_is_there_has_answered(
    tmp_path: Path,
) -> None:
    problems = write_problems(tmp_path / "sums.jsonl", 3)
    models = [str(write_model(tmp_path / "base")), str(tmp_path / "run" / "merged")]
    config = write_config(tmp_path / "c.toml", None, models, str(problems))
    with pytest.raises(InputError, match="merged: no such folder: train and merge first"):
        main(["run", str(config)])
    assert not (tmp_path / "out").exists()
