"""The report page: plots and numbers of the corpus, everything escaped, nothing fetched."""

import json
import re
from pathlib import Path

import pytest

from generator.report import write_report
from generator.report.figures import collect
from shared.errors import InputError
from tests.generator.corpora import trace, write_corpus
from tests.generator.process_runs import generator
from tests.page_tags import PageTags

HOSTILE = '<script>alert("x")</script><img src=http://evil.example/x.png onerror=alert(1)>'


def corpus_with_everything(folder: Path) -> Path:
    traces = [
        trace(f"Question {n}?", s, "4" if (n + s) % 3 else "5", tokens=50 + 37 * n)
        for n in range(60)
        for s in range(3)
    ]
    traces.append(
        trace(
            HOSTILE,
            reasoning=HOSTILE,
            response=HOSTILE,
            source=HOSTILE,
            model=HOSTILE,
            flags=[HOSTILE],
        )
    )
    traces.append(
        trace(
            "Cut?",
            verdict="truncated",
            reason="cut by max_tokens after 4096 tokens",
            reasoning=HOSTILE,
        )
    )
    traces.append(
        trace("Gone?", verdict="failed", reason=f"HTTP 500 {HOSTILE}", final_answer=HOSTILE)
    )
    corpus = write_corpus(folder, traces)
    (corpus / "screening").mkdir()
    summary = {
        "rows": 70,
        "left_out": {"duplicate": 4},
        "copies": {f"{HOSTILE}, near text": 2},
        "other_numbers": {"eval": 3},
        "sharing_8": 9,
        "sharing_13": 5,
        "evaluation_problems": 100,
        "near_duplicates": 0.85,
    }
    (corpus / "screening/state.json").write_text(json.dumps({"summary": summary}))
    evidence = {
        "kind": "near text",
        "evaluation": "eval",
        "problem": HOSTILE,
        "evaluation_problem": HOSTILE,
        "copy": True,
    }
    (corpus / "screening/excluded.jsonl").write_text(json.dumps(evidence) + "\n")
    return corpus


def test_the_page_is_self_contained_and_escapes_what_the_corpus_holds(tmp_path: Path) -> None:
    corpus = corpus_with_everything(tmp_path / "c")
    write_report(corpus, tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    tags = PageTags(text)
    assert tags.tags.count("script") == 1  # ours, which the policy names by its hash
    assert "img" not in tags.tags
    assert tags.links == []
    assert "&lt;script&gt;" in text
    assert tags.tags.count("svg") > 6
    for heading in (
        "Verdicts by source",
        "Lengths",
        "Pass rates",
        "Why samples were rejected",
        "Cost by lane",
        "Screening before any call",
        "Samples to read: kept",
        "Samples to read: rejected",
    ):
        assert heading in text
    assert "made/up" in text


def test_its_numbers_are_the_corpus_own(tmp_path: Path) -> None:
    corpus = corpus_with_everything(tmp_path / "c")
    figures = collect(corpus)
    assert figures.rows == 183
    assert figures.kept == figures.verdicts["correct"] == 121
    assert sum(figures.reasons.values()) == 62
    assert sum(figures.pass_rates()) == 62
    assert {sample.verdict for sample in figures.rejected_samples} == {
        "incorrect",
        "truncated",
        "failed",
    }


def test_a_torn_line_is_counted_and_the_rest_reported(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "c", [trace("One?")])
    with (corpus / "traces/shard-000000.jsonl").open("ab") as shard:
        shard.write(b'{"schema": 1, "id"')
    assert collect(corpus).torn == 1
    write_report(corpus, tmp_path / "page.html")
    assert "1 lines could not be read" in (tmp_path / "page.html").read_text()


def test_the_command_writes_the_page_into_the_corpus(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "c", [trace("One?")])
    process = generator("report", corpus)
    assert re.match(rf"{corpus}/report\.html: 1 samples, 1 kept", process.stdout)
    missing = generator("report", f"{corpus}x")
    assert missing.returncode == 2
    assert missing.stderr.count("\n") == 1


def test_a_page_replaces_no_shard_and_no_page_of_others(tmp_path: Path) -> None:
    corpus = corpus_with_everything(tmp_path / "c")
    shard = corpus / "traces/shard-000000.jsonl"
    before = shard.read_bytes()
    with pytest.raises(InputError, match="inside the corpus"):
        write_report(corpus, shard, force=True)
    assert shard.read_bytes() == before
    (tmp_path / "page.html").write_text("by hand")
    with pytest.raises(InputError, match="--force"):
        write_report(corpus, tmp_path / "page.html")
    for _ in range(2):
        write_report(corpus, tmp_path / "new.html")
        write_report(corpus, corpus / "report.html")
