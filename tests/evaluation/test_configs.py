"""The configurations that come with the program, and what a mistake in one says."""

from pathlib import Path

import pytest

from evaluation.__main__ import main
from evaluation.config import EvaluationConfig, GenerationConfig
from shared.config import load
from shared.errors import InputError

CONFIGS = Path(__file__).parents[2] / "configs"


@pytest.mark.parametrize(
    "path", sorted(CONFIGS.glob("*evaluate*.toml")), ids=lambda path: path.stem
)
def test_every_configuration_loads_and_compares_a_base_with_a_tuned_model(path: Path) -> None:
    config = load(EvaluationConfig, path, environ={})
    assert len(config.models) == 2
    assert config.benchmarks


def test_gsm8k_is_asked_as_the_tutorial_asks_it() -> None:
    config = load(EvaluationConfig, CONFIGS / "evaluate-gsm8k.toml", environ={})
    assert (config.generation.max_new_tokens, config.generation.temperature, config.limit) == (
        4096,
        0.0,
        0,
    )
    assert config.generation.prompt.endswith("put your final answer within \\boxed{{}}.")


def test_r1s_preset_is_what_its_authors_publish_and_the_users_keys_go_before_it() -> None:
    whole = GenerationConfig(preset="r1")
    assert (whole.temperature, whole.top_p, whole.samples) == (0.6, 0.95, 64)
    assert whole.max_new_tokens == 32_768
    aime = load(EvaluationConfig, CONFIGS / "evaluate-aime.toml", environ={}).generation
    assert (aime.temperature, aime.samples, aime.max_new_tokens) == (0.6, 16, 16_384)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("generation.preset=r2", "preset"),
        ("generation.max_new_token=5", "did you mean generation.max_new_tokens"),
        ("generation.samples=4", "samples > 1 at temperature 0"),
        ("engine.kind=endpoint", "needs base_url"),
        ('engine={kind = "endpoint", base_url = []}', "needs base_url"),
        (
            'engine={kind = "endpoint", base_url = ["http://a/v1", "http://a/v1"]}',
            "one address twice",
        ),
        ("engine.batch=0", "at least 1"),
        ('benchmarks=["gsm8k","gsm8k"]', "twice"),
        ("models=[]", "models is empty"),
        ("generation.prompt=hello", "has no {problem}"),
        ("limit=-1", "limit"),
        ("out=", "out is empty"),
        ("generation.temperature=inf", "finite number"),
    ],
)
def test_a_mistake_is_one_line_with_the_remedy(change: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        load(EvaluationConfig, CONFIGS / "evaluate-gsm8k.toml", [change], environ={})


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://", "needs base_url"),
        ("http://localhost:port/v1", "needs base_url"),
        ("http://me:sk-secret@localhost:8000/v1", "holds a password or a query"),
        ("http://localhost:8000/v1?api-key=sk-secret", "holds a password or a query"),
    ],
)
def test_an_address_is_a_whole_one_and_holds_no_secret(url: str, says: str) -> None:
    with pytest.raises(InputError, match=says) as error:
        load(
            EvaluationConfig,
            CONFIGS / "evaluate-endpoint.toml",
            [f"engine.base_url={url}"],
            environ={},
        )
    assert str(error.value).count("sk-secret") == 0


def test_help_explains_every_key(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["run", "--help"])
    text = capsys.readouterr().out
    for key in ("max_new_tokens", "top_p", "base_url", "benchmarks", "--quick", "--fresh"):
        assert key in text
