"""One table of public benchmarks for what is kept out and what is asked."""

from pathlib import Path

import pytest

from shared.benchmarks.names import PUBLIC, hub_set_of


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("gsm8k", "gsm8k"),
        ("gsm8k:test", "gsm8k"),
        ("GSM8K", "gsm8k"),
        ("MATH-500", "math_500"),
        ("math500", "math_500"),
        ("aime24", "aime24"),
        ("OlympiadBench", "olympiadbench"),
        ("MinervaMath", "minerva_math"),
        ("aime_2024", "aime24"),
        ("HuggingFaceH4/MATH-500", "math_500"),
    ],
)
def test_spelling_does_not_make_another_benchmark(name: str, key: str) -> None:
    assert hub_set_of(name) == PUBLIC[key]


@pytest.mark.parametrize("name", ["gsm8k:train", "gsm9k", "math", ""])
def test_what_is_no_benchmark_is_none(name: str) -> None:
    assert hub_set_of(name) is None


def test_the_documents_list_every_public_benchmark_with_its_data_set() -> None:
    page = Path(__file__).parents[2] / "docs" / "evaluation-benchmarks.md"
    lines = page.read_text(encoding="utf-8").splitlines()
    for key, hub_set in PUBLIC.items():
        (line,) = [line for line in lines if line.startswith(f"| `{key}` |")]
        source = [part for part in (hub_set.data_set, hub_set.subset, hub_set.split) if part]
        assert f"| {', '.join(source)} |" in line
