"""What a server is asked beside the question, and what happens where it refuses a part of that."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evaluation.__main__ import main
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

Serve = Callable[[Script], Endpoint]
Start = Callable[..., tuple[Path, Endpoint]]


@pytest.fixture
def start(serve: Serve, tmp_path: Path) -> Start:
    """A configuration of six problems and its server, which answers each of them rightly."""

    def make(models: tuple[str, ...] = ("m",), **generation: Any) -> tuple[Path, Endpoint]:
        endpoint = serve(lambda problem, *_: {"text": f"\\boxed{{{number_of(problem)}}}"})
        problems = write_problems(tmp_path / "p.jsonl", 6)
        settings = {"max_new_tokens": 64} | generation
        return write_config(
            tmp_path / "c.toml", endpoint, list(models), str(problems), **settings
        ), endpoint

    return make


def refusing(
    *fields: str, status: int = 400, words: str = ""
) -> Callable[[dict[str, Any]], Reply | None]:
    """A server that knows none of `fields`. It names the first that it meets, or says `words`."""

    def refuse(body: dict[str, Any]) -> Reply | None:
        unknown = [field for field in fields if field in body]
        if not unknown:
            return None
        message = words or f"Unrecognized request argument supplied: {unknown[0]}"
        return {"status": status, "text": json.dumps({"error": {"message": message}})}

    return refuse


def answered(endpoint: Endpoint, *fields: str) -> list[dict[str, Any]]:
    """The bodies without any of `fields`: those that the server answered."""
    return [body for body in endpoint.bodies if not body.keys() & set(fields)]


def manifest_of(config: Path) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads((config.parent / "out/manifest.json").read_text())
    return manifest


@pytest.mark.parametrize("temperature", [0.0, 0.6])
def test_neutral_values_are_sent_so_that_no_default_of_the_server_applies(
    start: Start, temperature: float
) -> None:
    config, endpoint = start(temperature=temperature)
    assert main(["run", str(config)]) == 0
    neutral = {
        "temperature": temperature,
        "top_p": 1.0,
        "top_k": -1,
        "min_p": 0.0,
        "repetition_penalty": 1.0,
    }
    for body in endpoint.bodies:
        assert {name: body[name] for name in neutral} == neutral
        assert ("seed" in body) == (temperature > 0)
        assert [message["role"] for message in body["messages"]] == ["user"]
    assert manifest_of(config)["models"][0]["sent"] == neutral


def test_what_is_set_is_sent(start: Start) -> None:
    config, endpoint = start(temperature=0.6, top_p=0.9, top_k=20, min_p=0.1)
    extra = [
        "generation.chat_template_kwargs={enable_thinking = false}",
        "generation.extra_body.repetition_penalty=1.05",
    ]
    assert main(["run", str(config), *(word for item in extra for word in ("--set", item))]) == 0
    for body in endpoint.bodies:
        assert (body["top_p"], body["top_k"], body["min_p"], body["repetition_penalty"]) == (
            0.9,
            20,
            0.1,
            1.05,
        )
        assert body["chat_template_kwargs"] == {"enable_thinking": False}


@pytest.mark.parametrize("system", ["", "Answer in French."])
def test_the_templates_system_text_is_silenced_or_replaced_by_a_message(
    start: Start, system: str
) -> None:
    config, endpoint = start(system=system)
    assert main(["run", str(config)]) == 0
    assert all(
        body["messages"][0] == {"role": "system", "content": system} for body in endpoint.bodies
    )
    assert (
        main(["run", str(config), "--set", "generation.system_prompt=Be brief."]) == 0
    )  # asked anew, with its own
    assert len(endpoint.bodies) == 12
    assert [message["content"] for message in endpoint.bodies[-1]["messages"]][:1] == ["Be brief."]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("refuse", "lost"),
    [
        (
            refusing("top_k", "repetition_penalty", "min_p"),
            ["min_p", "repetition_penalty", "top_k"],
        ),
        (refusing("top_k"), ["top_k"]),
        (refusing("seed", status=422), ["seed"]),
        (refusing("top_p", words="`temperature` and `top_p` cannot both be specified"), ["top_p"]),
        (
            refusing("min_p", words="Bad Request"),
            ["min_p", "repetition_penalty", "top_k"],
        ),  # names none: all others go
    ],
)
def test_a_server_that_refuses_a_neutral_field_is_asked_without_it_and_that_is_told_once_and_kept(
    start: Start,
    capsys: pytest.CaptureFixture[str],
    refuse: Callable[[dict[str, Any]], Reply | None],
    lost: list[str],
) -> None:
    config, endpoint = start(temperature=0.6)
    endpoint.refuse = refuse
    assert main(["run", str(config)]) == 0
    output = capsys.readouterr().out
    assert output.count(f"the server refuses {', '.join(lost)}; asked without") == 1
    assert output.count("the server refuses") == 1
    assert len(answered(endpoint, *lost)) == 6
    assert all(row["without"] == lost for row in rows_of(config.parent / "out/m/p/answers.jsonl"))
    assert manifest_of(config)["models"][0]["refused_fields"] == lost
    comparison = json.loads((config.parent / "out/comparison.json").read_text())["benchmarks"]["p"]
    assert comparison["base"]["correct"] == 6
    calls = len(endpoint.bodies)
    assert main(["run", str(config)]) == 0  # all of it from the cache, and known from there
    assert len(endpoint.bodies) == calls
    assert manifest_of(config)["models"][0]["refused_fields"] == lost


def test_a_server_that_calls_the_limit_by_its_newer_name_is_asked_so(start: Start) -> None:
    config, endpoint = start()
    words = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
    endpoint.refuse = refusing("max_tokens", words=words)
    assert main(["run", str(config)]) == 0
    assert [body["max_completion_tokens"] for body in answered(endpoint, "max_tokens")] == [64] * 6


@pytest.mark.parametrize(
    ("settings", "field", "words", "says"),
    [
        (
            {"temperature": 0.6, "top_p": 0.9},
            "top_p",
            "",
            r"generation.top_p = 0.9 cannot be applied here",
        ),
        (
            {"temperature": 0.6, "top_k": 20},
            "top_k",
            "",
            r"generation.top_k = 20 cannot be applied here",
        ),
        (
            {},
            "temperature",
            "'temperature' does not support 0 with this model",
            r"generation.temperature = 0.0 cannot",
        ),
        (
            {"system": ""},
            "messages",
            "System role not supported: system",
            r"generation.system cannot be applied here",
        ),
        (
            {},
            "max_tokens",
            "max_tokens or max_completion_tokens is too large: 64",
            r"is too large: 64",
        ),
        ({}, "messages", "the model's context is 32 tokens", r"status 400 .* context is 32 tokens"),
    ],
)
def test_what_the_user_has_set_is_never_left_out_in_silence(
    start: Start, settings: dict[str, Any], field: str, words: str, says: str
) -> None:
    config, endpoint = start(**settings)
    endpoint.refuse = refusing(
        field, "max_completion_tokens" if field == "max_tokens" else field, words=words
    )
    with pytest.raises(InputError, match=says) as refusal:
        main(["run", str(config)])
    assert "\n" not in str(refusal.value)
    assert not (config.parent / "out/comparison.json").exists()


def test_answers_that_were_asked_with_other_fields_are_not_taken_from_the_cache(
    start: Start,
) -> None:
    config, endpoint = start(temperature=0.6)
    for number, change in enumerate(
        ("top_k=0", "top_k=20", "min_p=0.1", "extra_body={a = 1}", "system="), 1
    ):
        assert main(["run", str(config), "--set", f"generation.{change}"]) == 0
        assert len(endpoint.bodies) == 6 * number
    assert main(["run", str(config)]) == 0  # the first once more: its answers were kept
    assert len(endpoint.bodies) == 30


def test_models_of_which_one_could_not_be_asked_alike_are_compared_with_a_warning(
    start: Start,
) -> None:
    config, endpoint = start(("base", "tuned"))
    unknown = refusing("top_k")
    endpoint.refuse = lambda body: unknown(body) if body["model"] == "base" else None
    assert main(["run", str(config)]) == 0
    warnings = json.loads((config.parent / "out/comparison.json").read_text())["benchmarks"]["p"][
        "warnings"
    ]
    assert (
        "asked unlike: 6 of 12 answers (base) without top_k, which the server refused" in warnings
    )


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            "generation.extra_body={a = 1}",
            'generation.extra_body is for endpoints: set engine.kind = "endpoint"',
        ),
        ("generation.extra_body={stream = true}", "extra_body: stream is set by the evaluation"),
        ("generation.extra_body={day = 2024-01-01}", "extra_body"),
    ],
)
def test_a_setting_without_effect_is_refused(tmp_path: Path, change: str, says: str) -> None:
    config = write_config(
        tmp_path / "c.toml", None, ["m"], str(write_problems(tmp_path / "p.jsonl", 1))
    )
    with pytest.raises(InputError, match=says):
        main(["run", str(config), "--set", change])


def several(config: Path, *endpoints: Endpoint) -> list[str]:
    return [
        "run",
        str(config),
        "--set",
        f"engine.base_url={json.dumps([endpoint.base_url for endpoint in endpoints])}",
    ]


def test_several_servers_share_the_questions_and_one_that_is_gone_is_passed_over(
    start: Start,
) -> None:
    config, server = start()
    _, other_server = start()
    assert main(several(config, server, other_server)) == 0
    counts = server.asked + other_server.asked
    assert len(server.asked) > 0
    assert len(other_server.asked) > 0
    assert sum(counts.values()) == len(counts) == 6
    other_server.close()
    assert main([*several(config, server, other_server), "--fresh"]) == 0
    comparison = json.loads((config.parent / "out/comparison.json").read_text())["benchmarks"]["p"]
    assert comparison["base"]["correct"] == 6
    report = (config.parent / "out/report.html").read_text()
    assert f"{server.base_url}, {other_server.base_url}" in report


def test_what_one_of_several_servers_refuses_is_still_sent_to_the_other(start: Start) -> None:
    config, server = start(("base", "tuned"))
    _, other_server = start(("base", "tuned"))
    other_server.refuse = refusing("top_k")
    assert main(several(config, server, other_server)) == 0
    assert all("top_k" in body for body in server.bodies)
    warnings = json.loads((config.parent / "out/comparison.json").read_text())["benchmarks"]["p"][
        "warnings"
    ]
    assert any("without top_k" in warning for warning in warnings)
