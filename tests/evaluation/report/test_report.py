"""The report as a file: what it says, and that nothing in it runs but its own script."""

import base64
import gzip
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from evaluation.report.payload import CHUNK_CHARACTERS
from evaluation.report.plots import by_length
from evaluation.results.finished_runs import report_again
from tests.evaluation.judged import by_id, finished_run, judged, report_of

HOSTILE = '</script><script>window.owned=1</script><img src=x onerror="window.owned=1">\'"&amp;'


class Elements(HTMLParser):
    """Every element with its attributes, and the text of each script, as a browser would find
    them.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append((dict(attrs), ""))

    def handle_data(self, data: str) -> None:
        if self.found and self.found[-1][0] == "script" and self.cdata_elem == "script":
            self.scripts[-1] = (self.scripts[-1][0], self.scripts[-1][1] + data)


def two_models(fixed: int, broken: int, same: int, name: str = "gsm8k") -> Any:
    """`fixed` problems right only with the tuned model, `broken` only with the base, `same`
    with both.
    """
    kinds = [(False, True)] * fixed + [(True, False)] * broken + [(True, True)] * same
    base_cases = []
    tuned_cases = []
    for i, (base_correct, tuned_correct) in enumerate(kinds):
        problem = f"Problem {i}"
        text = f"It is \\boxed{{{i}}}."
        base_cases.append(judged(problem, str(i), text, correct=base_correct))
        tuned_cases.append(judged(problem, str(i), text, correct=tuned_correct))
    return {"base model": {name: by_id(base_cases)}, "tuned model": {name: by_id(tuned_cases)}}


def blocks(text: str) -> dict[str, Any]:
    """The data blocks of a page, opened."""
    bodies = {
        a["id"]: body for a, body in Elements(text).scripts if a.get("type") == "application/gzip"
    }
    return {
        str(name): json.loads(gzip.decompress(base64.b64decode(body)))
        for name, body in bodies.items()
    }


@pytest.mark.parametrize(
    ("fixed", "broken", "said"),
    [
        (3, 2, "Not significant"),
        (20, 2, "the tuned model is better"),
        (2, 20, "the tuned model is worse"),
    ],
)
def test_the_headline_claims_no_more_than_the_test_allows(
    tmp_path: Path, fixed: int, broken: int, said: str
) -> None:
    text = report_of(tmp_path / "report.html", two_models(fixed, broken, 30))
    assert said in text
    assert f"{fixed} fixed, {broken} broken" in text


def test_few_problems_are_called_few(tmp_path: Path) -> None:
    assert "35 problems are few" in report_of(tmp_path / "report.html", two_models(3, 2, 30))


def test_every_text_is_found_again_in_the_blocks(tmp_path: Path) -> None:
    texts = [
        "<think>\na < b\n</think>\n\nSo \\boxed{1}",
        "<think>\nnever closed",
        "no thinking at all",
        HOSTILE,
        "",
    ]
    cases = by_id([judged(f"P{i}", "1", text, correct=False) for i, text in enumerate(texts)])
    page_blocks = blocks(report_of(tmp_path / "report.html", {"m": {"b": cases}}))
    entries = page_blocks["index"]["benchmarks"][0]["cases"]
    texts = [page_blocks[f"chunk-{case['chunk']}"][case["at"]][0][0] for case in entries]
    assert texts == [
        ["a < b", "So \\boxed{1}", False],
        ["never closed", "", True],
        ["", "no thinking at all", False],
        ["", HOSTILE, False],
        ["", "", False],
    ]


def test_long_texts_are_divided_into_chunks_that_are_opened_alone(tmp_path: Path) -> None:
    size = CHUNK_CHARACTERS // 3
    cases = by_id([judged(f"P{i}", "1", f"{i} " * (size // 2), correct=True) for i in range(8)])
    page_blocks = blocks(report_of(tmp_path / "report.html", {"m": {"b": cases}}))
    assert page_blocks["index"]["chunks"] == len(page_blocks) - 1 >= 2
    for i, case in enumerate(page_blocks["index"]["benchmarks"][0]["cases"]):
        assert page_blocks[f"chunk-{case['chunk']}"][case["at"]][0][0][1].startswith(f"{i} ")


def test_hostile_texts_and_names_make_no_element(tmp_path: Path) -> None:
    def results(hostile: str) -> Any:
        return {
            model + hostile: {
                "b" + hostile: by_id([judged("P" + hostile, "1" + hostile, hostile, correct=True)])
            }
            for model in ("base", "tuned")
        }

    plain = Elements(report_of(tmp_path / "plain.html", results("x"))).found
    hostile = Elements(report_of(tmp_path / "hostile.html", results(HOSTILE))).found
    assert [tag for tag, _ in hostile] == [tag for tag, _ in plain]
    assert not [a for _, attributes in hostile for a in attributes if a.startswith("on")]


def test_only_the_one_script_that_the_policy_names_can_run(tmp_path: Path) -> None:
    page = Elements(report_of(tmp_path / "report.html", two_models(1, 1, 1)))
    runnable = [body for attributes, body in page.scripts if attributes.get("type") is None]
    policy = next(
        a["content"]
        for tag, a in page.found
        if tag == "meta" and "content" in a and a.get("http-equiv")
    )
    assert len(runnable) == 1
    digest = base64.b64encode(hashlib.sha256(runnable[0].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in str(policy)
    assert "default-src 'none'" in str(policy)


def test_nothing_is_loaded_from_anywhere(tmp_path: Path) -> None:
    page = Elements(report_of(tmp_path / "report.html", two_models(1, 1, 1)))
    places = [
        a[key] for _, a in page.found for key in ("src", "href", "data", "action") if key in a
    ]
    assert all(str(place).startswith("#") for place in places)
    assert not re.search(r"url\(|@import", (tmp_path / "report.html").read_text())


def test_half_a_surrogate_pair_does_not_stop_the_report(tmp_path: Path) -> None:
    cases = by_id([judged("P\ud800", "1", "\udfff \\boxed{1}", correct=True, id_="x")])
    text = report_of(tmp_path / "report.html", {"m\ud800": {"b": cases}})
    assert blocks(text)["index"]["benchmarks"][0]["cases"][0]["gold"] == "1"


def test_the_manifest_and_the_command_stand_on_the_page(tmp_path: Path) -> None:
    text = report_of(tmp_path / "report.html", two_models(1, 1, 1))
    assert "python -m evaluation run configs/x.toml" in text
    assert "ab" * 16 in text


def test_one_model_alone_and_three_models_and_several_samples_are_reported(tmp_path: Path) -> None:
    single_model = {"only": two_models(2, 1, 3)["base model"]}
    assert "One model alone shows no gain" in report_of(tmp_path / "one.html", single_model)
    three = two_models(2, 1, 3)
    three["third model"] = three["tuned model"]
    assert report_of(tmp_path / "three.html", three).count("class=verdict") == 2
    several = {
        model: {"b": by_id([judged("P", "1", "x", correct=s < right, sample=s) for s in range(4)])}
        for model, right in (("base", 1), ("tuned", 3))
    }
    assert "pass@4" in report_of(tmp_path / "several.html", several)


def test_with_several_samples_lighteval_is_counted_in_problems_as_our_grading_is(
    tmp_path: Path,
) -> None:
    samples = [
        judged("P", "1", f"\\boxed{{{i}}}", correct=i < 3, sample=i, second=i < 2) for i in range(4)
    ]
    text = report_of(tmp_path / "report.html", {"model": {"b": {"p": samples}}})
    assert "<td>model</td><td>0.75</td><td>0.5</td>" in text


@pytest.mark.parametrize(("count", "is_written"), [(99, True), (1000, False)])
def test_the_number_below_a_bar_stands_only_where_it_has_room(count: int, is_written: bool) -> None:
    length_bins = [{"from": 0, "below": 128, "n": count, "correct": 1}]
    summaries = [{"model": f"m{i}", "by_length": length_bins} for i in range(20)]
    assert (f">{count}</text>" in by_length(summaries)) is is_written


def test_report_writes_the_page_of_a_finished_run_again(tmp_path: Path) -> None:
    run = finished_run(tmp_path / "run", two_models(4, 1, 20))
    assert report_again(run) == run / "report.html"
    assert "4 fixed, 1 broken" in (run / "report.html").read_text()
