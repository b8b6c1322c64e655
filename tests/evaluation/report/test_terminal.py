"""The result as it is printed at the end of a run and by `compare`."""

import io

import pytest
from rich.console import Console

from evaluation.report.terminal import show
from evaluation.results.output_files import comparison_of
from tests.evaluation.judged import Results, by_id, judged
from tests.evaluation.report.test_report import two_models


def printed(results: Results) -> list[str]:
    out = io.StringIO()
    show(comparison_of({}, results), Console(file=out, width=80))
    return [line.rstrip() for line in out.getvalue().splitlines()]


def test_one_table_and_a_sentence_a_benchmark() -> None:
    lines = printed(two_models(fixed=20, broken=2, same=30))
    assert lines[0].split() == [
        *("benchmark", "n", "base", "tuned", "points"),
        *("95%", "interval", "p"),
    ]
    assert lines[1].startswith("gsm8k      52  61.5% (48–74)")
    assert lines[2].startswith("gsm8k: better: +34.6 points")


@pytest.mark.parametrize("name", ["held-out:data/corpus-of-the-second-month", "[red]x[/red]"])
def test_on_80_columns_a_long_name_breaks_and_every_number_stays_whole(name: str) -> None:
    lines = printed(two_models(fixed=20, broken=2, same=30, name=name))
    table = lines[: next(i for i, line in enumerate(lines) if line.startswith(f"{name}: "))]
    assert all(len(line) <= 80 for line in table)
    assert "61.5% (48–74)  96.2% (87–99)   +34.6  +19.2 to +50.0" in table[1]
    assert "".join(line.split(" ")[0] for line in table[1:]) == name


def test_each_of_several_tuned_models_has_a_table_under_its_name() -> None:
    results = two_models(fixed=3, broken=0, same=9)
    results["third [model]"] = results["tuned model"]
    lines = printed(results)
    assert lines.count("tuned model:") == 1
    assert lines.count("third [model]:") == 1
    assert len([line for line in lines if line.startswith("benchmark")]) == 2


def test_one_model_alone_shows_its_accuracy_and_claims_nothing() -> None:
    case = judged("P", "1", "\\boxed{1}", correct=True)
    lines = printed({"base": {"b": by_id([case])}})
    assert lines[0].split() == ["benchmark", "n", "base"]
    assert lines[1].split() == ["b", "1", "100.0%", "(21–100)"]
    assert len(lines) == 2
