"""The two engines: the same settings are taken, and the same answers get the same verdicts."""

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from evaluation.__main__ import main
from evaluation.config import EngineConfig, GenerationConfig
from evaluation.engines.prompt_template import PromptTemplate
from evaluation.engines.transformers_engine import TransformersEngine
from evaluation.records import ModelAnswer, Question, SampleRequest
from tests.evaluation.conftest import (
    Endpoint,
    Script,
    number_of,
    rows_of,
    write_config,
    write_problems,
)
from tests.evaluation.tiny_models import CHATML, write_model

Serve = Callable[[Script], Endpoint]

# What a model generates after a prompt, and why it ended. {0} is the right answer.
COMPLETIONS = [
    ("so \\boxed{{{0}}}", "stop"),
    ("<think>\nhm\n</think>\n\nso \\boxed{{{0}}}", "stop"),
    ("<think>\nhm \\boxed{{{0}}}", "length"),
    ("<think>\nhm\n</think>\n\nso \\boxed{{{0}}} and then", "length"),
    ("I cannot say", "stop"),
    ("so \\boxed{{-1}}", "stop"),
    ("hm \\boxed{{{0}}}", "length"),
    ("It is {0}, and \\boxed{{x = {0}.0}}", "stop"),
]
# After a prompt that has opened the thinking already.
CLOSING_COMPLETIONS = [
    ("hm\n</think>\n\nso \\boxed{{{0}}}", "stop"),
    ("hm \\boxed{{{0}}}", "length"),
    ("hm, 7\n</think>\n\nso \\boxed{{-1}}", "stop"),
    ("hm\n</think>\n\nI cannot say", "stop"),
    ("hm \\boxed{{{0}}}", "stop"),
    ("hm\n</think>\n\nso \\boxed{{{0}}} and", "length"),
]
OPENING = CHATML.replace(
    "<|im_start|>assistant\n{% endif %}", "<|im_start|>assistant\n<think>\n{% endif %}"
)


def engine_of(model: Path, **settings: Any) -> TransformersEngine:
    template = PromptTemplate(datetime(2026, 1, 1), None)
    generation = GenerationConfig(**settings)
    return TransformersEngine(str(model), EngineConfig(device="cpu"), generation, template)


def verdicts_of(out: Path) -> list[tuple[str, str | None, bool]]:
    rows = [row for path in out.glob("*/p/verdicts.jsonl") for row in rows_of(path)]
    return [(row["verdict"], row["final_answer"], row["second_opinion"]) for row in rows]


@pytest.mark.parametrize(
    ("template", "completions"), [(CHATML, COMPLETIONS), (OPENING, CLOSING_COMPLETIONS)]
)
def test_the_two_engines_give_the_same_verdicts_on_the_same_answers(
    serve: Serve, tmp_path: Path, template: str, completions: list[tuple[str, str]]
) -> None:
    model = write_model(tmp_path / "model")
    (model / "chat_template.jinja").write_text(template)
    count = len(completions)
    problems = write_problems(tmp_path / "p.jsonl", count)

    def completion(number: int) -> tuple[str, str]:
        text, finish = completions[number]
        return text.format(number), finish

    # What this model itself says is noise: what it is said to have said goes into its cache.
    config = write_config(tmp_path / "c.toml", None, [str(model)], str(problems), max_new_tokens=8)
    assert main(["run", str(config)]) == 0
    (cache,) = (tmp_path / "out").glob("*/p/answers.jsonl")
    engine = engine_of(model)
    rows = rows_of(cache)
    for row in rows:
        text, row["finish_reason"] = completion(number_of(row["problem"]))
        row["text"] = engine._chat.answer(text)
    cache.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(["run", str(config)]) == 0
    own_verdicts = verdicts_of(tmp_path / "out")

    def served(problem: str, *_: Any) -> dict[str, Any]:
        text, finish = completion(number_of(problem))
        return {"text": text, "finish": finish, "tokens": 8}

    (tmp_path / "served").mkdir()
    config = write_config(
        tmp_path / "served/c.toml", serve(served), ["m"], str(problems), max_new_tokens=8
    )
    assert main(["run", str(config)]) == 0
    assert verdicts_of(tmp_path / "served/out") == own_verdicts
    assert {verdict for verdict, _, _ in own_verdicts} >= {"correct", "truncated", "incorrect"}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "m")


def texts_of(model: Path, **settings: Any) -> list[str]:
    """What the model says to one question, sixteen times."""
    engine = engine_of(model, max_new_tokens=12, **settings)
    question = Question("id", "2 + 2?", "4", ({"role": "user", "content": "2 + 2?"},))
    requests = [SampleRequest(question, sample) for sample in range(16)]
    answers: dict[int, ModelAnswer] = {}
    engine.answer(requests, lambda r, a: answers.update({r.sample: a}), lambda count: None)
    return [answers[sample].text for sample in range(16)]


def test_top_k_and_min_p_decide_what_a_model_on_this_machine_says(model: Path) -> None:
    sampled_texts = texts_of(model, temperature=1.0)
    assert len(set(sampled_texts)) > 1
    greedy = texts_of(model)
    assert texts_of(model, temperature=1.0, top_k=1) == greedy
    assert texts_of(model, temperature=1.0, min_p=1.0) == greedy
    assert texts_of(model, temperature=1.0, top_k=3) not in (greedy, sampled_texts)
    assert texts_of(model, temperature=1.0, seed=1) != sampled_texts


def test_chat_template_kwargs_reach_the_template_and_the_cache_knows_them_apart(
    model: Path, tmp_path: Path
) -> None:
    folder = write_model(tmp_path / "m")
    (folder / "chat_template.jinja").write_text("{{ mood | default('') }}" + CHATML)
    prompts = []
    identities = []
    for kwargs in ({}, {"mood": "cheerful"}, {"mood": "grave"}):
        engine = engine_of(folder, chat_template_kwargs=kwargs)
        prompts.append(engine.prompt(Question("id", "?", "4", ({"role": "user", "content": "?"},))))
        identities.append(engine.identity()["template"])
    assert [prompt.partition("<|im_start|>")[0] for prompt in prompts] == ["", "cheerful", "grave"]
    assert len(set(identities)) == 3
