"""Where a problem's gold answer is found, and what is none."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from generator.problems.rows import gold_of_solution
from shared.errors import InputError
from shared.records import Problem
from tests.generator.problems.problem_files import (
    ROWS,
    opened,
    opened_with_golds,
    write_lines,
    write_parquet,
)


def test_gsm8k_rows_give_the_question_and_what_follows_the_hashes(tmp_path: Path) -> None:
    row = {
        "question": "Ann has 2 pens and buys 3. How many?",
        "answer": "2 + 3 = <<2+3=5>>5 pens.\n#### 5",
    }
    (tmp_path / "gsm8k").mkdir()
    (problem,) = opened(write_lines(tmp_path / "gsm8k" / "train.jsonl", [row]))
    assert problem == Problem.of(row["question"], "5", "gsm8k/train")


def test_math_rows_give_the_last_box_with_its_braces_balanced(tmp_path: Path) -> None:
    row = {
        "problem": "Find x.",
        "solution": "First \\boxed{1}, no: $\\boxed{\\frac{1}{\\sqrt{2}}}$.",
    }
    (problem,) = opened(write_lines(tmp_path / "math.jsonl", [row]))
    assert problem.gold == "\\frac{1}{\\sqrt{2}}"


def test_a_short_answer_column_is_preferred_to_the_solutions_box(tmp_path: Path) -> None:
    row = {"problem": "Find x.", "solution": "so \\boxed{\\textbf{(073)}}", "answer": "73"}
    (problem,) = opened(write_lines(tmp_path / "aime.jsonl", [row]))
    assert problem.gold == "73"


def test_a_configured_answer_field_is_used_as_it_is(tmp_path: Path) -> None:
    row = {"prompt": "Find x.", "key": 7, "solution": "\\boxed{8}"}
    path = write_lines(tmp_path / "own.jsonl", [row])
    (problem,) = opened(path, problem_field="prompt", answer_field="key")
    assert (problem.text, problem.gold) == ("Find x.", "7")


def test_a_row_without_any_answer_has_no_gold(tmp_path: Path) -> None:
    rows = [
        {"problem": "One?", "answer": ""},
        {"problem": "Two?"},
        {"problem": "Three?", "solution": "unboxed"},
    ]
    assert [p.gold for p in opened(write_lines(tmp_path / "x.jsonl", rows))] == [None, None, None]


@pytest.mark.parametrize(
    ("solution", "gold"),
    [
        ("\\boxed{a} then, after much thought, \\boxed{b}", "b"),
        ("\\boxed{\\{1, 2\\}}", "\\{1, 2\\}"),
        ("\\boxed {x}", "x"),
        ("\\fbox{C}", "C"),
        ("2 + 2 = 4\n#### 1,234", "1,234"),
        ("no box", None),
        ("\\boxed", None),
        ("\\boxed{torn", None),
    ],
)
def test_the_gold_is_the_last_box_or_what_follows_the_hashes(
    solution: str, gold: str | None
) -> None:
    assert gold_of_solution(solution) == gold


def test_problems_without_a_gold_answer_are_told(tmp_path: Path) -> None:
    stream = opened(
        write_lines(tmp_path / "p.jsonl", [*ROWS[:3], {"problem": "Why?"}, {"problem": "How?"}])
    )
    assert sum(problem.gold is None for problem in stream) == 2
    assert stream.tally.in_words() == [
        "without a gold answer 2: their samples will be unverifiable"
    ]


@pytest.mark.parametrize("write", [write_lines, write_parquet])
def test_an_answer_field_that_no_row_has_is_refused(
    tmp_path: Path, write: Callable[[Path, Any], Path]
) -> None:
    path = write(
        tmp_path / f"p.{'jsonl' if write is write_lines else 'parquet'}",
        [{"problem": "1 + 1?", "answer": "2"}],
    )
    with pytest.raises(
        InputError, match=r"answer_field: no row of .* has a field 'anser'; did you mean 'answer'\?"
    ):
        opened(path, answer_field="anser")
    assert next(opened(path, answer_field="answer")).gold == "2"


@pytest.mark.parametrize(
    ("answer", "gold"),
    [
        ("42", "42"),
        (42, "42"),
        (["42"], "42"),
        ("['42']", "42"),
        ('["42"]', "42"),
        ([7], "7"),
        ("work\n#### 42\nThe answer is: 42", "42"),
        ("work\n####  42 \n", "42"),
        ("####\n42", "42"),
        ("20 + 22 = 42, so she has 42 melons. The answer is: 42", "42"),
        ("So it is $\\boxed{42}$. The answer is: 42", "42"),
        ("all real numbers x except 0", "all real numbers x except 0"),
        ("none of these", "none of these"),
        ("f(x) = x for all positive integers n", "f(x) = x for all positive integers n"),
        ("Monday", "Monday"),
        ("\\text{no real solutions}", "\\text{no real solutions}"),
        ("[2, 3]", "[2, 3]"),
        ("[1,\\infty)", "[1,\\infty)"),
    ],
)
def test_a_gold_is_read_however_it_is_stored(tmp_path: Path, answer: Any, gold: str) -> None:
    path = write_lines(tmp_path / "p.jsonl", [{"problem": "How many?", "answer": answer}])
    for field in ("", "answer"):
        assert [p.gold for p in opened_with_golds(path, answer_field=field)] == [gold]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("proof", "gold is no answer"),
        ("Proof.", "gold is no answer"),
        ("notfound", "gold is no answer"),
        ("not found", "gold is no answer"),
        ("N/A", "gold is no answer"),
        ("nan", "gold is no answer"),
        ("None", "gold is no answer"),
        ("see solution", "gold is no answer"),
        ({"value": 1}, "gold is no answer"),
        ("", "no gold answer"),
        ("  ", "no gold answer"),
        (None, "no gold answer"),
        ([], "no gold answer"),
        (["1", "2"], "gold is several answers"),
        ("['1', '2']", "gold is several answers"),
        (["proof"], "gold is no answer"),
        ("\\boxed{proof}", "gold is no answer"),
        ("20 + 22 = 42, so she has 42 melons.", "gold is a sentence, not an answer"),
        ("Tom keeps 42 pens left over.", "gold is a sentence, not an answer"),
        (
            "First we add the numbers and see how large the sum gets " * 5,
            "gold is a sentence, not an answer",
        ),
    ],
)
def test_a_gold_that_is_no_answer_is_skipped_with_a_reason(
    tmp_path: Path, answer: Any, reason: str
) -> None:
    rows = [{"problem": "How many?", "answer": answer}, {"problem": "And now?", "answer": "5"}]
    for field in ("", "answer"):
        stream = opened_with_golds(write_lines(tmp_path / "p.jsonl", rows), answer_field=field)
        assert [p.gold for p in stream] == ["5"]
        assert dict(stream.tally.skipped) == {reason: 1}


def test_a_missing_number_of_a_table_is_no_gold(tmp_path: Path) -> None:
    rows = [
        {"problem": "How many?", "answer": float("nan")},
        {"problem": "And now?", "answer": 5.0},
    ]
    stream = opened_with_golds(write_parquet(tmp_path / "p.parquet", rows))
    assert [p.gold for p in stream] == ["5.0"]
    assert dict(stream.tally.skipped) == {"no gold answer": 1}


@pytest.mark.parametrize("write", [write_lines, write_parquet])
@pytest.mark.parametrize(
    ("row", "advice"),
    [
        (
            {"question": "1+1?", "final_answer": "2", "topic": "sums"},
            "problems.answer_field = 'final_answer'",
        ),
        ({"problem": "1+1?", "response": "so 2", "n": 1}, "problems.solution_field = 'response'"),
        (
            {"problem": "1+1?", "zahl": "2"},
            r"set problems.answer_field \(its columns: problem, zahl\)",
        ),
        ({"problem": "1+1?", "answer": "notfound"}, "gold is no answer"),
    ],
)
def test_a_source_without_any_gold_is_refused_with_its_likely_columns(
    tmp_path: Path, write: Callable[[Path, Any], Path], row: dict[str, Any], advice: str
) -> None:
    path = write(tmp_path / f"p.{'jsonl' if write is write_lines else 'parquet'}", [row] * 3)
    with pytest.raises(InputError, match=advice) as refusal:
        opened_with_golds(path)
    assert "keep_unverifiable = true" in str(refusal.value)
    assert len(list(opened(path))) == 3
