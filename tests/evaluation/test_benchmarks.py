"""Questions: files of every shape, the first N, what training did not see."""

import json
from pathlib import Path
from typing import Any

import pytest

from evaluation.__main__ import main
from evaluation.benchmarks import load_benchmark
from evaluation.records import Benchmark, ModelAnswer, split_answer
from evaluation.results.folder import describe
from evaluation.scoring import verdict_on
from shared.benchmarks.rows import final_answer
from shared.errors import InputError
from shared.holdout import held_out_problems
from shared.prompts import PRESETS
from shared.records import problem_id
from tests.evaluation.conftest import rows_of
from tests.evaluation.tiny_models import write_model
from tests.trainer.corpora import trace, write_corpus

PROMPT = PRESETS["r1"].prompt


def loaded(name: str, data: str = "", limit: int = 0, runs: list[Path] | None = None) -> Benchmark:
    return load_benchmark(name, data, limit, "", PROMPT, runs or [])


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize(
    ("gold", "plain"),
    [
        ("Janet sells 9\n#### 18", "18"),
        ("#### 1,234,567", "1234567"),
        (204, "204"),
        (204.0, "204"),
        ("\\frac{1}{2}", "\\frac{1}{2}"),
        ("1,2", "1,2"),
    ],
)
def test_a_gold_answer_is_its_last_line_as_text(gold: object, plain: str) -> None:
    assert final_answer(gold) == plain


def test_gsm8k_is_found_among_local_copies_and_its_golds_are_read(tmp_path: Path) -> None:
    write_rows(
        tmp_path / "gsm8k/test.jsonl",
        [{"question": f"What is {i}?", "answer": f"so\n#### {i}"} for i in range(5)],
    )
    questions = loaded("gsm8k", str(tmp_path), limit=3)
    assert [q.gold for q in questions.questions] == ["0", "1", "2"]
    assert (questions.name, questions.whole) == ("gsm8k", 5)


@pytest.mark.parametrize(
    ("name", "copy"),
    [
        ("MATH-500", "math_500/test.jsonl"),
        ("gsm8k:test", "gsm8k.jsonl"),
        ("amc23", "amc23/test.jsonl"),
        ("AMC23", "amc23.jsonl"),
        ("minerva_math", "minervamath/test.jsonl"),
    ],
)
def test_the_names_that_are_kept_out_of_a_corpus_can_be_asked(
    tmp_path: Path, name: str, copy: str
) -> None:
    write_rows(tmp_path / copy, [{"question": "What is 7?", "answer": "7.0"}])
    questions = loaded(name, str(tmp_path))
    assert (questions.name, [q.problem for q in questions.questions]) == (name, ["What is 7?"])


def test_olympiadbenchs_lists_of_answers_are_asked_for_as_one(tmp_path: Path) -> None:
    rows = [
        {"question": "One?", "final_answer": ["4"]},
        {"question": "Two?", "final_answer": ["$1$", "$2$"]},
    ]
    write_rows(tmp_path / "olympiadbench/test.jsonl", rows)
    assert [q.gold for q in loaded("olympiadbench", str(tmp_path)).questions] == ["4", "$1$, $2$"]


def test_a_list_of_golds_in_a_users_file_holds_several_of_which_any_is_right(
    tmp_path: Path,
) -> None:
    rows = [{"problem": "Factor it.", "answer": ["(x-1)(x+1)", "#### 1,000", 7.0]}]
    (question,) = loaded(str(write_rows(tmp_path / "p.jsonl", rows))).questions
    assert question.golds == ("(x-1)(x+1)", "1000", "7")


def test_gpqas_options_stand_in_an_order_of_the_seed_and_the_gold_is_the_right_ones_letter(
    tmp_path: Path,
) -> None:
    rows = [
        {
            "Question": f"Which decay has {i} steps?",
            "Correct Answer": f"alpha {i}\n",
            **{f"Incorrect Answer {n}": f"beta {i}.{n}" for n in (1, 2, 3)},
        }
        for i in range(40)
    ]
    write_rows(tmp_path / "gpqa_diamond.jsonl", rows)
    benchmark = loaded("gpqa:diamond", str(tmp_path))
    for number, question in enumerate(benchmark.questions):
        assert f"\n{question.gold}) alpha {number}" in question.problem
    assert {question.gold for question in benchmark.questions} == set("ABCD")
    assert benchmark.option_seed == 0
    assert describe(benchmark)["option_seed"] == 0
    again = loaded("gpqa:diamond", str(tmp_path))
    assert again == benchmark
    other_seed = load_benchmark("gpqa:diamond", str(tmp_path), 0, "", PROMPT, option_seed=1)
    assert other_seed.sha256 != benchmark.sha256


@pytest.mark.parametrize(
    "row",
    [
        {"options": ["3", "8", "5"], "answer": "B", "answer_index": 1},
        {"choices": ["3", "8", "5"], "answer": 1},
        {"choices": {"text": ["3", "8", "5"], "label": ["1", "2", "3"]}, "answerKey": "2"},
        {"options": ["3", "8", "5"], "answer": "8"},
        {"options": ["3", "8", "5"], "answer": 8},
        {"options": ["A)3", "B)8", "C)5"], "correct": "B"},
    ],
)
def test_multiple_choice_in_every_shape_is_asked_with_letters_and_graded_as_letters(
    tmp_path: Path, row: dict[str, Any]
) -> None:
    path = write_rows(tmp_path / "p.jsonl", [{"question": "Which is even?"} | row])
    benchmark = loaded(str(path))
    (question,) = benchmark.questions
    assert question.problem.endswith("\n\nA) 3\nB) 8\nC) 5")
    assert (question.gold, benchmark.option_seed) == ("B", None)
    answers = {"B": "correct", "A": "incorrect", "8": "correct", "\\text{B) 8}": "correct"}
    for answer, verdict in answers.items():
        text = ModelAnswer(f"so \\boxed{{{answer}}}", "stop", 9, 9, 1.0)
        assert verdict_on(question, text, split_answer(text)).verdict == verdict


def test_a_problem_that_lists_its_options_is_asked_as_it_stands(tmp_path: Path) -> None:
    text = "Which is even?\n(A) 3\n(B) 8"
    row = {"problem": text, "options": ["3", "8"], "answer": "B"}
    (question,) = loaded(str(write_rows(tmp_path / "p.jsonl", [row]))).questions
    assert (question.problem, question.gold) == (text, "B")


def test_a_missing_local_copy_names_the_files_that_are_looked_for(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"no copy of math_500 there: looked for math_500/test\.jsonl"
    ):
        loaded("math_500", str(tmp_path))


def test_an_unknown_benchmark_names_the_known_ones() -> None:
    with pytest.raises(
        InputError, match=r"'gsm9k' is unknown: use gsm8k, math_500, .*held-out:CORPUS"
    ):
        loaded("gsm9k")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "not JSON"),
        ("[1]", "a JSON list where an object belongs"),
        ('{"answer": 1}', "no problem"),
        ('{"problem": "x"}', "no gold answer"),
        ('{"problem": "2 + 2?", "answer": {"value": 4}}', "a gold answer is a dict"),
        ('{"problem": "2 + 2?", "answer": ["4", ["5"]]}', "a gold answer is a list"),
        ('{"question": "Even?", "options": ["3", "8"], "answer": "C"}', "'C' names none of the 2"),
    ],
)
def test_a_bad_line_is_named_by_file_and_number(tmp_path: Path, line: str, says: str) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text('{"problem": "What is 1?", "answer": 1}\n' + line + "\n")
    with pytest.raises(InputError, match=rf"p\.jsonl:2: {says}"):
        loaded(str(path))


def test_a_problem_that_stands_twice_is_asked_twice_under_two_ids(tmp_path: Path) -> None:
    questions = loaded(
        str(write_rows(tmp_path / "p.jsonl", [{"problem": "What?", "answer": 1}] * 2))
    )
    identity = problem_id("What?")
    assert [q.id for q in questions.questions] == [identity, f"{identity}.2"]


def test_a_parquet_copy_reads_like_a_jsonl_one(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    rows = [{"question": f"What is {i}?", "answer": f"#### {i}"} for i in range(4)]
    (tmp_path / "gsm8k/main").mkdir(parents=True)
    pyarrow.parquet.write_table(
        pyarrow.Table.from_pylist(rows), tmp_path / "gsm8k/main/test-00000-of-00001.parquet"
    )
    assert [q.gold for q in loaded("gsm8k", str(tmp_path)).questions] == ["0", "1", "2", "3"]


def test_a_parquet_file_is_a_benchmark_and_a_damaged_one_is_one_line(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    path = tmp_path / "sums.parquet"
    pyarrow.parquet.write_table(
        pyarrow.Table.from_pylist([{"problem": "What is 1?", "answer": 1}]), path
    )
    assert (loaded(str(path)).name, [q.gold for q in loaded(str(path)).questions]) == (
        "sums",
        ["1"],
    )
    path.write_bytes(b"PAR1")
    for bad_path in (path, tmp_path / "nowhere.parquet"):
        with pytest.raises(
            InputError, match=r"\.parquet: cannot be read .*: give a Parquet file"
        ) as refusal:
            loaded(str(bad_path))
        assert "\n" not in str(refusal.value)


def test_held_out_problems_of_a_corpus_follow_the_trainers_rule(tmp_path: Path) -> None:
    traces = [trace(i) for i in range(200)]
    corpus = write_corpus(tmp_path / "corpus", traces)
    held_out_ids = held_out_problems([t.problem_id for t in traces], 0.02, 0)
    questions = loaded(f"held-out:{corpus}")
    assert {q.id for q in questions.questions} == set(held_out_ids)
    assert len(held_out_ids) == 4


def test_what_a_training_run_says_it_held_out_goes_before_the_rule(tmp_path: Path) -> None:
    traces = [trace(i) for i in range(50)]
    corpus = write_corpus(tmp_path / "corpus", traces)
    held_out_ids = [t.problem_id for t in traces[:7]]
    run = tmp_path / "run"
    run.mkdir()
    shards = [{"corpus": str(corpus), "name": "shard-000000.jsonl"}]
    (run / "manifest.json").write_text(
        json.dumps({"data": {"shards": shards, "held_out_problems": held_out_ids}})
    )
    assert {q.id for q in loaded(f"held-out:{corpus}", runs=[run]).questions} == set(held_out_ids)
    assert {q.id for q in loaded(f"held-out:{run}").questions} == set(held_out_ids)


@pytest.mark.slow
def test_base_and_tuned_tiny_models_answer_a_hundred_held_out_problems_on_a_processor(
    tmp_path: Path,
) -> None:
    corpus = write_corpus(tmp_path / "corpus", [trace(i) for i in range(120)])
    (tmp_path / "run").mkdir()
    held_out_ids = [trace(i).problem_id for i in range(100)]
    shards = [{"corpus": str(corpus), "name": "shard-000000.jsonl"}]
    (tmp_path / "run/manifest.json").write_text(
        json.dumps({"data": {"shards": shards, "held_out_problems": held_out_ids}})
    )
    models = [write_model(tmp_path / "base", 1), write_model(tmp_path / "run/merged", 2)]
    config = tmp_path / "c.toml"
    config.write_text(
        f'out = "{tmp_path / "out"}"\nmodels = ["{models[0]}", "{models[1]}"]\nbenchmarks ='
        f' ["held-out:{corpus}"]\n[generation]\nmax_new_tokens = 24\n[engine]\ndevice = "cpu"\n'
    )
    assert main(["run", str(config)]) == 0
    figures = json.loads((tmp_path / "out/comparison.json").read_text())["benchmarks"][
        f"held-out:{corpus}"
    ]
    assert figures["n"] == 100
    assert len(rows_of(next((tmp_path / "out").glob("*merged/*/answers.jsonl")))) == 100
    assert (tmp_path / "out/report.html").exists()
