"""What an endpoint does wrong is an error or a verdict, never a wrong zero."""

import json
from pathlib import Path
from typing import Any

import pytest

from evaluation.__main__ import main
from evaluation.engines.protocol import EndpointDead
from shared.errors import InputError
from tests.evaluation.conftest import (
    Reply,
    number_of,
    rows_of,
)
from tests.evaluation.hazard_runs import Serve, answers, endpoint_run, right


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
CLOSED = "hm\n</think>\n\n\\boxed{{{}}}"
BARE = "It is \\boxed{{{}}}."


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
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
