"""NuminaMath-CoT: which rows are taken, and why others are left out."""

from pathlib import Path
from typing import Any

import pytest

from shared.errors import InputError
from tests.generator.problems.problem_files import (
    opened,
    opened_with_golds,
    write_lines,
    write_parquet,
)
from tests.generator.process_runs import generator


def numina(source: str, problem: str, solution: str) -> dict[str, Any]:
    return {
        "source": source,
        "problem": problem,
        "solution": solution,
        "messages": [{"role": "user", "content": problem}],
    }


TAKEN = [
    (
        "cn_k12",
        "Given $a>0$, if $a^2 = 9$, then $a=$ ( )\nA: $1$\nB: $2$\nC: $3$\nD: $4$",
        "So $\\boxed{C}$.",
        "C",
    ),
    (
        "amc_aime",
        "The sum is $\\textbf{(A)}\\ 7\\qquad\\textbf{(B)}\\ 9\\qquad\\textbf{(C)}\\ 11$",
        "\\boxed{B}",
        "B",
    ),
    ("olympiads", "Find all real $x$ with $x^2=4$.", "Thus $\\boxed{-2, 2}$.", "-2, 2"),
    (
        "orca_math",
        "A shop sells 3 pens (1 red and 2 blue). How many are blue?",
        "There are $\\boxed{2}$.",
        "2",
    ),
    (
        "math",
        "[asy] draw((0,0)--(1,1)); [/asy] In the diagram, find the slope.",
        "It is $\\boxed{1}$.",
        "1",
    ),
    (
        "olympiads",
        "Determine the smallest $n$ such that one can prove that $n! > 2^n$.",
        "$\\boxed{4}$",
        "4",
    ),
    ("synthetic_math", "If f(1) = 2 and f(2) = 3, what is f(1) + f(2)?", "\\boxed{5}", "5"),
]


SKIPPED = [
    (
        "olympiads",
        "Prove that $\\sqrt{2}$ is irrational.",
        "Suppose not… \\boxed{\\text{irrational}}",
        "a proof, not an answer",
    ),
    ("aops_forum", "Show that for all $n$, $n^2 \\geq n$.", "Trivial.", "a proof, not an answer"),
    ("cn_k12", "As shown in the figure, $AB=3$. Find the area.", "\\boxed{9}", "needs a figure"),
    ("olympiads", "Find the angle ![](https://example.org/p.png)", "\\boxed{30}", "needs a figure"),
    (
        "cn_k12",
        "(1) Find $f(0)$. (2) Find the minimum of $f$.",
        "(1) 1 (2) $\\boxed{0}$",
        "several parts",
    ),
    ("olympiads", "a) Solve. (a) Find x. (b) Find y.", "\\boxed{1}", "several parts"),
    ("aops_forum", "Find the largest $k$.", "The answer is 7.", "no gold in the solution"),
    ("olympiads", "Find the sum.", "\\boxed{\\text{Proof complete}}", "gold is not one answer"),
    (
        "math",
        "Find both roots.",
        "They are $\\boxed{1}$ and $\\boxed{3}$.",
        "gold is not one answer",
    ),
]


@pytest.mark.parametrize("write", [write_lines, write_parquet])
def test_numina_rows_are_taken_or_left_out_with_a_reason(tmp_path: Path, write: Any) -> None:
    path = tmp_path / ("n.jsonl" if write is write_lines else "n.parquet")
    write(path, [numina(*row[:3]) for row in TAKEN + SKIPPED])
    stream = opened(path)
    golds = {p.text: p.gold for p in stream}
    assert golds == {problem: gold for _, problem, _, gold in TAKEN}
    reasons = [reason for *_, reason in SKIPPED]
    assert dict(stream.tally.skipped) == {reason: reasons.count(reason) for reason in reasons}


def test_only_sources_selects_and_the_sources_are_named_in_the_problems(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "numina.jsonl", [numina(*row[:3]) for row in TAKEN])
    stream = opened(path, only_sources=["olympiads", "math"])
    assert {p.source.rpartition("/")[2] for p in stream} == {"olympiads", "math"}
    assert stream.tally.skipped["not in only_sources"] == 4


def test_a_source_that_no_row_has_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "numina.jsonl", [numina(*row[:3]) for row in TAKEN])
    with pytest.raises(InputError, match="did you mean 'olympiads'"):
        opened(path, only_sources=["olympiad"])


def test_a_numina_source_of_the_hub_is_checked_before_anything_is_fetched() -> None:
    with pytest.raises(InputError, match="no source of NuminaMath-CoT"):
        opened("AI-MO/NuminaMath-CoT", only_sources=["olympiad"])


def test_the_plan_shows_what_is_taken_by_source_and_what_is_left_out_and_why(
    tmp_path: Path,
) -> None:
    write_lines(tmp_path / "numina.jsonl", [numina(*row[:3]) for row in TAKEN + SKIPPED])
    config = tmp_path / "c.toml"
    config.write_text(
        f'corpus = "{tmp_path}/corpus"\n[problems]\nsource = "{tmp_path}/numina.jsonl"\n'
        '[[lane]]\nname = "a"\nbase_url = "http://127.0.0.1:9/v1"\nmodel = "m"\n'
    )
    out = generator("plan", config).stdout
    assert "problems   7 after screening" in out
    assert "numina/olympiads 2" in out
    assert "left out of 16: " in out
    assert "several parts 2" in out
    assert "a proof, not an answer 2" in out


def test_rows_of_numina_1_5_say_themselves_what_they_are(tmp_path: Path) -> None:
    marks = {
        "problem_type": "Algebra",
        "problem_is_valid": "Yes",
        "solution_is_valid": "Yes",
        "source": "inequalities",
    }
    row = {
        "problem": "Stack them. How many?",
        "solution": "so 42",
        "answer": "42",
        "question_type": "MCQ",
        **marks,
    }
    rows = [
        row,
        {**row, "question_type": "proof"},
        {**row, "answer": "proof"},
        {**row, "answer": "notfound"},
        {**row, "problem_is_valid": "Incomplete"},
        {**row, "solution_is_valid": "Problem not solved"},
    ]
    for path in (
        write_lines(tmp_path / "p.jsonl", rows),
        write_parquet(tmp_path / "p.parquet", rows),
    ):
        stream = opened_with_golds(path)
        assert [p.gold for p in stream] == ["42"]
        assert sum(stream.tally.skipped.values()) == 5
        assert stream.tally.skipped["a proof, not an answer"] == 1
        assert stream.tally.skipped["marked as not whole"] == 2
        assert stream.tally.skipped["gold is no answer"] == 2
